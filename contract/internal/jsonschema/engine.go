package jsonschema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// An engine decides whether values satisfy one schema. It is safe for concurrent use.
type engine interface {
	// check returns nil for a value that the schema allows. The value is made of nil, bool, float64, string, []any
	// and map[string]any.
	check(value any) (*failure, error)
}

// A failure is one keyword that a value does not satisfy. Keywords that hold schemas list what failed in them.
type failure struct {
	instance []string // names and indexes from the root of the value
	keyword  []string // names and indexes from the root of the schema
	ofName   bool     // it is about the name of the member at instance rather than its value
	causes   []*failure
}

// engineV5 is jsonschema/v5, which is used in this file only.
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

// metaFailure returns what the metaschema says about a schema that did not compile, or nil if something else is wrong.
func metaFailure(err error) *failure {
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return newFailure(invalid)
	}
	return nil
}

func (e engineV5) check(value any) (found *failure, err error) {
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
	return newFailure(invalid), nil
}

func newFailure(e *jsonschema.ValidationError) *failure {
	f := &failure{instance: tokens(e.InstanceLocation), ofName: concernsName(tokens(e.KeywordLocation))}
	if _, fragment, ok := strings.Cut(e.AbsoluteKeywordLocation, "#"); ok {
		f.keyword = tokens(fragment)
	}
	for _, cause := range e.Causes {
		f.causes = append(f.causes, newFailure(cause))
	}
	return f
}

// concernsName reports whether a path of keywords leads through propertyNames.
func concernsName(path []string) bool {
	for i, token := range path {
		if token == "propertyNames" && (i == 0 || subschemas[path[i-1]].form != mapForm) {
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
