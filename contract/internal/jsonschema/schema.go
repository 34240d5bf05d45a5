// Package jsonschema checks values against JSON Schema 2020-12 and words their violations.
//
// Schemas come from contracts, so they are untrusted. A gate refuses schemas that could harm the
// process before jsonschema/v5, the engine behind this package, sees them.
package jsonschema

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/smarthaus/caio-bridge-go/contract/internal/fast"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// A Schema is a JSON Schema that has passed the gate. It holds its text. It is compiled at its
// first use, or by [Schema.Compile]. It is immutable and safe for concurrent use.
type Schema struct {
	text     []byte // JSON
	maxDepth int    // levels of an instance
	compiled func() (*program, error)
}

// A program is a compiled schema.
type program struct {
	engine   engine
	document any // the schema as decoded JSON, to word failures by
	pricer   *pricer
	fast     *fast.Schema              // nil if it does not know a keyword of the schema
	patterns map[string]*regexp.Regexp // of patternProperties
}

// Inspect judges the schema that root holds without compiling it, and charges it to the budget. It
// returns nil if there are problems. A schema that it returns can be compiled.
func Inspect(root *tree.Node, budget *Budget) (*Schema, []Problem) {
	if budget.Spent() {
		return nil, nil
	}
	text := root.AppendJSON(nil)
	if s, known := budget.judged[string(text)]; known {
		return s, nil
	}
	if budget.text -= len(text); budget.text < 0 {
		return nil, []Problem{{Node: root, Code: "endpoint/schema-unsafe", Fix: "let fewer endpoints refer to large definitions",
			Message: fmt.Sprintf("the schemas of the contract, with the definitions that they refer to, have more than %d MiB in sum", maxText>>20)}}
	}
	maxDepth, problems := inspect(root, budget)
	if len(problems) > 0 || budget.Spent() {
		return nil, problems
	}
	s := &Schema{text: text, maxDepth: maxDepth}
	s.compiled = sync.OnceValues(s.compile)
	budget.judged[string(text)] = s
	return s, nil
}

// Compile compiles the schema, unless that was done before. The error says why the engine refuses
// it.
func (s *Schema) Compile() error {
	_, err := s.compiled()
	return err
}

func (s *Schema) compile() (*program, error) {
	root, problems := tree.Parse(tree.NewSource("schema.json", s.text))
	if len(problems) > 0 {
		return nil, errors.New(problems[0].Message) // not reached: Inspect wrote the text
	}
	compiled, err := compileV5(root.AppendCanonical(nil))
	if err != nil {
		return nil, fmt.Errorf("not a JSON Schema: %s", tree.Shorten(err.Error()))
	}
	document := root.Any()
	p := &program{engine: compiled, document: document, pricer: newPricer(document), fast: fast.Compile(document, s.maxDepth), patterns: map[string]*regexp.Regexp{}}
	p.collectPatterns(document)
	return p, nil
}

// collectPatterns compiles the patterns for names.
func (p *program) collectPatterns(schema any) {
	s, _ := schema.(map[string]any)
	for key, value := range s {
		switch keywords[key].holds {
		case oneForm:
			p.collectPatterns(value)
		case listForm:
			list, _ := value.([]any)
			for _, inner := range list {
				p.collectPatterns(inner)
			}
		case mapForm:
			inner, _ := value.(map[string]any)
			for name, schema := range inner {
				if _, known := p.patterns[name]; key == "patternProperties" && !known {
					if pattern, err := regexp.Compile(name); err == nil {
						p.patterns[name] = pattern
					}
				}
				p.collectPatterns(schema)
			}
		}
	}
}

// MaxDepth returns how many levels of lists and objects an instance may have.
func (s *Schema) MaxDepth() int { return s.maxDepth }

// JSON returns the schema as JSON. The caller must not modify it.
func (s *Schema) JSON() []byte { return s.text }

// Document returns the schema as decoded JSON. It decodes it anew each time, because a schema that
// checks no values holds its text only.
func (s *Schema) Document() any {
	var document any
	if err := json.Unmarshal(s.text, &document); err != nil {
		return nil // not reached: Inspect wrote the text
	}
	return document
}

// maxViolations bounds the violations of one check.
const maxViolations = 100

// A Violation describes one place of a value that the schema refuses.
type Violation struct {
	Path    []string // names and indexes from the root of the value
	Keyword string   // the keyword that is not satisfied, for example "required"
	Name    string   // for "required" and unknown members: the member's name, also the last element of Path if it is there
	Known   []string // for unknown members: the names that are allowed; for enum: the texts that are allowed
	Detail  string   // in words
}

// errTooCostly says that the engine was not asked.
var errTooCostly = errors.New("checking the value takes too much work")

// Check returns the violations of value, sorted by place, at most 100. It returns an error if the
// engine fails, and errTooCostly if its work would take more than most, see [MaxPrice]. The value
// must be as [tree.Node.Any] returns it and no deeper than MaxDepth.
func (s *Schema) Check(value any, most int) ([]Violation, error) {
	p, err := s.compiled()
	if err != nil {
		return nil, err
	}
	if !p.pricer.affordable(value, most) {
		return nil, errTooCostly
	}
	failed, err := p.engine.check(value, maxViolations)
	if err != nil || len(failed) == 0 {
		return nil, err
	}
	var violations []Violation
	for i := range failed {
		violations = append(violations, p.describe(&failed[i], value)...)
	}
	return sortViolations(violations), nil
}

// sortViolations sorts by place, removes duplicates, and keeps the first 100.
func sortViolations(violations []Violation) []Violation {
	slices.SortFunc(violations, func(a, b Violation) int {
		return cmp.Or(slices.CompareFunc(a.Path, b.Path, comparePart), strings.Compare(a.Keyword, b.Keyword), strings.Compare(a.Detail, b.Detail))
	})
	violations = slices.CompactFunc(violations, func(a, b Violation) bool {
		return slices.Equal(a.Path, b.Path) && a.Detail == b.Detail
	})
	return violations[:min(len(violations), maxViolations)]
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
