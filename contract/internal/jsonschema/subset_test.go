package jsonschema_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

func compile(t testing.TB, text string) *jsonschema.Schema {
	t.Helper()
	root, problems := tree.Parse(tree.NewSource("schema.json", []byte(text)))
	if len(problems) > 0 {
		t.Fatalf("%s: %v", text, problems)
	}
	schema, faults := jsonschema.Inspect(root, jsonschema.NewBudget())
	if len(faults) > 0 {
		t.Fatalf("%s: %s", text, faults[0].Message)
	}
	return schema
}

func TestSubset(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want jsonschema.Verdict
		path string
	}{
		{`{}`, `{}`, jsonschema.Yes, ""},
		{`{"type": "string"}`, `{}`, jsonschema.Yes, ""},
		{`{"type": "integer"}`, `{"type": "number"}`, jsonschema.Yes, ""},
		{`{"type": "number"}`, `{"type": "integer"}`, jsonschema.No, ""},
		{`{"type": "string"}`, `{"type": ["string", "null"]}`, jsonschema.Yes, ""},
		{`{"enum": ["a", "b"]}`, `{"enum": ["a", "b", "c"]}`, jsonschema.Yes, ""},
		{`{"enum": ["a", "b", "c"]}`, `{"enum": ["a", "b"]}`, jsonschema.No, ""},
		{`{"enum": ["a", 1]}`, `{"type": "string"}`, jsonschema.No, ""},
		{`{"const": "ab"}`, `{"type": "string", "minLength": 2, "pattern": "^a"}`, jsonschema.Yes, ""},
		{`{"type": "integer", "minimum": 2}`, `{"minimum": 1, "exclusiveMinimum": 1}`, jsonschema.Yes, ""},
		{`{"minimum": 1}`, `{"minimum": 2}`, jsonschema.No, ""},
		{`{"type": "string"}`, `{"minimum": 2, "required": ["a"]}`, jsonschema.Yes, ""},
		{`{"type": "object", "required": ["a", "b"]}`, `{"required": ["a"]}`, jsonschema.Yes, ""},
		{`{"type": "object", "required": ["a"]}`, `{"required": ["a", "b"]}`, jsonschema.No, ""},
		{`{"properties": {"a": {"type": "string"}}}`, `{"properties": {"a": {"type": "string", "maxLength": 5}}}`, jsonschema.No, "a"},
		{`{"properties": {"a": {"items": {"maximum": 9}}}}`, `{"properties": {"a": {"items": {"maximum": 8}}}}`, jsonschema.No, "a/*"},
		{`{"type": "object"}`, `{"additionalProperties": false}`, jsonschema.No, "*"},
		{`{"properties": {"a": {}}, "additionalProperties": false}`, `{"properties": {"a": {}, "b": {}}, "additionalProperties": false}`, jsonschema.Yes, ""},
		{`{"properties": {"a": {}, "b": {}}, "additionalProperties": false}`, `{"properties": {"a": {}}, "additionalProperties": false}`, jsonschema.No, "b"},
		{`{"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}}`, `{"type": "string"}`, jsonschema.Yes, ""},
		{`{"properties": {"next": {"$ref": "#"}}, "required": ["id"]}`, `{"properties": {"next": {"$ref": "#"}}}`, jsonschema.Yes, ""},
		{`{"properties": {"next": {"$ref": "#"}}}`, `{"properties": {"next": {"$ref": "#"}}, "required": ["id"]}`, jsonschema.No, ""},
		{`{"allOf": [{"type": "string"}, {"minLength": 3}]}`, `{"type": "string", "minLength": 2}`, jsonschema.Yes, ""},
		{`{"anyOf": [{"type": "string"}, {"type": "null"}]}`, `{"type": ["string", "null"]}`, jsonschema.Yes, ""},
		{`{"type": ["string", "null"]}`, `{"anyOf": [{"type": "string"}, {"type": "null"}]}`, jsonschema.Yes, ""},
		{`{"type": "string"}`, `{"pattern": "^a"}`, jsonschema.Unknown, ""},
		{`{"pattern": "^a", "title": "A"}`, `{"pattern": "^a", "title": "B"}`, jsonschema.Yes, ""},
		{`{"prefixItems": [{"type": "string"}, {}], "items": {"type": "null"}}`, `{"prefixItems": [{"type": "string"}], "items": {"type": "null"}}`, jsonschema.Unknown, ""},
		{`{"contains": {"const": 1}, "minContains": 0}`, `{"contains": {"const": 1}}`, jsonschema.Unknown, ""},
		{`{"items": {"$ref": "#/$defs/x"}, "not": {"$ref": "#/$defs/x"}, "$defs": {"x": {"const": 1}}}`, `{"not": {"$ref": "#/$defs/x"}, "$defs": {"x": {"const": 2}}}`, jsonschema.Unknown, ""},
		{`false`, `{"type": "string"}`, jsonschema.Yes, ""},
		{`{}`, `false`, jsonschema.No, ""},
	} {
		got := compile(t, c.a).Subset(compile(t, c.b))
		if got.Verdict != c.want || strings.Join(got.Path, "/") != c.path || (got.Verdict == jsonschema.Yes) != (got.Reason("before", "after") == "") {
			t.Errorf("%s within %s: %+v", c.a, c.b, got)
		}
	}
}

