// Package jsonschema checks values against JSON Schema 2020-12 and says in words what is wrong with them.
//
// Schemas come from contracts and so from strangers. A gate refuses those that could harm the process before
// jsonschema/v5, the engine behind this package, sees them.
package jsonschema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// A Schema is a compiled JSON Schema. It is immutable and safe for concurrent use.
type Schema struct {
	engine   engine
	document any    // the schema as decoded JSON, to word failures by
	text     []byte // the schema as JSON
	maxDepth int    // levels of an instance
}

// Compile checks and compiles the schema that root holds. It returns nil if there are problems.
func Compile(root *tree.Node) (*Schema, []Problem) {
	maxDepth, problems := inspect(root)
	if len(problems) > 0 {
		return nil, problems
	}
	compiled, err := compileV5(root.AppendCanonical(nil))
	if err != nil {
		return nil, compileProblems(root, err)
	}
	return &Schema{engine: compiled, document: root.Any(), text: root.AppendJSON(nil), maxDepth: maxDepth}, nil
}

// compileProblems says what the engine does not like about a schema.
func compileProblems(root *tree.Node, err error) []Problem {
	failed := metaFailure(err)
	if failed == nil {
		return []Problem{{Node: root, Code: "endpoint/schema-invalid", Message: "not a JSON Schema: " + tree.Shorten(err.Error())}}
	}
	var problems []Problem
	for _, leaf := range failed.leaves() {
		at, above := root.Find(leaf.instance...), root.Find(leaf.instance[:max(0, len(leaf.instance)-1)]...)
		if at == nil {
			at = cmp.Or(above, root)
		}
		keyword := "the schema"
		if len(leaf.instance) > 0 {
			keyword = fmt.Sprintf("%q", leaf.instance[len(leaf.instance)-1])
		}
		problems = append(problems, Problem{Node: at, Code: "endpoint/schema-invalid",
			Message: fmt.Sprintf("not a JSON Schema: %s cannot be %s", keyword, at.Describe()), Fix: "see JSON Schema 2020-12 for what the keyword takes"})
	}
	return slices.CompactFunc(problems, func(a, b Problem) bool { return a.Node == b.Node })
}

// MaxDepth returns how many levels of lists and objects an instance may have.
func (s *Schema) MaxDepth() int { return s.maxDepth }

// JSON returns the schema as JSON. The caller must not modify it.
func (s *Schema) JSON() []byte { return s.text }

// Document returns the schema as decoded JSON. The caller must not modify it.
func (s *Schema) Document() any { return s.document }

// maxViolations bounds what one Check reports.
const maxViolations = 100

// A Violation says what is wrong at one place of a value.
type Violation struct {
	Path    []string // names and indexes from the root of the value
	Keyword string   // the keyword that is not satisfied, for example "required"
	Name    string   // for "required" and unknown members: the member's name, also the last element of Path if it is there
	Known   []string // for unknown members: the names that are allowed; for enum: the texts that are allowed
	Detail  string   // in words
}

// Check returns what is wrong with value, sorted by place, at most 100, or an error if the engine failed. The value
// must be as [tree.Node.Any] returns it and no deeper than MaxDepth.
func (s *Schema) Check(value any) ([]Violation, error) {
	failed, err := s.engine.check(value)
	if err != nil || failed == nil {
		return nil, err
	}
	var violations []Violation
	for _, leaf := range failed.leaves() {
		violations = append(violations, s.describe(leaf, value)...)
	}
	slices.SortFunc(violations, func(a, b Violation) int {
		return cmp.Or(slices.CompareFunc(a.Path, b.Path, comparePart), strings.Compare(a.Keyword, b.Keyword), strings.Compare(a.Detail, b.Detail))
	})
	violations = slices.CompactFunc(violations, func(a, b Violation) bool {
		return slices.Equal(a.Path, b.Path) && a.Detail == b.Detail
	})
	return violations[:min(len(violations), maxViolations)], nil
}

// comparePart orders indexes as numbers.
func comparePart(a, b string) int {
	if isIndex(a) && isIndex(b) && len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func isIndex(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// leaves returns the failures that say something: those at the ends of the tree. Of anyOf and oneOf, only a branch that
// was clearly meant is followed; otherwise the choice itself is the failure.
func (f *failure) leaves() []*failure {
	if len(f.causes) == 0 {
		return []*failure{f}
	}
	switch f.last() {
	case "anyOf", "oneOf":
		if meant := f.meantBranch(); meant != nil {
			return meant.leaves()
		}
		return []*failure{f}
	case "minContains", "contains":
		return []*failure{f}
	}
	var leaves []*failure
	for _, cause := range f.causes {
		leaves = append(leaves, cause.leaves()...)
	}
	return leaves
}

func (f *failure) last() string {
	if len(f.keyword) == 0 {
		return ""
	}
	return f.keyword[len(f.keyword)-1]
}

// meantBranch returns the only branch that fails for something inside the value rather than for its type, constant or
// choice of values.
func (f *failure) meantBranch() *failure {
	if len(f.causes) == 1 {
		return f.causes[0]
	}
	var meant *failure
	for _, branch := range f.causes {
		if branch.refusesKind(len(f.instance)) {
			continue
		}
		if meant != nil {
			return nil
		}
		meant = branch
	}
	return meant
}

// refusesKind reports whether a failure at or one level below a place of the given depth says that the value is another
// kind of thing: a different type there, or a different constant in one of its members.
func (f *failure) refusesKind(depth int) bool {
	if len(f.causes) == 0 {
		switch f.last() {
		case "type":
			return len(f.instance) == depth
		case "const", "enum":
			return len(f.instance) <= depth+1
		}
		return false
	}
	return slices.ContainsFunc(f.causes, func(cause *failure) bool { return cause.refusesKind(depth) })
}
