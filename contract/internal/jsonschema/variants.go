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

// What a walk may take. The gate lets no schema through that takes so much; a value that does all the same is refused.
const (
	maxVariantSteps = 50_000_000
	maxVariantDepth = 50_000
)

// Variants returns the members of value that the schema does not name, but for their case: decoders that fold case, as
// encoding/json does, would take them for members that they are not, unchecked. The value must be as for [Schema.Check].
func (s *Schema) Variants(value any) []Violation {
	w := variantWalk{root: s.document, named: map[string]bool{}, folded: map[uintptr]map[string]string{}}
	w.walk(s.document, value, nil)
	if w.gaveUp {
		return []Violation{{Detail: "the value could not be checked"}}
	}
	w.found = slices.DeleteFunc(w.found, func(v Violation) bool { return w.named[pathKey(v.Path)] })
	slices.SortFunc(w.found, func(a, b Violation) int { return slices.CompareFunc(a.Path, b.Path, comparePart) })
	w.found = slices.CompactFunc(w.found, func(a, b Violation) bool { return slices.Equal(a.Path, b.Path) })
	return w.found[:min(len(w.found), maxViolations)]
}

type variantWalk struct {
	root         any
	steps, depth int
	gaveUp       bool
	found        []Violation
	named        map[string]bool               // members that some part of the schema names, by pathKey
	folded       map[uintptr]map[string]string // names of each "properties" that was needed, by fold
}

func pathKey(path []string) string { return strings.Join(path, "\x00") }

func (w *variantWalk) walk(schema, value any, path []string) {
	s, ok := schema.(map[string]any)
	w.steps++
	w.depth++
	defer func() { w.depth-- }()
	if w.gaveUp = w.gaveUp || w.steps > maxVariantSteps || w.depth > maxVariantDepth; w.gaveUp || !ok {
		return
	}
	switch ref, _ := s["$ref"].(string); ref {
	case "":
	case "#":
		w.walk(w.root, value, path)
	default:
		w.walk(find(w.root, tokens(strings.TrimPrefix(ref, "#"))), value, path)
	}
	for _, keyword := range []string{"if", "then", "else", "not"} {
		w.walk(s[keyword], value, path)
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		branches, _ := s[keyword].([]any)
		for _, branch := range branches {
			w.walk(branch, value, path)
		}
	}
	dependent, _ := s["dependentSchemas"].(map[string]any)
	for _, schema := range dependent {
		w.walk(schema, value, path)
	}
	switch value := value.(type) {
	case map[string]any:
		w.object(s, value, path)
	case []any:
		first, _ := s["prefixItems"].([]any)
		for i, item := range value {
			element := s["items"]
			if i < len(first) {
				element = first[i]
			}
			at := append(slices.Clip(path), strconv.Itoa(i))
			w.walk(element, item, at)
			w.walk(s["contains"], item, at)
		}
	}
}

func (w *variantWalk) object(s map[string]any, value map[string]any, path []string) {
	named, _ := s["properties"].(map[string]any)
	patterns, _ := s["patternProperties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(value)) {
		at := append(slices.Clip(path), name)
		if member, ok := named[name]; ok {
			w.named[pathKey(at)] = true
			w.walk(member, value[name], at)
			continue
		}
		if known, ok := w.fold(named)[foldName(name)]; ok {
			w.found = append(w.found, Violation{Path: at, Keyword: "properties", Name: name, Detail: fmt.Sprintf("the member is %q: write it so", known)})
		}
		if len(patterns) == 0 {
			w.walk(s["additionalProperties"], value[name], at)
		}
	}
	for pattern, member := range patterns {
		for name := range value {
			if matchesAny(map[string]any{pattern: member}, name) {
				w.walk(member, value[name], append(slices.Clip(path), name))
			}
		}
	}
}

// fold returns the names of members by what is the same in every case.
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
