package contract_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// compile makes a schema by way of a contract.
func compile(t testing.TB, schema string) *contract.Schema {
	t.Helper()
	return mustParse(t, withSchema(schema)).API.Endpoints[0].InputSchema
}

// withSchema is plain with an input schema, as JSON.
func withSchema(schema string) string {
	return strings.Replace(plain, "input_schema: {type: object}", "input_schema: "+schema, 1)
}

func TestValidateWordsEveryKeyword(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200)
	for _, c := range []struct{ schema, value, pointer, detail string }{
		{`{"type": "string"}`, `5`, "", "must be text, found the number 5"},
		{`{"type": ["integer", "null"]}`, `1.5`, "", "must be a whole number or null, found the number 1.5"},
		{`{"type": "object"}`, `[]`, "", "must be an object, found a list"},
		{`{"type": "array", "items": {"type": "boolean"}}`, `[true, "yes"]`, "/1", `must be true or false, found the text "yes"`},
		{`{"required": ["a/b"]}`, `{}`, "", `the member "a/b" is missing`},
		{`{"properties": {"prompt": {"type": "string"}}, "additionalProperties": false}`, `{"promt": 1}`, "/promt", `unknown member "promt"; did you mean "prompt"?`},
		{`{"properties": {"a/b~": {"type": "string"}}}`, `{"a/b~": 1}`, "/a~1b~0", "must be text, found the number 1"},
		{`{"properties": {"é %": {"type": "string"}}}`, `{"é %": 1}`, "/é %", "must be text, found the number 1"},
		{`{"enum": ["a", 2, null]}`, `"b"`, "", `must be one of "a", 2, null, found the text "b"`},
		{`{"const": {"a": 1}}`, `1`, "", `must be {"a":1}, found the number 1`},
		{`{"minimum": 1}`, `0`, "", "must be at least 1, found the number 0"},
		{`{"maximum": 1.5}`, `2`, "", "must be at most 1.5, found the number 2"},
		{`{"exclusiveMinimum": 1}`, `1`, "", "must be more than 1, found the number 1"},
		{`{"exclusiveMaximum": 1}`, `1`, "", "must be less than 1, found the number 1"},
		{`{"multipleOf": 0.01}`, `0.075`, "", "must be a multiple of 0.01, found the number 0.075"},
		{`{"minLength": 1}`, `""`, "", "must have at least 1 character, found 0"},
		{`{"maxLength": 2}`, `"äöü"`, "", "must have at most 2 characters, found 3"},
		{`{"pattern": "^a"}`, `"b"`, "", `must match the pattern ^a, found the text "b"`},
		{`{"format": "date-time"}`, `"now"`, "", `must be a date and time such as 2026-01-07T12:00:00Z, found the text "now"`},
		{`{"minItems": 2}`, `[1]`, "", "must have at least 2 items, found 1"},
		{`{"maxItems": 0}`, `[1]`, "", "must have at most 0 items, found 1"},
		{`{"uniqueItems": true}`, `[1, 1.0]`, "", "must not hold the same item twice"},
		{`{"contains": {"const": 1}}`, `[2]`, "", "does not hold as many items of the required kind as it must"},
		{`{"minProperties": 1}`, `{}`, "", "must have at least 1 member, found 0"},
		{`{"maxProperties": 1}`, `{"a": 1, "b": 2}`, "", "must have at most 1 member, found 2"},
		{`{"propertyNames": {"maxLength": 2}}`, `{"abc": 1}`, "/abc", `the name "abc" must have at most 2 characters, found 3`},
		{`{"dependentRequired": {"a": ["b"]}}`, `{"a": 1}`, "", `the member "b" is missing: another member that is present needs it`},
		{`{"properties": {"a": false}}`, `{"a": 1}`, "/a", "is not allowed here"},
		{`{"additionalProperties": {"type": "string"}}`, `{"a": 1}`, "/a", "must be text, found the number 1"},
		{`{"unevaluatedProperties": false}`, `{"a": 1}`, "/a", "is not allowed here"},
		{`{"not": {"type": "string"}}`, `"a"`, "", `has a form that is not allowed, found the text "a"`},
		{`{"anyOf": [{"type": "string"}, {"type": "number"}]}`, `true`, "", "must be text or a number, found true"},
		{`{"anyOf": [{"maxLength": 1, "type": "string"}, {"type": "number"}]}`, `true`, "", "matches none of the allowed forms, found true"},
		{`{"oneOf": [{"required": ["code"]}, {"required": ["diff"]}]}`, `{}`, "", `must have exactly one of the members "code", "diff", found none`},
		{`{"oneOf": [{"required": ["code"]}, {"required": ["diff"]}]}`, `{"code": 1, "diff": 1}`, "", `must have exactly one of the members "code", "diff", found "code" and "diff"`},
		{`{"anyOf": [{"required": ["code"]}, {"required": ["old", "new"]}]}`, `{"old": 1}`, "", `must have at least one of the members "code", "old" with "new", found none`},
		{`{"oneOf": [{"type": "number"}, {"type": "integer"}]}`, `1`, "", "must match exactly one of the allowed forms, not several, found the number 1"},
		{`{"oneOf": [{"type": "string"}, {"properties": {"a": {"type": "number"}}, "type": "object"}]}`, `{"a": "x"}`, "/a", `must be a number, found the text "x"`},
		{`{"oneOf": [{"type": "number"}, {"minimum": 0}]}`, `1`, "", "must match exactly one of the allowed forms, not several, found the number 1"},
		{`{"anyOf": [{"properties": {"kind": {"const": "a"}, "n": {"type": "number"}}}, {"properties": {"kind": {"const": "b"}, "n": {"type": "string"}}}]}`,
			`{"kind": "a", "n": "x"}`, "/n", `must be a number, found the text "x"`},
		{`{"if": {"required": ["a"]}, "then": {"required": ["b"]}}`, `{"a": 1}`, "", `the member "b" is missing`},
		{`{"$ref": "#/$defs/t", "$defs": {"t": {"type": "string"}}}`, `1`, "", "must be text, found the number 1"},
		{`{"type": "number"}`, `"` + long + `"`, "", `must be a number, found the text "` + long[:39] + `…"`},
		{`{"additionalProperties": false}`, `{"` + long + `": 1}`, "/" + long, `unknown member "` + long[:39] + `…"`},
	} {
		err := compile(t, c.schema).Validate([]byte(c.value))
		want := contract.Violations{{Pointer: c.pointer, Detail: c.detail}}
		if diff := cmp.Diff(error(want), err); diff != "" {
			t.Errorf("%s against %s (-want +got):\n%s", c.value, c.schema, diff)
		}
	}
}

