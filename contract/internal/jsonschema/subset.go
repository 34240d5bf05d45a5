package jsonschema

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
)

// A Verdict answers whether every value that one schema allows is allowed by another.
type Verdict uint8

// The answers. Yes is never given in error; Unknown is given whenever a schema is beyond the comparison.
const (
	Yes Verdict = iota
	No
	Unknown
)

// A Relation is a verdict with, unless it is Yes, the place in the value that decides, and why.
type Relation struct {
	Verdict Verdict
	Path    []string // names of members, "*" for any item or member
	reason  string   // with \x01 for the one schema and \x02 for the other
}

// Reason says why the verdict is not Yes. left and right are what the two schemas are called, for example "before" and
// "after".
func (r Relation) Reason(left, right string) string {
	return strings.NewReplacer("\x01", left, "\x02", right).Replace(r.reason)
}

// Subset reports whether all values that s allows are allowed by other.
func (s *Schema) Subset(other *Schema) Relation {
	c := &comparison{a: s.Document(), b: other.Document(), open: map[string]bool{}}
	if c.same = reflect.DeepEqual(c.a, c.b); c.same {
		return Relation{}
	}
	return c.subset([]any{c.a}, c.b)
}

// A comparison walks two schemas. The left side is a list of schemas that all hold.
type comparison struct {
	a, b  any
	same  bool
	steps int
	open  map[string]bool // pairs being compared: revisited below themselves, they hold if nothing else fails
}

const maxSteps = 20_000

func unknown(format string, args ...any) Relation {
	return Relation{Verdict: Unknown, reason: fmt.Sprintf(format, args...)}
}

func no(format string, args ...any) Relation {
	return Relation{Verdict: No, reason: fmt.Sprintf(format, args...)}
}

// below moves a relation one level down.
func (r Relation) below(name string) Relation {
	if r.Verdict != Yes {
		r.Path = append([]string{name}, r.Path...)
	}
	return r
}

// worse returns the relation that decides if both must hold.
func worse(r, s Relation) Relation {
	if r.Verdict == No || s.Verdict == Yes || r.Verdict == Unknown && s.Verdict == Unknown {
		return r
	}
	return s
}

func (c *comparison) subset(left []any, right any) Relation {
	if c.steps++; c.steps > maxSteps {
		return unknown("the schemas are too large to compare")
	}
	all, empty := c.flatten(c.a, left, nil)
	right = c.resolve(c.b, right)
	if empty || right == true {
		return Relation{}
	}
	if right == false {
		return no("nothing is allowed there")
	}
	b, ok := right.(map[string]any)
	if !ok {
		return unknown("not a schema")
	}
	if len(b) == 0 {
		return Relation{}
	}
	key := pairKey(all, b)
	if c.open[key] {
		return Relation{}
	}
	c.open[key] = true
	defer delete(c.open, key)
	return c.alternatives(all, b)
}

// flatten replaces references and allOf by what they stand for, and reports whether the schemas allow nothing.
func (c *comparison) flatten(document any, schemas []any, into []map[string]any) (all []map[string]any, empty bool) {
	for _, schema := range schemas {
		schema = c.resolve(document, schema)
		if schema == false {
			return nil, true
		}
		m, ok := schema.(map[string]any)
		if !ok {
			continue
		}
		into = append(into, m)
		var inner []any
		if ref, ok := m["$ref"]; ok {
			inner = append(inner, map[string]any{"$ref": ref})
		}
		if list, ok := m["allOf"].([]any); ok {
			inner = append(inner, list...)
		}
		if into, empty = c.flatten(document, inner, into); empty {
			return nil, true
		}
	}
	return into, false
}

// resolve follows a schema that is nothing but a reference.
func (c *comparison) resolve(document, schema any) any {
	for range 100 {
		m, ok := schema.(map[string]any)
		ref, isRef := m["$ref"].(string)
		if !ok || !isRef || len(m) > 1 {
			return schema
		}
		if ref == "#" {
			schema = document
			continue
		}
		schema = find(document, tokens(strings.TrimPrefix(ref, "#")))
	}
	return schema
}

