package jsonschema

import (
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// types is a set of JSON types; whole numbers and others are told apart.
type types uint8

const (
	nulls types = 1 << iota
	booleans
	integers
	fractions
	strings_
	arrays
	objects

	everything = nulls | booleans | integers | fractions | strings_ | arrays | objects
)

var typeSets = []struct {
	name string
	bits types
}{{"null", nulls}, {"boolean", booleans}, {"integer", integers}, {"number", integers | fractions}, {"string", strings_}, {"array", arrays}, {"object", objects}}

// String names the types in words.
func (t types) String() string {
	var words []string
	for _, known := range typeSets {
		if known.name == "integer" && t&fractions != 0 {
			continue
		}
		if t&known.bits == known.bits || known.name == "number" && t&fractions != 0 {
			words = append(words, typeWords(known.name))
		}
	}
	return strings.Join(words, " or ")
}

// domains says about which types a keyword says anything.
var domains = map[string]types{
	"minimum": integers | fractions, "maximum": integers | fractions, "exclusiveMinimum": integers | fractions, "exclusiveMaximum": integers | fractions,
	"multipleOf": integers | fractions, "minLength": strings_, "maxLength": strings_, "pattern": strings_, "format": strings_,
	"items": arrays, "prefixItems": arrays, "minItems": arrays, "maxItems": arrays, "uniqueItems": arrays, "contains": arrays, "minContains": arrays,
	"maxContains": arrays, "unevaluatedItems": arrays,
	"properties": objects, "patternProperties": objects, "additionalProperties": objects, "required": objects, "minProperties": objects,
	"maxProperties": objects, "propertyNames": objects, "dependentRequired": objects, "dependentSchemas": objects, "dependencies": objects,
	"unevaluatedProperties": objects,
}

// annotations say nothing about values.
var annotations = map[string]bool{
	"$comment": true, "$defs": true, "definitions": true, "$schema": true, "title": true, "description": true, "default": true, "example": true, "examples": true,
	"deprecated": true, "readOnly": true, "writeOnly": true, "contentEncoding": true, "contentMediaType": true, "contentSchema": true,
}

// typesOf returns the types that a value may have for all schemas to allow it.
func typesOf(all []map[string]any) types {
	possible := everything
	for _, m := range all {
		if values, ok := valuesOf(m); ok {
			var own types
			for _, value := range values {
				own |= typeOf(value)
			}
			possible &= own
		}
		if limit, ok := m["type"]; ok {
			var own types
			for _, known := range typeSets {
				if limit == known.name || slices.Contains(texts(limit), known.name) {
					own |= known.bits
				}
			}
			possible &= own
		}
	}
	return possible
}

func typeOf(value any) types {
	switch v := value.(type) {
	case nil:
		return nulls
	case bool:
		return booleans
	case float64:
		if v == math.Trunc(v) {
			return integers
		}
		return fractions
	case string:
		return strings_
	case []any:
		return arrays
	}
	return objects
}

// valuesOf returns the values that enum and const leave.
func valuesOf(m map[string]any) ([]any, bool) {
	if value, ok := m["const"]; ok {
		return []any{value}, true
	}
	values, ok := m["enum"].([]any)
	return values, ok
}

// eachValue checks values one by one against a keyword.
func eachValue(values []any, keyword string, b map[string]any) Relation {
	var pattern *regexp.Regexp
	if text, ok := b[keyword].(string); ok && keyword == "pattern" {
		pattern, _ = regexp.Compile(text) // once for all values
	}
	constants, limited := valuesOf(map[string]any{keyword: b[keyword]})
	among := membership(constants)
	for _, value := range values {
		if limited {
			if !among(value) {
				return no("%s is allowed \x01, but not \x02", short(value))
			}
			continue
		}
		if domain, known := domains[keyword]; known && typeOf(value)&domain == 0 {
			continue
		}
		allowed, certain := allows(value, keyword, b[keyword], pattern)
		if !certain {
			return unknown("%q cannot be compared with the values \x01", keyword)
		}
		if !allowed {
			return no("%s is allowed \x01, but not \x02", short(value))
		}
	}
	return Relation{}
}

// membership returns a function that reports whether a value is one of the constants.
func membership(constants []any) func(value any) bool {
	scalars := make(map[any]bool, len(constants))
	var others []any
	for _, constant := range constants {
		switch constant.(type) {
		case []any, map[string]any:
			others = append(others, constant)
		default:
			scalars[constant] = true
		}
	}
	return func(value any) bool {
		switch value.(type) {
		case []any, map[string]any:
			return slices.ContainsFunc(others, func(other any) bool { return reflect.DeepEqual(value, other) })
		}
		return scalars[value]
	}
}

// allows evaluates the simple keywords. pattern is the compiled limit of "pattern".
func allows(value any, keyword string, limit any, pattern *regexp.Regexp) (allowed, certain bool) {
	n, _ := value.(float64)
	bound, _ := limit.(float64)
	text, isText := value.(string)
	switch keyword {
	case "type":
		return typeOf(value)&^typesOf([]map[string]any{{"type": limit}}) == 0, true
	case "minimum":
		return n >= bound, true
	case "maximum":
		return n <= bound, true
	case "exclusiveMinimum":
		return n > bound, true
	case "exclusiveMaximum":
		return n < bound, true
	case "minLength", "minItems", "minProperties":
		return float64(length(value)) >= bound, true
	case "maxLength", "maxItems", "maxProperties":
		return float64(length(value)) <= bound, true
	case "pattern":
		if pattern == nil || !isText || !utf8.ValidString(text) {
			return false, false
		}
		return pattern.MatchString(text), true
	}
	return annotations[keyword], annotations[keyword]
}

// numberBound compares bounds of numbers.
func numberBound(m map[string]any, keyword string, limit any) Relation {
	bound, ok := limit.(float64)
	if !ok {
		return unknown("%q is not a number", keyword)
	}
	inclusive, exclusive := "minimum", "exclusiveMinimum"
	sign := 1.0
	if strings.HasSuffix(keyword, "aximum") {
		inclusive, exclusive, sign = "maximum", "exclusiveMaximum", -1
	}
	low, strict, found := math.Inf(-1), false, false
	if v, ok := m[inclusive].(float64); ok {
		low, found = sign*v, true
	}
	if v, ok := m[exclusive].(float64); ok && sign*v >= low {
		low, strict, found = sign*v, true, true
	}
	bound *= sign
	if low > bound || low == bound && (strict || keyword == inclusive) {
		return Relation{}
	}
	if !found {
		return no("there is a %s of %s \x02, but none \x01", inclusive, short(limit))
	}
	return no("the %s is %s \x02, %s \x01", inclusive, short(limit), short(sign*low))
}

// sizeBound compares bounds of lengths and counts.
func sizeBound(m map[string]any, keyword string, limit any) Relation {
	bound, ok := limit.(float64)
	if !ok {
		return unknown("%q is not a number", keyword)
	}
	own, stated := m[keyword].(float64)
	if strings.HasPrefix(keyword, "min") {
		if keyword == "minProperties" {
			own = max(own, float64(len(unique(texts(m["required"])))))
		}
		if own >= bound {
			return Relation{}
		}
		return no("%s is %s \x02, %s \x01", keyword, short(limit), short(own))
	}
	if properties, _ := m["properties"].(map[string]any); keyword == "maxProperties" && m["additionalProperties"] == false && m["patternProperties"] == nil && (!stated || own > float64(len(properties))) {
		own, stated = float64(len(properties)), true
	}
	switch {
	case stated && own <= bound:
		return Relation{}
	case !stated:
		return no("%s is %s \x02, unlimited \x01", keyword, short(limit))
	}
	return no("%s is %s \x02, %s \x01", keyword, short(limit), short(own))
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
