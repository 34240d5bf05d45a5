package jsonschema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// Review looks for what is valid JSON Schema but surely or probably a mistake. The schema must have passed Compile.
func Review(root *tree.Node) []Problem {
	r := &reviewer{root: root}
	r.schema(root)
	return r.problems
}

type reviewer struct {
	root     *tree.Node
	examples int
	problems []Problem
}

func (r *reviewer) report(n *tree.Node, atKey bool, code, fix, format string, args ...any) {
	r.problems = append(r.problems, Problem{Node: n, AtKey: atKey, Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (r *reviewer) schema(n *tree.Node) {
	if n.Kind != tree.Map {
		return
	}
	r.limits(n)
	r.required(n)
	r.values(n)
	for _, m := range n.Members {
		if !slices.Contains(vocabulary, m.Key) && !strings.HasPrefix(m.Key, "x-") {
			r.report(m.Value, true, "schema/unknown-keyword", "see JSON Schema 2020-12; your own remarks start with x-",
				"%q is not a keyword of JSON Schema and has no effect", tree.Shorten(m.Key))
		}
		where, holds := subschemas[m.Key]
		if !holds {
			continue
		}
		for _, child := range children(m.Value, where.form) {
			r.schema(child)
		}
	}
}

// limits looks for minimums above maximums.
func (r *reviewer) limits(n *tree.Node) {
	for _, pair := range [][2]string{{"minimum", "maximum"}, {"minLength", "maxLength"}, {"minItems", "maxItems"},
		{"minProperties", "maxProperties"}, {"minContains", "maxContains"}, {"exclusiveMinimum", "exclusiveMaximum"}} {
		low, high := n.Get(pair[0]).Float(), n.Get(pair[1]).Float()
		if low != nil && high != nil && (*low > *high || *low == *high && strings.HasPrefix(pair[0], "exclusive")) {
			r.report(n.Get(pair[0]), false, "schema/unsatisfiable", "swap the two, or correct one", "no value satisfies %s %v and %s %v", pair[0], *low, pair[1], *high)
		}
	}
}

// required looks for members that must and must not be there.
func (r *reviewer) required(n *tree.Node) {
	closed := n.Get("additionalProperties")
	required := n.Get("required")
	if !closed.Is(tree.Bool) || closed.Scalar != "false" || !required.Is(tree.List) {
		return
	}
	patterns := map[string]any{}
	if p := n.Get("patternProperties"); p.Is(tree.Map) {
		patterns = p.Any().(map[string]any)
	}
	for _, name := range required.Items {
		if name.Kind == tree.Text && n.Get("properties").Get(name.Scalar) == nil && !matchesAny(patterns, name.Scalar) {
			r.report(name, false, "schema/required-not-allowed", "add it to properties", "%q is required, but additionalProperties: false excludes it", tree.Shorten(name.Scalar))
		}
	}
}

// values checks examples and defaults against the schema that they stand in.
func (r *reviewer) values(n *tree.Node) {
	var values []*tree.Node
	for _, key := range []string{"default", "example"} {
		if value := n.Get(key); value != nil {
			values = append(values, value)
		}
	}
	if examples := n.Get("examples"); examples.Is(tree.List) {
		values = append(values, examples.Items...)
	}
	const most = 20 // per schema: each takes a compilation
	if r.examples += len(values); len(values) == 0 || r.examples > most {
		return
	}
	schema := r.part(n)
	if schema == nil {
		return
	}
	for _, value := range values {
		if value.Levels() > schema.MaxDepth() {
			continue
		}
		if found, err := schema.Check(value.Any()); err == nil && len(found) > 0 {
			at := value
			if inner := value.Find(found[0].Path...); inner != nil {
				at = inner
			}
			r.report(at, false, "schema/bad-example", "correct the example or the schema", "the example does not satisfy its schema: it %s", found[0].Detail)
		}
	}
}

// part compiles a schema inside the root with the definitions that it may refer to, or returns nil if it refers to the
// root itself.
func (r *reviewer) part(n *tree.Node) *Schema {
	if n != r.root {
		if strings.Contains(string(n.AppendJSON(nil)), `"$ref":"#"`) {
			return nil
		}
		for _, home := range []string{"$defs", "definitions"} {
			if defs := r.root.Get(home); defs != nil {
				n = n.With(home, defs)
			}
		}
	}
	schema, problems := Compile(n)
	if len(problems) > 0 {
		return nil
	}
	return schema
}

// vocabulary lists the keywords of JSON Schema 2020-12, and of OpenAPI those that say nothing about values.
var vocabulary = []string{"$comment", "$defs", "$ref", "$schema", "additionalProperties", "allOf", "anyOf", "const", "contains",
	"contentEncoding", "contentMediaType", "contentSchema", "default", "definitions", "dependencies", "dependentRequired", "dependentSchemas",
	"deprecated", "description", "else", "enum", "example", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "if", "items",
	"maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength", "minProperties", "minimum",
	"multipleOf", "not", "oneOf", "pattern", "patternProperties", "prefixItems", "properties", "propertyNames", "readOnly", "required", "then",
	"title", "type", "unevaluatedItems", "unevaluatedProperties", "uniqueItems", "writeOnly"}

// Vocabulary returns the keywords of JSON Schema, to suggest one from.
func Vocabulary() []string { return slices.Clone(vocabulary) }
