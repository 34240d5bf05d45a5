package jsonschema

import (
	"maps"
	"regexp"
	"slices"
)

// member returns the schemas that m applies to a member of that name.
func member(m map[string]any, name string) []any {
	properties, _ := m["properties"].(map[string]any)
	patterns, _ := m["patternProperties"].(map[string]any)
	var list []any
	if schema, named := properties[name]; named {
		list = append(list, schema)
	}
	for pattern, schema := range patterns {
		if matched, err := regexp.MatchString(pattern, name); err == nil && matched {
			list = append(list, schema)
		}
	}
	if len(list) == 0 {
		list = append(list, orTrue(m["additionalProperties"]))
	}
	return list
}

func (c *comparison) properties(m, b map[string]any) Relation {
	properties, _ := b["properties"].(map[string]any)
	result := Relation{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		result = worse(result, c.subset(member(m, name), properties[name]).below(name))
	}
	return result
}

// additional checks the members that the right side does not name.
func (c *comparison) additional(m, b map[string]any) Relation {
	limit := b["additionalProperties"]
	if limit == true {
		return Relation{}
	}
	named, _ := b["properties"].(map[string]any)
	patterns, _ := b["patternProperties"].(map[string]any)
	var compiled []*regexp.Regexp
	for pattern := range patterns {
		if c, err := regexp.Compile(pattern); err == nil {
			compiled = append(compiled, c)
		}
	}
	own, _ := m["properties"].(map[string]any)
	result := Relation{}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if _, known := named[name]; known || matchesAny(compiled, name) {
			continue
		}
		r := c.subset(member(m, name), limit).below(name)
		if r.Verdict == No && limit == false {
			r.reason = "the member is allowed \x01, but not \x02"
		}
		result = worse(result, r)
	}
	ownPatterns, _ := m["patternProperties"].(map[string]any)
	for pattern, schema := range ownPatterns {
		if _, both := patterns[pattern]; !both {
			if r := c.subset([]any{schema}, limit); r.Verdict != Yes {
				result = worse(result, unknown("members that match %s cannot be compared", short(pattern)))
			}
		}
	}
	r := c.subset([]any{orTrue(m["additionalProperties"])}, limit).below("*")
	if r.Verdict == No && len(patterns) > 0 {
		r.Verdict = Unknown
	}
	if r.Verdict == No && limit == false {
		r.reason = "further members are allowed \x01, but not \x02"
	}
	return worse(result, r)
}

func requiredMembers(m map[string]any, limit any) Relation {
	own := texts(m["required"])
	for _, name := range texts(limit) {
		if !slices.Contains(own, name) {
			return no("%q is required \x02, but not \x01", name)
		}
	}
	return Relation{}
}
