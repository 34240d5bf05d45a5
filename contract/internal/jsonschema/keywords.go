package jsonschema

import (
	"maps"
	"slices"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// A keyword describes one keyword of JSON Schema 2020-12.
type keyword struct {
	takes   valueForm
	holds   schemaForm // the schemas inside the keyword's value
	inPlace bool       // these schemas look at the same value as the schema around them
}

// A valueForm is the set of values that the metaschema allows for a keyword.
type valueForm uint8

const (
	anything valueForm = iota
	aText
	aBool
	aNumber
	aPositive
	aCount
	aName  // the name of a type, or a list of them
	names  // a list of texts without duplicates
	values // a list
	nameLists
	aSchema
	schemaList
	schemaMap
	schemasOrNames // of "dependencies" of draft-07
)

// formNames are the words for each form in the fix of a problem.
var formNames = map[valueForm]string{
	aText: "text", aBool: "true or false", aNumber: "a number", aPositive: "a number above 0", aCount: "a whole number from 0",
	aName: "the name of a type, or a list of different ones: null, boolean, object, array, number, integer, string",
	names: "a list of different texts", values: "a list", nameLists: "an object of lists of different texts",
	aSchema: "a schema: an object, true or false", schemaList: "a list of schemas, at least one",
	schemaMap: "an object of schemas", schemasOrNames: "an object of schemas or lists of different texts",
}

// A schemaForm says how a keyword's value holds schemas.
type schemaForm uint8

const (
	noForm schemaForm = iota
	oneForm
	listForm
	mapForm
)

// keywords lists the vocabulary of JSON Schema 2020-12, and the annotation "example" of OpenAPI.
var keywords = map[string]keyword{
	"$comment": {takes: aText}, "$ref": {takes: aText}, "$schema": {takes: aText},
	"title": {takes: aText}, "description": {takes: aText}, "format": {takes: aText}, "pattern": {takes: aText},
	"contentEncoding": {takes: aText}, "contentMediaType": {takes: aText},
	"deprecated": {takes: aBool}, "readOnly": {takes: aBool}, "writeOnly": {takes: aBool}, "uniqueItems": {takes: aBool},
	"default": {}, "const": {}, "example": {}, "examples": {takes: values}, "enum": {takes: values},
	"type": {takes: aName}, "required": {takes: names}, "dependentRequired": {takes: nameLists},
	"minimum": {takes: aNumber}, "maximum": {takes: aNumber},
	"exclusiveMinimum": {takes: aNumber}, "exclusiveMaximum": {takes: aNumber}, "multipleOf": {takes: aPositive},
	"minLength": {takes: aCount}, "maxLength": {takes: aCount}, "minItems": {takes: aCount}, "maxItems": {takes: aCount},
	"minProperties": {takes: aCount}, "maxProperties": {takes: aCount},
	"minContains": {takes: aCount}, "maxContains": {takes: aCount},

	"$defs":                 {takes: schemaMap, holds: mapForm},
	"definitions":           {takes: schemaMap, holds: mapForm},
	"properties":            {takes: schemaMap, holds: mapForm},
	"patternProperties":     {takes: schemaMap, holds: mapForm},
	"dependentSchemas":      {takes: schemaMap, holds: mapForm, inPlace: true},
	"dependencies":          {takes: schemasOrNames, holds: mapForm, inPlace: true},
	"allOf":                 {takes: schemaList, holds: listForm, inPlace: true},
	"anyOf":                 {takes: schemaList, holds: listForm, inPlace: true},
	"oneOf":                 {takes: schemaList, holds: listForm, inPlace: true},
	"prefixItems":           {takes: schemaList, holds: listForm},
	"not":                   {takes: aSchema, holds: oneForm, inPlace: true},
	"if":                    {takes: aSchema, holds: oneForm, inPlace: true},
	"then":                  {takes: aSchema, holds: oneForm, inPlace: true},
	"else":                  {takes: aSchema, holds: oneForm, inPlace: true},
	"items":                 {takes: aSchema, holds: oneForm},
	"contains":              {takes: aSchema, holds: oneForm},
	"additionalProperties":  {takes: aSchema, holds: oneForm},
	"propertyNames":         {takes: aSchema, holds: oneForm},
	"unevaluatedItems":      {takes: aSchema, holds: oneForm},
	"unevaluatedProperties": {takes: aSchema, holds: oneForm},
	"contentSchema":         {takes: aSchema, holds: oneForm},
}

// Vocabulary returns the keywords of JSON Schema, sorted, for suggestions.
func Vocabulary() []string { return slices.Sorted(maps.Keys(keywords)) }

func isKeyword(name string) bool {
	_, known := keywords[name]
	return known
}

// maxWhole is 2^53: a float64 holds all smaller whole numbers.
const maxWhole = 1 << 53

// typeNames are the values of "type".
var typeNames = []string{"array", "boolean", "integer", "null", "number", "object", "string"}

// misfit returns the part of value that the form does not allow, or nil. Schemas inside value are
// not looked at.
func (form valueForm) misfit(value *tree.Node) *tree.Node {
	ok := true
	switch form {
	case aText:
		ok = value.Is(tree.Text)
	case aBool:
		ok = value.Is(tree.Bool)
	case aNumber:
		ok = value.Is(tree.Number)
	case aPositive:
		ok = value.Is(tree.Number) && *value.Float() > 0
	case aCount:
		ok = value.Is(tree.Number) && *value.Float() >= 0 && *value.Float() == float64(value.Int()) && value.Int() <= maxWhole
	case aName:
		if value.Is(tree.List) && len(value.Items) > 0 {
			return misfitOfTexts(value, typeNames)
		}
		ok = value.Is(tree.Text) && slices.Contains(typeNames, value.Scalar)
	case names:
		return misfitOfTexts(value, nil)
	case values:
		ok = value.Is(tree.List)
	case schemaList:
		ok = value.Is(tree.List) && len(value.Items) > 0
	case schemaMap, schemasOrNames, nameLists:
		if ok = value.Is(tree.Map); !ok {
			break
		}
		for _, m := range value.Members {
			if form == nameLists || form == schemasOrNames && m.Value.Is(tree.List) {
				if bad := misfitOfTexts(m.Value, nil); bad != nil {
					return bad
				}
			}
		}
	}
	if ok {
		return nil
	}
	return value
}

// misfitOfTexts returns the part that keeps value from being a list of different texts. If allowed
// is not nil, each text must be in it.
func misfitOfTexts(value *tree.Node, allowed []string) *tree.Node {
	if !value.Is(tree.List) {
		return value
	}
	seen := make(map[string]bool, len(value.Items))
	for _, item := range value.Items {
		if !item.Is(tree.Text) || seen[item.Scalar] || allowed != nil && !slices.Contains(allowed, item.Scalar) {
			return item
		}
		seen[item.Scalar] = true
	}
	return nil
}
