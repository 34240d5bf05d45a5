package jsonschema

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Variants returns the members of value that the schema does not name, but for their case: decoders
// that fold case, as encoding/json does, would take them for members that they are not, unchecked.
// The value must be as for [Schema.Check], and not too costly for it.
func (s *Schema) Variants(value any) []Violation {
	p, err := s.compiled()
	if err != nil {
		return []Violation{{Detail: "the value could not be checked"}}
	}
	w := variantWalk{program: p, found: map[string]Violation{}, folded: map[uintptr]map[string]string{}}
	w.walk(p.document, value, nil)
	if len(w.found) == 0 {
		return nil
	}
	w.excuse = true
	w.walk(p.document, value, nil)
	return sortViolations(slices.Collect(maps.Values(w.found)))
}

// A variantWalk goes through a value twice: to find members, and to drop members that another part
// of the schema names.
type variantWalk struct {
	program *program
	excuse  bool
	found   map[string]Violation          // by key
	folded  map[uintptr]map[string]string // names of each "properties" that was needed, by fold
}

// A step leads to a value from the one around it.
type step struct {
	before *step
	name   string
	index  int // in a list
	list   bool
}

// path returns the names and indexes that lead to the value.
func (s *step) path() []string {
	var path []string
	for ; s != nil; s = s.before {
		if s.list {
			path = append(path, strconv.Itoa(s.index))
		} else {
			path = append(path, s.name)
		}
	}
	slices.Reverse(path)
	return path
}

func keyOf(path []string) string { return strings.Join(path, "\x00") }

func (w *variantWalk) walk(schema, value any, at *step) {
	s, ok := schema.(map[string]any)
	if !ok {
		return
	}
	switch ref, _ := s["$ref"].(string); ref {
	case "":
	case "#":
		w.walk(w.program.document, value, at)
	default:
		w.walk(find(w.program.document, tokens(strings.TrimPrefix(ref, "#"))), value, at)
	}
	for _, keyword := range []string{"if", "then", "else", "not"} {
		w.walk(s[keyword], value, at)
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		branches, _ := s[keyword].([]any)
		for _, branch := range branches {
			w.walk(branch, value, at)
		}
	}
	dependent, _ := s["dependentSchemas"].(map[string]any)
	for _, schema := range dependent {
		w.walk(schema, value, at)
	}
	switch value := value.(type) {
	case map[string]any:
		w.object(s, value, at)
	case []any:
		first, _ := s["prefixItems"].([]any)
		for i, item := range value {
			element := s["items"]
			if i < len(first) {
				element = first[i]
			}
			to := &step{before: at, index: i, list: true}
			w.walk(element, item, to)
			w.walk(s["contains"], item, to)
		}
	}
}

func (w *variantWalk) object(s map[string]any, value map[string]any, at *step) {
	named, _ := s["properties"].(map[string]any)
	patterns, _ := s["patternProperties"].(map[string]any)
	for name, inner := range value {
		to := &step{before: at, name: name}
		if member, ok := named[name]; ok {
			if w.excuse {
				delete(w.found, keyOf(to.path()))
			}
			w.walk(member, inner, to)
			continue
		}
		if known, ok := w.fold(named)[foldName(name)]; ok && !w.excuse {
			path := to.path()
			w.found[keyOf(path)] = Violation{Path: path, Keyword: "properties", Name: name, Detail: fmt.Sprintf("the member is %q: write it so", known)}
		}
		if len(patterns) == 0 {
			w.walk(s["additionalProperties"], inner, to)
		}
		for pattern, member := range patterns {
			if compiled := w.program.patterns[pattern]; compiled != nil && compiled.MatchString(name) {
				w.walk(member, inner, to)
			}
		}
	}
}

// fold returns the names of members by their case-folded form.
func (w *variantWalk) fold(named map[string]any) map[string]string {
	if len(named) == 0 {
		return nil
	}
	key := reflect.ValueOf(named).Pointer()
	if folds, ok := w.folded[key]; ok {
		return folds
	}
	folds := make(map[string]string, len(named))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		folds[foldName(name)] = name
	}
	w.folded[key] = folds
	return folds
}

// foldName returns the same for names that strings.EqualFold takes for the same.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}