func TestValidateReportsAllInOrder(t *testing.T) {
	t.Parallel()
	schema := compile(t, `{"required": ["z"], "properties": {"z": {}, "list": {"items": {"type": "string"}}}, "additionalProperties": false}`)
	value := `{"b": 1, "a": 1, "list": ["", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}`
	for range 10 {
		err := schema.Validate([]byte(value))
		var pointers []string
		for _, v := range err.(contract.Violations) {
			pointers = append(pointers, v.Pointer)
		}
		want := []string{"", "/a", "/b", "/list/1", "/list/2", "/list/3", "/list/4", "/list/5", "/list/6", "/list/7", "/list/8", "/list/9", "/list/10"}
		if diff := cmp.Diff(want, pointers); diff != "" {
			t.Fatalf("pointers (-want +got):\n%s", diff)
		}
	}
	err := schema.Validate([]byte(`{"z": 1, "list": [` + strings.Repeat("1,", 500) + `1]}`))
	if found := err.(contract.Violations); len(found) != 100 {
		t.Errorf("%d violations", len(found))
	}
}

func TestValidateRefusesWhatIsNotStrictJSON(t *testing.T) {
	t.Parallel()
	schema := compile(t, `{}`)
	for _, c := range []struct {
		value string
		want  contract.SyntaxError
	}{
		{``, contract.SyntaxError{Detail: "not valid JSON: the text ends too early, after 0 bytes"}},
		{`{"a": 1, "a": 2}`, contract.SyntaxError{Offset: 9, Pointer: "/a", Detail: "not valid JSON at byte 9: a name appears twice in one object"}},
		{"\"\xff\"", contract.SyntaxError{Offset: 1, Detail: "not valid JSON at byte 1: invalid UTF-8"}},
		{`{"a": 1e999}`, contract.SyntaxError{Offset: 6, Pointer: "/a", Detail: "the number at byte 6 is out of range"}},
		{`{"a": `, contract.SyntaxError{Offset: 6, Pointer: "/a", Detail: "not valid JSON: the text ends too early, after 6 bytes"}},
		{`{} {}`, contract.SyntaxError{Offset: 3, Detail: "not valid JSON at byte 3: invalid character '{' after top-level value"}},
		{`NaN`, contract.SyntaxError{Detail: "not valid JSON at byte 0: invalid character 'N' at start of value"}},
		{strings.Repeat("[", 100), contract.SyntaxError{Offset: 65, Pointer: strings.Repeat("/0", 64), Detail: "the value is nested too deep: at most 64 levels are read"}},
	} {
		err := schema.Validate([]byte(c.value))
		got, ok := errors.AsType[*contract.SyntaxError](err)
		if !ok {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		if diff := cmp.Diff(c.want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.value, diff)
		}
	}
	if err := schema.Validate([]byte(strings.Repeat("[", 64) + strings.Repeat("]", 64))); err != nil {
		t.Errorf("64 levels: %v", err)
	}
	if err := schema.Validate([]byte(`"` + strings.Repeat("[", 100) + `\"{"`)); err != nil {
		t.Errorf("brackets in a text: %v", err)
	}
}

// Editors check contracts by the schema that the package gives away.
func TestJSONSchemaIsOfTheFlatFullForm(t *testing.T) {
	t.Parallel()
	schema := compile(t, string(contract.JSONSchema()))
	full := strings.Replace(plain, "capabilities: [chat]", "x-team: {name: a}\ncapabilities: [{type: chat, x-a: 1}]", 1)
	if err := schema.Validate(mustJSON(t, mustParse(t, full))); err != nil {
		t.Error(err)
	}
	err := schema.Validate(mustJSON(t, mustParse(t, strings.Replace(full, "service_id", "id", 1))))
	want := contract.Violations{{Detail: `the member "service_id" is missing`}, {Pointer: "/id", Detail: `unknown member "id"`}}
	if diff := cmp.Diff(error(want), err); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}

func TestSchemaMarshalsAsItself(t *testing.T) {
	t.Parallel()
	const text = `{"type":"object","properties":{"b":{"minimum":1.0},"a":{}}}`
	got, err := json.Marshal(compile(t, text))
	if err != nil || string(got) != text {
		t.Errorf("%s, %v", got, err)
	}
}
