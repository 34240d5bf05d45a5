package jsonschema

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// An engine checks values against one schema. It is safe for concurrent use.
type engine interface {
	// check returns nothing for a value that the schema allows, and at most most failures for another.
	// The value is made of nil, bool, float64, string, []any and map[string]any.
	check(value any, most int) ([]failure, error)
}

// A failure is one keyword that a value does not satisfy.
type failure struct {
	instance []string // names and indexes from the root of the value
	keyword  []string // names and indexes from the root of the schema
	ofName   bool     // about the name of the member at instance rather than its value
	noBranch bool     // for anyOf and oneOf: no branch fits, rather than several
}

// engineV5 is jsonschema/v5. No other file uses it.
type engineV5 struct{ schema *jsonschema.Schema }

const schemaURL = "mem:///schema.json"

// compileV5 compiles a schema that has passed the gate.
func compileV5(document []byte) (compiled engine, err error) {
	defer func() {
		if r := recover(); r != nil {
			compiled, err = nil, fmt.Errorf("the schema could not be compiled: %v", r)
		}
	}()
	compiler := jsonschema.NewCompiler()
	compiler.Draft = jsonschema.Draft2020
	compiler.AssertFormat = true // without it, the same schema means two things with and without $schema
	compiler.Formats["regex"] = isRegex
	compiler.LoadURL = func(string) (io.ReadCloser, error) {
		return nil, errors.New("references to other documents are not followed")
	}
	if err := compiler.AddResource(schemaURL, bytes.NewReader(document)); err != nil {
		return nil, err
	}
	schema, err := compiler.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	return engineV5{schema}, nil
}

// isRegex reports if a text is a regular expression in RE2 syntax. It parses and does not compile:
// a short text can compile into gigabytes.
func isRegex(value any) bool {
	text, ok := value.(string)
	if !ok {
		return true
	}
	if len(text) > maxPattern {
		return false
	}
	_, err := syntax.Parse(text, syntax.Perl)
	return err == nil
}

func (e engineV5) check(value any, most int) (found []failure, err error) {
	defer func() {
		if r := recover(); r != nil {
			found, err = nil, fmt.Errorf("the value could not be checked: %v", r)
		}
	}()
	err = e.schema.Validate(value)
	if err == nil {
		return nil, nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return nil, err
	}
	list := leaves(invalid, nil)
	slices.SortFunc(list, func(a, b *jsonschema.ValidationError) int {
		return cmp.Or(compareLocations(a.InstanceLocation, b.InstanceLocation), strings.Compare(a.AbsoluteKeywordLocation, b.AbsoluteKeywordLocation))
	})
	for _, leaf := range list[:min(len(list), most)] {
		found = append(found, newFailure(leaf))
	}
	return found, nil
}

func newFailure(e *jsonschema.ValidationError) failure {
	return failure{instance: tokens(e.InstanceLocation), keyword: keywordOf(e), ofName: concernsName(tokens(e.KeywordLocation)), noBranch: len(e.Causes) > 0}
}

func keywordOf(e *jsonschema.ValidationError) []string {
	_, fragment, _ := strings.Cut(e.AbsoluteKeywordLocation, "#")
	return tokens(fragment)
}

// compareLocations orders paths by their names and indexes, and indexes as numbers.
func compareLocations(a, b string) int {
	for a != "" && b != "" {
		var partA, partB string
		partA, a, _ = strings.Cut(strings.TrimPrefix(a, "/"), "/")
		partB, b, _ = strings.Cut(strings.TrimPrefix(b, "/"), "/")
		if order := comparePart(partA, partB); order != 0 {
			return order
		}
	}
	return len(a) - len(b)
}

// leaves appends the errors at the ends of the tree to list: they alone say something. Of anyOf and
// oneOf, only a branch that was clearly meant is followed. Otherwise the choice itself is the
// error.
func leaves(e *jsonschema.ValidationError, list []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return append(list, e)
	}
	switch lastOf(e.AbsoluteKeywordLocation) {
	case "anyOf", "oneOf":
		if meant := meantBranch(e); meant != nil {
			return leaves(meant, list)
		}
		return append(list, e)
	case "minContains", "contains":
		return append(list, e)
	}
	for _, cause := range e.Causes {
		list = leaves(cause, list)
	}
	return list
}

// lastOf returns the last part of a location.
func lastOf(location string) string { return location[strings.LastIndexByte(location, '/')+1:] }

// meantBranch returns the only branch that fails for something inside the value rather than for its
// type, constant or choice of values.
func meantBranch(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	if len(e.Causes) == 1 {
		return e.Causes[0]
	}
	depth := strings.Count(e.InstanceLocation, "/")
	var meant *jsonschema.ValidationError
	for _, branch := range e.Causes {
		if refusesKind(branch, depth) {
			continue
		}
		if meant != nil {
			return nil
		}
		meant = branch
	}
	return meant
}

// refusesKind reports if an error at or one level below a place of the given depth says that the
// value is another kind of thing: a different type there, or a different constant in one of its
// members.
func refusesKind(e *jsonschema.ValidationError, depth int) bool {
	at := strings.Count(e.InstanceLocation, "/")
	if len(e.Causes) == 0 {
		switch lastOf(e.AbsoluteKeywordLocation) {
		case "type":
			return at == depth
		case "const", "enum":
			return at <= depth+1
		}
		return false
	}
	// Deeper errors cannot say so, and need no look.
	return at <= depth+1 && slices.ContainsFunc(e.Causes, func(cause *jsonschema.ValidationError) bool { return refusesKind(cause, depth) })
}

// concernsName reports if a path of keywords leads through propertyNames.
func concernsName(path []string) bool {
	for i, token := range path {
		if token == "propertyNames" && (i == 0 || keywords[path[i-1]].holds != mapForm) {
			return true
		}
	}
	return false
}

// tokens splits one of the engine's locations: a JSON pointer that is also escaped as a URL path.
func tokens(location string) []string {
	location = strings.TrimPrefix(location, "/")
	if location == "" {
		return nil
	}
	list := strings.Split(location, "/")
	for i, token := range list {
		if plain, err := url.PathUnescape(token); err == nil {
			token = plain
		}
		list[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return list
}
