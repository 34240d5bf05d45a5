// Package parameters reads requests without a body: their path and query become a JSON object.
package parameters

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/openapi"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Set holds the parameters of an endpoint by name: of its path, and of its input_schema for the
// query.
type Set map[string]parameter

// Errors of Set.Read. Their texts are sentences for the caller.
const (
	ErrQuery Error = "The query is not written as name=value&name=value, with %XX for other characters."
	ErrUTF8  Error = "Path and query are not UTF-8 once %XX is decoded."
)

// An Error is a constant error.
type Error string

// Error returns the sentence.
func (e Error) Error() string { return string(e) }

type parameter struct {
	inPath   bool
	required bool
	schema   any   // JSON Schema of the value
	kind     kinds // types of the value, or of the items of a list
	list     bool
}

// object is a JSON object.
type object = map[string]any

// kinds are the JSON types that a schema allows. None means all.
type kinds []string

// New returns the parameters of an endpoint without a body. It fails if the schema cannot be
// encoded.
func New(e contract.Endpoint) (Set, error) {
	p := Set{}
	for segment := range strings.SplitSeq(e.Path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")
			p[name] = parameter{inPath: true, required: true, schema: object{"type": "string"}}
		}
	}
	if e.InputSchema == nil {
		return p, nil
	}
	document, err := e.InputSchema.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var top struct {
		Properties map[string]any
		Required   []string
	}
	_ = json.Unmarshal(document, &top) // true and false are schemas, too, without parameters
	for name, schema := range top.Properties {
		q := parameter{
			inPath:   p[name].inPath,
			required: p[name].inPath || slices.Contains(top.Required, name),
			schema:   schema,
			kind:     kindsOf(schema),
		}
		if slices.Equal(q.kind, kinds{"array"}) {
			q.list, q.kind = true, kindsOf(schema.(object)["items"])
		}
		p[name] = q
	}
	return p, nil
}

// Describe lists the parameters for the OpenAPI document.
func (p Set) Describe() (list []openapi.Parameter) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		q := p[name]
		list = append(list, openapi.Parameter{Name: name, InPath: q.inPath, Required: q.required, Schema: q.schema})
	}
	return list
}

func kindsOf(schema any) (k kinds) {
	members, _ := schema.(object)
	switch types := members["type"].(type) {
	case string:
		k = kinds{types}
	case []any:
		for _, t := range types {
			name, _ := t.(string)
			k = append(k, name)
		}
	}
	return k
}

// Read returns the JSON object of a request's path and query. Errors: ErrQuery, ErrUTF8.
func (p Set) Read(r *http.Request) ([]byte, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, ErrQuery // without err: it repeats some of the query
	}
	if !utf8.ValidString(r.URL.Path) || !isText(query) {
		return nil, ErrUTF8
	}
	values := map[string]any{}
	for name, texts := range query {
		q := p[name]
		list := make([]any, len(texts))
		for i, text := range texts {
			list[i] = q.kind.value(text)
		}
		if len(list) == 1 && !q.list {
			values[name] = list[0]
		} else {
			values[name] = list
		}
	}
	for name, q := range p {
		if q.inPath {
			values[name] = q.kind.value(r.PathValue(name))
		}
	}
	return codec.Encode(values)
}

func isText(query url.Values) bool {
	for name, texts := range query {
		for _, text := range append(texts, name) {
			if !utf8.ValidString(text) {
				return false
			}
		}
	}
	return true
}

// value converts a text of a URL to the number or boolean that the schema wants, or returns the
// text.
func (k kinds) value(text string) any {
	if len(k) == 0 || slices.Contains(k, "string") {
		return text
	}
	switch {
	case text == "true" || text == "false":
		if slices.Contains(k, "boolean") {
			return text == "true"
		}
	case slices.Contains(k, "integer") || slices.Contains(k, "number"):
		if json.Valid([]byte(text)) && strings.Trim(text, "-+.eE0123456789") == "" {
			return json.Number(text)
		}
	}
	return text
}