func pairKey(all []map[string]any, b map[string]any) string {
	var key strings.Builder
	for _, m := range all {
		fmt.Fprintf(&key, "%x,", reflect.ValueOf(m).Pointer())
	}
	fmt.Fprintf(&key, ">%x", reflect.ValueOf(b).Pointer())
	return key.String()
}

// alternatives splits the left side where it is a choice: every branch must be a subset.
func (c *comparison) alternatives(all []map[string]any, b map[string]any) Relation {
	for i, m := range all {
		for _, keyword := range []string{"anyOf", "oneOf"} {
			branches, ok := m[keyword].([]any)
			if !ok || reflect.DeepEqual(b[keyword], m[keyword]) {
				continue
			}
			rest := make([]any, 0, len(all)+1)
			for j, other := range all {
				if i == j {
					other = maps.Clone(other)
					delete(other, keyword)
				}
				rest = append(rest, bare(other))
			}
			result := Relation{}
			for _, branch := range branches {
				result = worse(result, c.subset(append(slices.Clip(rest), branch), b))
			}
			if result.Verdict == No && len(all) > 1 {
				result.Verdict = Unknown // the rest may exclude the branch
			}
			return result
		}
	}
	return c.keywords(all, b)
}

// bare is a schema without what flatten has taken out of it.
func bare(m map[string]any) map[string]any {
	if m["$ref"] == nil && m["allOf"] == nil {
		return m
	}
	m = maps.Clone(m)
	delete(m, "$ref")
	delete(m, "allOf")
	return m
}

// keywords checks that the left side implies every keyword of the right.
func (c *comparison) keywords(all []map[string]any, b map[string]any) Relation {
	result := Relation{}
	for _, keyword := range slices.Sorted(maps.Keys(b)) {
		r := c.implied(all, keyword, b)
		if result = worse(result, r); result.Verdict == No {
			return result
		}
	}
	return result
}

// implied reports whether one of the schemas on the left, which all hold, implies a keyword of the right.
func (c *comparison) implied(all []map[string]any, keyword string, b map[string]any) Relation {
	switch keyword {
	case "$ref":
		return c.subset(schemas(all), map[string]any{"$ref": b["$ref"]})
	case "allOf":
		result := Relation{}
		branches, _ := b["allOf"].([]any)
		for _, branch := range branches {
			result = worse(result, c.subset(schemas(all), branch))
		}
		return result
	case "anyOf":
		return c.choice(all, b)
	case "then", "else", "if":
		keyword = "if"
	}
	kinds := typesOf(all)
	if kinds == 0 {
		return Relation{} // no value is on the left
	}
	best := unknown("%q cannot be compared", keyword)
	for i, m := range all {
		r := c.one(m, kinds, keyword, b)
		if r.Verdict == Yes {
			return r
		}
		if i == 0 || r.Verdict == No && best.Verdict == Unknown {
			best = r
		}
	}
	if len(all) == 0 {
		return c.one(map[string]any{}, kinds, keyword, b)
	}
	return best
}

func schemas(all []map[string]any) []any {
	list := make([]any, len(all))
	for i, m := range all {
		list[i] = bare(m)
	}
	return list
}

// choice looks for one branch on the right that allows everything, then for one for each type on the left.
func (c *comparison) choice(all []map[string]any, b map[string]any) Relation {
	branches, _ := b["anyOf"].([]any)
	fits := func(left []any) bool {
		return slices.ContainsFunc(branches, func(branch any) bool { return c.subset(left, branch).Verdict == Yes })
	}
	left := schemas(all)
	if c.equal(all, "anyOf", b) || fits(left) {
		return Relation{}
	}
	kinds := typesOf(all)
	if kinds&integers != 0 && kinds&fractions != 0 {
		kinds &^= integers // "number" covers both
	}
	for _, t := range typeSets {
		if kinds&t.bits != 0 && t.bits != integers|fractions || t.name == "number" && kinds&fractions != 0 {
			if !fits(append(slices.Clip(left), map[string]any{"type": t.name})) {
				return unknown("none of the allowed forms surely covers %s", typeWords(t.name))
			}
		}
	}
	return Relation{}
}

