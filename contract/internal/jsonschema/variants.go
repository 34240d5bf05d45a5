package jsonschema

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const maxVariantSteps = 100_000 // what takes more is not looked at to its end

// Variants returns the members of value that the schema does not name, but for their case: decoders that fold case, as
// encoding/json does, would take them for members that they are not, unchecked. The value must be as for [Schema.Check].
func (s *Schema) Variants(value any) []Violation {
	w := variantWalk{root: s.document, named: map[string]bool{}}
	w.walk(s.document, value, nil)
	w.found = slices.DeleteFunc(w.found, func(v Violation) bool { return w.named[pathKey(v.Path)] })
	slices.SortFunc(w.found, func(a, b Violation) int { return slices.CompareFunc(a.Path, b.Path, comparePart) })
	w.found = slices.CompactFunc(w.found, func(a, b Violation) bool { return slices.Equal(a.Path, b.Path) })
	return w.found[:min(len(w.found), maxViolations)]
}

type variantWalk struct {
	root  any
	steps int
	found []Violation
	named map[string]bool // members that some part of the schema names, by pathKey
}

func pathKey(path []string) string { return strings.Join(path, "\x00") }

func (w *variantWalk) walk(schema, value any, path []string) {
	s, ok := schema.(map[string]any)
	if w.steps++; !ok || w.steps > maxVariantSteps {
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
			w.walk(element, item, append(slices.Clip(path), strconv.Itoa(i)))
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
		for known := range named {
			if strings.EqualFold(name, known) {
				w.found = append(w.found, Violation{Path: at, Keyword: "properties", Name: name, Detail: fmt.Sprintf("the member is %q: write it so", known)})
			}
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
