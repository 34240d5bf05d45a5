package contract_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
)

// FuzzParse demands that no text makes Parse panic or take long, that errors have a place and an explanation, and that a
// contract survives being written and read.
func FuzzParse(f *testing.F) {
	f.Add(string(read(f, "testdata/planned_codex.yaml")))
	f.Add(string(read(f, "testdata/broken.yaml")))
	f.Add(promises)
	for _, text := range shapes {
		f.Add(text)
	}
	for _, c := range ruleCases {
		if len(c.new) < 1000 {
			f.Add(plain + c.new)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		start, before := time.Now(), costtest.Allocated()
		c, err := contract.Parse("fuzz", []byte(text))
		if bytes := costtest.Allocated() - before; bytes > 64<<20 {
			t.Fatalf("took %d MiB", bytes>>20)
		}
		if taken := time.Since(start); taken > 5*time.Second { // of fuzzed input; how long is what it is about
			t.Fatalf("took %s", taken)
		}
		if err != nil {
			checkDiagnostics(t, err)
			return
		}
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := contract.Parse("fuzz.json", data)
		if err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		if !again.Equal(c) {
			t.Fatalf("written and read, the contract differs:\n%s", data)
		}
		data, err = c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if again, err = contract.Parse("fuzz.yaml", data); err != nil || !again.Equal(c) {
			t.Fatalf("written as YAML and read, the contract differs: %v in\n%s", err, data)
		}
	})
}

func checkDiagnostics(t *testing.T, err error) {
	found, ok := errors.AsType[contract.Diagnostics](err)
	isError := func(d contract.Diagnostic) bool { return d.Severity == contract.Error }
	if !ok || !slices.ContainsFunc(found, isError) || len(found) > 100 {
		t.Fatalf("not an error of diagnostics: %v", err)
	}
	for _, d := range found {
		if d.Line < 1 || d.Column < 1 || d.Message == "" || contract.Explain(d.Code) == "" {
			t.Fatalf("incomplete: %+v", d)
		}
	}
}

// FuzzSchema demands that no schema and no value make compiling or validating panic or take long.
func FuzzSchema(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"type": "object", "properties": {"a": {"type": "string", "pattern": "^a"}}, "required": ["a"]}`, `{"a": "b"}`},
		{`{"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}`, `[[[]]]`},
		{`{"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}, "required": ["b"]}]}`, `{"a": {"a": {}}}`},
		{`{"oneOf": [{"const": 1e300}, {"multipleOf": 0.01}], "not": {"enum": [null]}}`, `1e308`},
		{`{"if": {"required": ["a"]}, "then": {"propertyNames": {"format": "date"}}, "dependentRequired": {"a": ["b"]}}`, `{"a": 1}`},
		{`{"$id": "?"}`, `1`},
		{`{"properties": {"a": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}}`, `{"A": {"a": {"A": 1}}}`},
		{`{"contains": {"type": "integer"}, "minContains": 2, "uniqueItems": true, "unevaluatedItems": false}`, `[1, 1.0, "a"]`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, schema, value string) {
		if !json.Valid([]byte(schema)) {
			return
		}
		start, before := time.Now(), costtest.Allocated()
		c, err := contract.Parse("fuzz", []byte(withSchema(schema)))
		if bytes := costtest.Allocated() - before; bytes > 64<<20 {
			t.Fatalf("loading took %d MiB", bytes>>20)
		}
		if err == nil && c.API.Endpoints[0].InputSchema != nil { // a text is the name of a file
			s := c.API.Endpoints[0].InputSchema
			if err := s.Compile(); err != nil {
				t.Fatalf("it was loaded, but cannot be compiled: %v", err)
			}
			before = costtest.Allocated()
			err = s.Validate([]byte(value))
			checkVerdict(t, err)
			exact := s.ValidateRequest([]byte(value))
			checkVerdict(t, exact)
			if exact == nil && err != nil {
				t.Fatalf("a request may be what no value may: %v", err)
			}
			if bytes := costtest.Allocated() - before; bytes > 2*(16<<20+2*uint64(len(value))) {
				t.Fatalf("two checks took %d MiB", bytes>>20)
			}
		}
		if taken := time.Since(start); taken > 5*time.Second { // of fuzzed input; how long is what it is about
			t.Fatalf("took %s: %v", taken, err)
		}
	})
}

func checkVerdict(t *testing.T, err error) {
	if err == nil {
		return
	}
	if syntax, ok := errors.AsType[*contract.SyntaxError](err); ok {
		if syntax.Detail == "" {
			t.Fatal("a syntax error without a detail")
		}
		return
	}
	if cost, ok := errors.AsType[*contract.CostError](err); ok {
		if cost.Detail == "" {
			t.Fatal("a cost error without a detail")
		}
		return
	}
	violations, ok := errors.AsType[contract.Violations](err)
	if !ok || len(violations) == 0 {
		t.Fatalf("neither a syntax error nor violations: %v", err)
	}
	for _, v := range violations {
		if v.Detail == "" || len(v.Detail) > 2000 {
			t.Fatalf("bad detail: %+v", v)
		}
	}
}
