package jsonschema

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// Review reports probable mistakes in a schema that has passed [Inspect]. It reports less once the
// budget is spent.
func Review(root *tree.Node, budget *Budget) []Problem {
	r := &reviewer{root: root, budget: budget}
	r.schema(root)
	return r.problems
}

type reviewer struct {
	root     *tree.Node
	budget   *Budget
	problems []Problem
}

func (r *reviewer) report(n *tree.Node, atKey bool, code, fix, format string, args ...any) {
	if r.budget.doubts--; r.budget.doubts < 0 {
		return
	}
	r.problems = append(r.problems, Problem{Node: n, AtKey: atKey, Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (r *reviewer) schema(n *tree.Node) {
	if n.Kind != tree.Map {
		return
	}
	r.limits(n)
	r.required(n)
	r.examples(n)
	for _, m := range n.Members {
		word, known := keywords[m.Key]
		if !known && !strings.HasPrefix(m.Key, "x-") {
			r.report(m.Value, true, "schema/unknown-keyword", "see JSON Schema 2020-12; your own remarks start with x-",
				"%q is not a keyword of JSON Schema and has no effect", tree.Shorten(m.Key))
		}
		for _, child := range children(m.Value, word.holds) {
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
	closed, required := n.Get("additionalProperties"), n.Get("required")
	if !closed.Is(tree.Bool) || closed.Scalar != "false" || !required.Is(tree.List) {
		return
	}
	named := map[string]bool{}
	if properties := n.Get("properties"); properties.Is(tree.Map) {
		for _, m := range properties.Members {
			named[m.Key] = true
		}
	}
	var patterns []*regexp.Regexp
	if p := n.Get("patternProperties"); p.Is(tree.Map) {
		for _, m := range p.Members {
			if pattern, err := regexp.Compile(m.Key); err == nil {
				patterns = append(patterns, pattern)
			}
		}
	}
	for _, name := range required.Items {
		if r.budget.matching -= len(patterns) * maxPatternSize * len(name.Scalar); r.budget.matching < 0 && len(patterns) > 0 {
			return
		}
		if !named[name.Scalar] && !matchesAny(patterns, name.Scalar) {
			r.report(name, false, "schema/required-not-allowed", "add it to properties", "%q is required, but additionalProperties: false excludes it", tree.Shorten(name.Scalar))
		}
	}
}

// examples checks examples and defaults against the schema that they stand in.
func (r *reviewer) examples(n *tree.Node) {
	var list []*tree.Node
	for _, key := range []string{"default", "example"} {
		if value := n.Get(key); value != nil {
			list = append(list, value)
		}
	}
	if examples := n.Get("examples"); examples.Is(tree.List) {
		list = append(list, examples.Items...)
	}
	if len(list) == 0 {
		return
	}
	schema := r.part(n)
	if schema == nil {
		return
	}
	for _, example := range list {
		if example.Levels() > schema.MaxDepth() {
			continue
		}
		if found, err := schema.Check(example.Any(), MaxPrice); err == nil && len(found) > 0 {
			at := example
			if inner := example.Find(found[0].Path...); inner != nil {
				at = inner
			}
			r.report(at, false, "schema/bad-example", "correct the example or the schema", "the example does not satisfy its schema: it %s", found[0].Detail)
		}
	}
}

// part returns a schema inside the root with the definitions that it may refer to. It returns nil
// if the schema refers to the root itself, or if compiling it is beyond the budget.
func (r *reviewer) part(n *tree.Node) *Schema {
	if r.budget.examples < 0 {
		return nil
	}
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
	if r.budget.examples -= n.Size(); r.budget.examples < 0 {
		return nil
	}
	schema, problems := Inspect(n, NewBudget())
	if len(problems) > 0 {
		return nil
	}
	return schema
}
