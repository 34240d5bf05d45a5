package jsonschema

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// describe words a failure from the schema's keywords and the value rather than from the engine's prose, which names
// JSON Schema's terms, has no parameters and differs from run to run.
func (p *program) describe(f *failure, value any) []Violation {
	at := find(value, f.instance)
	if f.ofName && len(f.instance) > 0 {
		at = f.instance[len(f.instance)-1]
	}
	return p.describeAt(f, at)
}

// describeAt is describe with the value in question.
func (p *program) describeAt(f *failure, at any) []Violation {
	subject := ""
	if name, ok := at.(string); ok && f.ofName {
		subject = fmt.Sprintf("the name %q ", tree.Shorten(name))
	}
	keyword, limit := p.keyword(f.keyword)
	v := Violation{Path: f.instance, Keyword: keyword}
	object, _ := at.(map[string]any)
	switch keyword {
	case "required":
		return missingMembers(v, limit, object)
	case "additionalProperties", "unevaluatedProperties":
		if unknown := p.unknownMembers(v, find(p.document, parentOf(f.keyword)), object); len(unknown) > 0 {
			return unknown
		}
		v.Detail = "is not allowed here"
	case "dependentRequired", "dependencies":
		v.Name = text(limit)
		v.Detail = fmt.Sprintf("the member %q is missing: another member that is present needs it", tree.Shorten(v.Name))
	case "enum", "const":
		v.Known = texts(limit)
		v.Detail = fmt.Sprintf("%smust be %s, found %s", subject, choice(limit, keyword), found(at))
	case "anyOf", "oneOf":
		v.Detail = formWords(keyword, limit, at, f.noBranch)
	default:
		v.Detail = subject + limitWords(keyword, limit, at)
	}
	return []Violation{v}
}

// keyword returns the name and value of the keyword that a location ends in.
func (p *program) keyword(location []string) (name string, value any) {
	value = find(p.document, location)
	for i := len(location) - 1; i >= 0; i-- {
		if isIndex(location[i]) {
			continue
		}
		name = location[i]
		// …/dependentRequired/<member>/<index>
		if i > 0 && (location[i-1] == "dependentRequired" || location[i-1] == "dependencies") {
			name = location[i-1]
		}
		break
	}
	if allowed, ok := value.(bool); ok && !allowed && name != "uniqueItems" && name != "additionalProperties" && name != "unevaluatedProperties" {
		return "false", value
	}
	return name, value
}

func parentOf(location []string) []string {
	return location[:max(0, len(location)-1)]
}

func missingMembers(v Violation, required any, object map[string]any) []Violation {
	var list []Violation
	for _, name := range texts(required) {
		if _, present := object[name]; !present && len(list) < maxViolations {
			v.Name = name
			v.Detail = fmt.Sprintf("the member %q is missing", tree.Shorten(name))
			list = append(list, v)
		}
	}
	return list
}

func (p *program) unknownMembers(v Violation, schema any, object map[string]any) []Violation {
	keywords, _ := schema.(map[string]any)
	properties, _ := keywords["properties"].(map[string]any)
	patterns, _ := keywords["patternProperties"].(map[string]any)
	v.Known = sortedNames(properties)
	var list []Violation
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if _, known := properties[name]; known || p.matchesAny(patterns, name) {
			continue
		}
		if list = append(list, v.unknownMember(name)); len(list) == maxViolations {
			break
		}
	}
	return list
}

// unknownMember returns v for the member of that name.
func (v Violation) unknownMember(name string) Violation {
	v.Name, v.Keyword = name, "additionalProperties"
	v.Path = append(slices.Clip(v.Path), name)
	v.Detail = fmt.Sprintf("unknown member %q", tree.Shorten(name))
	return v
}

// sortedNames returns the names of an object's members.
func sortedNames(object any) []string {
	members, _ := object.(map[string]any)
	return slices.Sorted(maps.Keys(members))
}

// matchesAny reports if a pattern of patternProperties allows the name.
func (p *program) matchesAny(patterns map[string]any, name string) bool {
	for pattern := range patterns {
		if compiled := p.patterns[pattern]; compiled != nil && compiled.MatchString(name) {
			return true
		}
	}
	return false
}

func limitWords(keyword string, limit, at any) string {
	switch keyword {
	case "type":
		return fmt.Sprintf("must be %s, found %s", typeWords(limit), found(at))
	case "minimum":
		return fmt.Sprintf("must be at least %s, found %s", short(limit), found(at))
	case "maximum":
		return fmt.Sprintf("must be at most %s, found %s", short(limit), found(at))
	case "exclusiveMinimum":
		return fmt.Sprintf("must be more than %s, found %s", short(limit), found(at))
	case "exclusiveMaximum":
		return fmt.Sprintf("must be less than %s, found %s", short(limit), found(at))
	case "multipleOf":
		return fmt.Sprintf("must be a multiple of %s, found %s", short(limit), found(at))
	case "minLength":
		return fmt.Sprintf("must have at least %s, found %d", plural(limit, "character"), length(at))
	case "maxLength":
		return fmt.Sprintf("must have at most %s, found %d", plural(limit, "character"), length(at))
	case "minItems":
		return fmt.Sprintf("must have at least %s, found %d", plural(limit, "item"), length(at))
	case "maxItems":
		return fmt.Sprintf("must have at most %s, found %d", plural(limit, "item"), length(at))
	case "minProperties":
		return fmt.Sprintf("must have at least %s, found %d", plural(limit, "member"), length(at))
	case "maxProperties":
		return fmt.Sprintf("must have at most %s, found %d", plural(limit, "member"), length(at))
	case "pattern":
		return fmt.Sprintf("must match the pattern %s, found %s", tree.Shorten(text(limit)), found(at))
	case "format":
		return fmt.Sprintf("must be %s, found %s", formatWords(text(limit)), found(at))
	case "uniqueItems":
		return "must not hold the same item twice"
	case "contains", "minContains", "maxContains":
		return "does not hold as many items of the required kind as it must"
	case "not":
		return "has a form that is not allowed, found " + found(at)
	case "false":
		return "is not allowed here"
	}
	return fmt.Sprintf("is not allowed by %q of the schema", tree.Shorten(keyword))
}