// A "yes" is never contradicted by a value.
func TestSubsetIsSound(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	rounds, counts := 500, map[jsonschema.Verdict]int{}
	if testing.Short() {
		rounds = 200
	}
	for range rounds {
		a := randomSchema(random, 3)
		b := mutate(random, a)
		left, right := compile(t, text(a)), compile(t, text(b))
		relation := left.Subset(right)
		counts[relation.Verdict]++
		if relation.Verdict != jsonschema.Yes {
			continue
		}
		for range 100 {
			value := randomValue(random, 3)
			if before, _ := left.Check(value, jsonschema.MaxPrice); len(before) > 0 {
				continue
			}
			if after, _ := right.Check(value, jsonschema.MaxPrice); len(after) > 0 {
				t.Fatalf("%s is within %s, but %s is not: %s", text(a), text(b), text(value), after[0].Detail)
			}
		}
	}
	if counts[jsonschema.Yes] < rounds/10 || counts[jsonschema.No] < rounds/10 {
		t.Errorf("the test says little: %v", counts)
	}
}

func text(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func pick[T any](random *rand.Rand, list ...T) T { return list[random.IntN(len(list))] }

func randomSchema(random *rand.Rand, depth int) any {
	if random.IntN(20) == 0 {
		return random.IntN(4) > 0
	}
	m := map[string]any{}
	if random.IntN(3) > 0 {
		m["type"] = pick[any](random, "string", "integer", "number", "object", "array", "boolean", []any{"string", "null"}, []any{"object", "array"})
	}
	for range 1 + random.IntN(3) {
		switch n := float64(random.IntN(4)); random.IntN(16) {
		case 0:
			m["minimum"] = n
		case 1:
			m["maximum"] = n
		case 2:
			m["exclusiveMinimum"] = n
		case 3:
			m["minLength"] = n
		case 4:
			m["maxLength"] = n
		case 5:
			m["enum"] = []any{randomValue(random, 1), randomValue(random, 1)}
		case 6:
			m["const"] = randomValue(random, 1)
		case 7:
			m["required"] = []any{pick(random, "a", "b")}
		case 8:
			m["maxItems"] = n
		case 9:
			m["uniqueItems"] = true
		case 10:
			m["minProperties"] = n
		case 11:
			m["multipleOf"] = n + 1
		case 12:
			m["pattern"] = pick(random, "^a", "b$")
		case 13:
			m["patternProperties"] = map[string]any{"^a": leaf(random)}
		case 14:
			m["maxProperties"] = n
		case 15:
			m["propertyNames"] = map[string]any{"maxLength": n}
		}
	}
	if depth == 0 {
		return m
	}
	for range random.IntN(3) {
		inner := func() any { return randomSchema(random, depth-1) }
		switch random.IntN(9) {
		case 0, 1:
			m["properties"] = map[string]any{pick(random, "a", "b"): inner(), pick(random, "b", "c"): inner()}
		case 2:
			m["additionalProperties"] = pick[any](random, false, inner())
		case 3:
			m["items"] = inner()
		case 4:
			m["anyOf"] = []any{inner(), inner()}
		case 5:
			m["allOf"] = []any{inner(), inner()}
		case 6:
			m["oneOf"] = []any{inner(), inner()}
		case 7:
			m["not"] = inner()
		case 8:
			m["prefixItems"] = []any{inner()}
		}
	}
	return m
}

func leaf(random *rand.Rand) any {
	return map[string]any{"type": pick(random, "string", "integer", "boolean")}
}

// mutate changes a schema here and there, so that a comparison is not always a plain no.
func mutate(random *rand.Rand, schema any) any {
	m, ok := schema.(map[string]any)
	if !ok {
		return schema
	}
	result := map[string]any{}
	for key, value := range m {
		switch v := value.(type) {
		case map[string]any:
			inner := map[string]any{}
			if key == "properties" || key == "patternProperties" {
				for name, schema := range v {
					inner[name] = mutate(random, schema)
				}
				value = inner
			} else if key != "const" {
				value = mutate(random, v)
			}
		case []any:
			if strings.HasSuffix(key, "Of") {
				var list []any
				for _, schema := range v {
					list = append(list, mutate(random, schema))
				}
				value = list
			}
		case float64:
			if random.IntN(3) == 0 && key != "const" {
				value = max(v+float64(random.IntN(3))-1, 1)
			}
		}
		if random.IntN(8) > 0 {
			result[key] = value
		}
	}
	if random.IntN(6) == 0 {
		extra, _ := randomSchema(random, 1).(map[string]any)
		for key, value := range extra {
			result[key] = value
		}
	}
	return result
}

func randomValue(random *rand.Rand, depth int) any {
	switch n := random.IntN(8); {
	case n == 0:
		return nil
	case n == 1:
		return random.IntN(2) == 0
	case n == 2:
		return float64(random.IntN(7))/2 - 0.5
	case n == 3 || depth == 0:
		return pick(random, "", "a", "ab", "b", "abb", fmt.Sprint(random.IntN(100)))
	case n < 6:
		list := []any{}
		for range random.IntN(3) {
			list = append(list, randomValue(random, depth-1))
		}
		return list
	}
	object := map[string]any{}
	for range random.IntN(4) {
		object[pick(random, "a", "b", "c", "ab", "d")] = randomValue(random, depth-1)
	}
	return object
}