// equal reports whether a schema on the left has the very same keyword, which says the same unless references in it
// lead to different definitions.
func (c *comparison) equal(all []map[string]any, keyword string, b map[string]any) bool {
	return slices.ContainsFunc(all, func(m map[string]any) bool { return c.sameKeyword(m, keyword, b) })
}

func (c *comparison) sameKeyword(m map[string]any, keyword string, b map[string]any) bool {
	value, ok := m[keyword]
	return ok && reflect.DeepEqual(value, b[keyword]) && (c.same || !refers(value))
}

// one reports whether m alone implies a keyword of b. kinds are the types that are possible on the left.
func (c *comparison) one(m map[string]any, kinds types, keyword string, b map[string]any) Relation {
	limit := b[keyword]
	if domain, known := domains[keyword]; known && kinds&domain == 0 {
		return Relation{} // the keyword says nothing about these types
	}
	if values, ok := valuesOf(m); ok {
		return eachValue(values, keyword, b)
	}
	switch keyword {
	case "type":
		if extra := kinds &^ typesOf([]map[string]any{{"type": limit}}); extra != 0 {
			return no("%s is allowed \x01, but not \x02", extra)
		}
		return Relation{}
	case "enum", "const":
		return no("other values than %s are allowed \x01", choice(limit, keyword))
	case "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum":
		return numberBound(m, keyword, limit)
	case "minLength", "minItems", "maxLength", "maxItems", "maxProperties", "minProperties":
		return sizeBound(m, keyword, limit)
	case "required":
		return requiredMembers(m, limit)
	case "properties":
		return c.properties(m, b)
	case "additionalProperties":
		return c.additional(m, b)
	case "items":
		if m["prefixItems"] == nil && b["prefixItems"] == nil {
			return c.subset([]any{orTrue(m["items"])}, limit).below("*")
		}
	case "uniqueItems":
		if limit == false || m["uniqueItems"] == true {
			return Relation{}
		}
		return no("the same item may stand twice \x01")
	case "multipleOf":
		if step, ok := m["multipleOf"].(float64); ok && wholeMultiple(step, limit) || limit == 1.0 && kinds&fractions == 0 {
			return Relation{}
		}
	default:
		if annotations[keyword] || !isKeyword(keyword) {
			return Relation{}
		}
	}
	if c.sameGroup(m, keyword, b) {
		return Relation{}
	}
	return unknown("%q cannot be compared", keyword)
}

// groups are keywords that mean something together only.
var groups = map[string][]string{
	"if": {"if", "then", "else"}, "items": {"items", "prefixItems"},
	"contains": {"contains", "minContains", "maxContains"}, "minContains": {"contains", "minContains", "maxContains"}, "maxContains": {"contains", "minContains", "maxContains"},
}

// sameGroup reports whether m has the very same keyword, and the same others that it depends on.
func (c *comparison) sameGroup(m map[string]any, keyword string, b map[string]any) bool {
	if strings.HasPrefix(keyword, "unevaluated") {
		return false // depends on everything around it
	}
	for _, other := range groups[keyword] {
		if (m[other] != nil || b[other] != nil) && !c.sameKeyword(m, other, b) {
			return false
		}
	}
	return c.sameKeyword(m, keyword, b)
}

func orTrue(schema any) any {
	if schema == nil {
		return true
	}
	return schema
}

// wholeMultiple reports whether step is a multiple of limit; both must be whole to be certain.
func wholeMultiple(step float64, limit any) bool {
	l, ok := limit.(float64)
	return ok && l > 0 && (step == l || step == math.Trunc(step) && l == math.Trunc(l) && math.Abs(step) < 1<<53 && math.Mod(step, l) == 0)
}

// refers reports whether a part of a schema contains a reference.
func refers(value any) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, refers)
	case map[string]any:
		if _, ok := v["$ref"]; ok {
			return true
		}
		for _, inner := range v {
			if refers(inner) {
				return true
			}
		}
	}
	return false
}