// formWords is about anyOf and oneOf, of which no branch fits or, for oneOf, several. Branches that only require members or
// only state a type are put into words; others are "forms".
func formWords(keyword string, branches, at any, none bool) string {
	object, isObject := at.(map[string]any)
	list, _ := branches.([]any)
	var members, types, present []string
	for _, value := range list {
		branch, _ := value.(map[string]any)
		required := texts(branch["required"])
		if len(branch) == 1 && len(required) > 0 {
			words := quotedWords(required)
			members = append(members, words)
			if !slices.ContainsFunc(required, func(name string) bool { _, ok := object[name]; return !ok }) {
				present = append(present, words)
			}
		}
		if words := typeWords(branch["type"]); len(branch) == 1 && words != "" {
			types = append(types, words)
		}
	}
	switch {
	case isObject && len(list) > 0 && len(members) == len(list):
		count := map[string]string{"anyOf": "at least", "oneOf": "exactly"}[keyword]
		return fmt.Sprintf("must have %s one of the members %s, found %s", count, shortList(members, ", "), cmp.Or(shortList(present, " and "), "none"))
	case none && len(list) > 0 && len(types) == len(list):
		return fmt.Sprintf("must be %s, found %s", shortList(types, " or "), found(at))
	case none:
		return "matches none of the allowed forms, found " + found(at)
	}
	return "must match exactly one of the allowed forms, not several, found " + found(at)
}

// quotedWords joins the names that one branch requires.
func quotedWords(names []string) string {
	words := make([]string, len(names))
	for i, name := range names {
		words[i] = strconv.Quote(tree.Shorten(name))
	}
	return strings.Join(words, " with ")
}

// shortList joins words, at most 12 of them.
func shortList(words []string, separator string) string {
	if len(words) > 12 {
		words = append(words[:12:12], "…")
	}
	return strings.Join(words, separator)
}

func typeWords(limit any) string {
	names := map[string]string{"string": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false",
		"object": "an object", "array": "a list", "null": "null"}
	var words []string
	for _, name := range append(texts(limit), text(limit)) {
		if word, known := names[name]; known {
			words = append(words, word)
		}
	}
	return strings.Join(words, " or ")
}

func formatWords(format string) string {
	words := map[string]string{"date-time": "a date and time such as 2026-01-07T12:00:00Z", "date": "a date such as 2026-01-07",
		"time": "a time such as 12:00:00Z", "email": "an e-mail address", "uri": "an absolute URL", "uri-reference": "a URL",
		"hostname": "a host name", "ipv4": "an IPv4 address", "ipv6": "an IPv6 address", "uuid": "a UUID", "regex": "a regular expression",
		"json-pointer": "a JSON pointer", "duration": "a duration such as PT5M"}
	if w, known := words[format]; known {
		return w
	}
	return "of the format " + tree.Shorten(format)
}

// found names a value, cut to about 40 characters.
func found(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return "the number " + short(v)
	case string:
		return "the text " + strconv.Quote(tree.Shorten(v))
	case []any:
		return "a list"
	}
	return "an object"
}

// choice lists the values of enum, or names that of const.
func choice(limit any, keyword string) string {
	values, _ := limit.([]any)
	if keyword == "const" {
		values = []any{limit}
	}
	var words []string
	for _, value := range values[:min(len(values), 13)] {
		words = append(words, short(value))
	}
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + shortList(words, ", ")
}

// short is value as JSON, cut to 40 characters.
func short(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	return tree.Shorten(string(encoded))
}

func plural(limit any, noun string) string {
	if n, ok := limit.(float64); ok && n != 1 {
		noun += "s"
	}
	return short(limit) + " " + noun
}

// A sized stands for a list, an object or a text that was counted and not decoded.
type sized int

func length(value any) int {
	switch v := value.(type) {
	case sized:
		return int(v)
	case string:
		return utf8.RuneCountInString(v)
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	return 0
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func texts(value any) []string {
	list, _ := value.([]any)
	result := make([]string, 0, len(list))
	for _, item := range list {
		if s, ok := item.(string); ok {
			result = append(result, s)
		}
	}
	return result
}

// find follows names and indexes into decoded JSON, and returns nil if they lead nowhere.
func find(value any, path []string) any {
	for _, token := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}
