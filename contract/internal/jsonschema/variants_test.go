package jsonschema_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
)

// Members that differ only in case from what the schema names are found wherever its words reach, and nowhere else.
func TestVariants(t *testing.T) {
	t.Parallel()
	const schema = `{
		"properties": {"text": {}, "list": {"type": "array", "prefixItems": [{"properties": {"first": {}}}], "items": {"$ref": "#/$defs/item"}}},
		"dependentSchemas": {"x": {"properties": {"later": {"properties": {"a": {}}}, "contained": {"contains": {"properties": {"b": {}}}}}}},
		"additionalProperties": {"properties": {"deep": {}}},
		"patternProperties": {},
		"allOf": [{"properties": {"Kind": {}}}, {"properties": {"kind": {}}}],
		"$defs": {"item": {"anyOf": [{"properties": {"name": {}, "next": {"$ref": "#/$defs/item"}}}, {"type": "string"}]}}}`
	compiled := compile(t, schema)
	for value, want := range map[string]string{
		`{"text": 1, "other": 2, "kind": 1, "Kind": 2}`: "",
		`{"TEXT": 1}`:            "TEXT",
		`{"text": 1, "tEXT": 2}`: "tEXT",
		`{"KIND": 1}`:            "KIND",
		`{"list": [{"FIRST": 1}, {"Name": 1, "next": {"NEXT": {}}}, "name"]}`: "list 0 FIRST, list 1 Name, list 1 next NEXT",
		`{"other": {"Deep": 1, "text": {"TEXT": 2}}}`:                         "other Deep",
		`{"li\u017Ft": 1, "textual": 2}`:                                      "li\u017Ft",
		`[{"TEXT": 1}]`:                                                       "",
		`{"later": {"A": 1}, "contained": [1, {"B": 1}]}`:                     "contained 1 B, later A",
		`{"list": [` + strings.Repeat("1,", 200_000) + `{"NAME": 1}]}`:        "list 200000 NAME", // however long it takes
	} {
		decoded, err := jsonschema.Decode([]byte(value), compiled.MaxDepth())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range compiled.Variants(decoded) {
			got = append(got, strings.Join(v.Path, " "))
		}
		if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", value, diff)
		}
	}
}
