package contract_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// budgetContract has n endpoints that take and return what schema says.
func budgetContract(n int, schema string) string {
	var b strings.Builder
	b.WriteString("service:\n  id: x\n  name: X\n  version: 1.0.0\n  capabilities: [x]\n  api:\n    protocol: http\n" +
		"    base_url: http://127.0.0.1:1\n    endpoints:\n")
	for i := range n {
		fmt.Fprintf(&b, "      - {path: /x%d, method: POST, input_schema: %s, output_schema: %s}\n", i, schema, schema)
	}
	return b.String()
}

// A published schema of 2,900 values fits at both ends of four endpoints, even if it is another one each time.
func TestBudgetsAdmitPublishedSchemas(t *testing.T) {
	t.Parallel()
	text := budgetContract(4, "{file}")
	files := fstest.MapFS{}
	for i := range 8 {
		var b strings.Builder
		fmt.Fprintf(&b, `{"title": "%d", "properties": {%s}, "definitions": {"other": {}`, i, properties(480))
		for d := range 480 {
			fmt.Fprintf(&b, `, "d%d": {"type": "object", "title": "%d", "maxProperties": %d}`, d, d, d)
		}
		name := fmt.Sprintf("published%d.json", i)
		files[name] = &fstest.MapFile{Data: []byte(b.String() + "}}")}
		text = strings.Replace(text, "{file}", name, 1)
	}
	files["contract.yaml"] = &fstest.MapFile{Data: []byte(text)}
	loaded, err := contract.Load(files, "contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range loaded.API.Endpoints {
		if err := e.InputSchema.Compile(); err != nil {
			t.Errorf("%s: %v", e, err)
		}
		if err := e.OutputSchema.Validate([]byte(`{"p1": {"a": 1}}`)); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
}

func properties(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `"p%d": {"$ref": "#/definitions/d%d"}`, i, i)
	}
	return b.String()
}

// Of a file, only what a reference leads to counts and is kept.
func TestUnusedDefinitionsAreLeftOut(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 2_000 {
		fmt.Fprintf(&b, `, "d%d": {"type": "object", "title": "%d"}`, i, i)
	}
	files := fstest.MapFS{
		"contract.yaml": {Data: []byte(budgetContract(1, `{$ref: "large.json#/$defs/a"}`))},
		"large.json":    {Data: []byte(`{"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"type": "string"}` + b.String() + `}}`)},
	}
	loaded, err := contract.Load(files, "contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := loaded.API.Endpoints[0].InputSchema.MarshalJSON()
	if err != nil || len(text) > 200 {
		t.Errorf("got %d bytes, %v, want those of two definitions", len(text), err)
	}
	if err := loaded.API.Endpoints[0].InputSchema.Validate([]byte(`[1]`)); err == nil {
		t.Error("a list of numbers is accepted, want one of texts only")
	}
}

// The schemas of a contract have budgets in sum, which no file or repetition gets around.
func TestBudgetsHoldForTheWholeContract(t *testing.T) {
	t.Parallel()
	distinct := func(format string) string {
		text := budgetContract(60, `{a}`)
		for i := range 120 {
			text = strings.Replace(text, `{a}`, fmt.Sprintf(format, i), 1)
		}
		return text
	}
	for name, c := range map[string]struct {
		contract string
		files    map[string]string
		want     string
	}{
		"values": {distinct(`{const: %d, $ref: "large.json#/$defs/a"}`),
			map[string]string{"large.json": `{"$defs": {"a": {"properties": {` + members(700) + `}}}}`},
			"more than 32,000 JSON values in sum"},
		"patterns": {distinct(`{pattern: "[a-z]{400}%d"}`), nil, "more than 20000 instructions in sum"},
		"text": {distinct(`{const: %d, $ref: "large.json#/$defs/a"}`),
			map[string]string{"large.json": `{"$defs": {"a": {"description": "` + strings.Repeat("x", 200_000) + `"}}}`},
			"more than 4 MiB in sum"},
		"files": {distinct(`large%d.json`), largeFiles(12), "more than 2 MiB in sum"},
	} {
		files := fstest.MapFS{"contract.yaml": {Data: []byte(c.contract)}}
		for file, text := range c.files {
			files[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if _, err := contract.Load(files, "contract.yaml"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.300v, want an error with %q", name, err, c.want)
		}
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `"p%d": {"type": "string"}`, i)
	}
	return b.String()
}

func largeFiles(n int) map[string]string {
	files := map[string]string{}
	for i := range 120 {
		files[fmt.Sprintf("large%d.json", i)] = `{}`
		if i < n {
			files[fmt.Sprintf("large%d.json", i)] = fmt.Sprintf(`{"description": "%d%s"}`, i, strings.Repeat("x", 200_000))
		}
	}
	return files
}
