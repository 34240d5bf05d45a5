package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/contract"
)

type refusedContract struct{ text, code string }

// refusedContracts could once hurt the process that loads them. code is that of the rule that refuses them.
func refusedContracts() map[string]refusedContract {
	bomb := "x-0: &x0 [a, a, a, a, a, a, a, a, a]\n"
	for i := 1; i < 10; i++ {
		bomb += fmt.Sprintf("x-%d: &x%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 9))
	}
	doubling := `"0": {"type": "string"}`
	for i := 1; i < 20; i++ {
		doubling += fmt.Sprintf(`, "%d": {"allOf": [{"$ref": "#/$defs/%d"}, {"$ref": "#/$defs/%d"}]}`, i, i-1, i-1)
	}
	var properties []string
	for i := range 5000 {
		properties = append(properties, fmt.Sprintf(`"p%d": {}`, i))
	}
	var patterns []string
	for i := range 200 {
		patterns = append(patterns, fmt.Sprintf(`"^%d": {}`, i))
	}
	return map[string]refusedContract{
		"billion laughs":                  {plain + bomb, "file/alias-limit"},
		"alias to itself":                 {plain + "x-a: &a {b: *a}\n", "file/alias-cycle"},
		"alias to itself by merging":      {plain + "x-a: &a {<<: *a}\n", "file/alias-cycle"},
		"deep lists":                      {plain + "x-a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "file/depth-limit"},
		"deep JSON":                       {strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000), "file/depth-limit"},
		"deep indentation":                {deepBlock(300), "file/depth-limit"},
		"a megabyte":                      {plain + "x-a: [" + strings.Repeat("1,", 500_000) + "]", "file/size-limit"},
		"many values by aliases":          {plain + "x-a: &a [" + strings.Repeat("1,", 990) + "]\nx-b: [" + strings.Repeat("*a,", 300) + "]", "file/node-limit"},
		"a long text by aliases":          {plain + "x-a: &a " + strings.Repeat("x", 200_000) + "\nx-b: [" + strings.Repeat("*a,", 900) + "]", "file/size-limit"},
		"a long key by aliases":           {plain + "x-a: &a {" + strings.Repeat("k", 1000) + ": 1}\nx-b: [" + strings.Repeat("*a,", 900) + "]", "file/size-limit"},
		"too large as JSON":               {plain + "x-a: [" + strings.Repeat("a,", 100_000) + "]", "file/size-limit"},
		"UTF-16":                          {"\xff\xfes\x00e\x00r\x00", "file/encoding"},
		"not UTF-8":                       {plain + "x-a: \xc3(", "file/encoding"},
		"merge key that is an object":     {plain + "x-a: {<<: {? {k: v} : 1}}\n", "file/key-not-text"},
		"number beyond float64":           {plain + "x-a: 1e400\n", "file/number-range"},
		"number below float64":            {plain + "x-a: 1e-1000001\n", "file/number-range"},
		"number of 300 KB":                {plain + "x-a: 1" + strings.Repeat("0", 200_000), "file/number-range"},
		"$id that overflows the stack":    {withSchema(`{"$id": "?"}`), "endpoint/schema-unsafe"},
		"$id that overflows the stack 2":  {withSchema(`{"properties": {"a": {"$id": "?#"}}}`), "endpoint/schema-unsafe"},
		"file reference":                  {withSchema(`{"$ref": "file:///etc/passwd"}`), "endpoint/schema-unsafe"},
		"file metaschema":                 {withSchema(`{"$schema": "file:///etc/passwd"}`), "endpoint/schema-unsafe"},
		"http reference":                  {withSchema(`{"$ref": "http://127.0.0.1:1/x"}`), "endpoint/schema-unsafe"},
		"dynamic reference":               {withSchema(`{"$dynamicRef": "#x"}`), "endpoint/schema-unsafe"},
		"reference into an unknown part":  {withSchema(`{"$ref": "#/properties/a", "properties": {"a": {}}}`), "endpoint/schema-unsafe"},
		"reference to itself":             {withSchema(`{"$ref": "#"}`), "endpoint/schema-unsafe"},
		"references in a circle":          {withSchema(`{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}`), "endpoint/schema-unsafe"},
		"doubling chain":                  {withSchema(`{"$ref": "#/$defs/19", "$defs": {` + doubling + `}}`), "endpoint/schema-unsafe"},
		"many properties":                 {withSchema(`{"properties": {` + strings.Join(properties, ",") + `}}`), "endpoint/schema-unsafe"},
		"deep schema":                     {withSchema(strings.Repeat(`{"not":`, 80) + "{}" + strings.Repeat("}", 80)), "endpoint/schema-unsafe"},
		"large pattern":                   {withSchema(`{"pattern": "` + strings.Repeat("a", 1000) + `"}`), "endpoint/schema-unsafe"},
		"pattern that grows":              {withSchema(`{"pattern": "(abcdefgh){1000}"}`), "endpoint/schema-unsafe"},
		"many patterns":                   {withSchema(`{"patternProperties": {` + strings.Join(patterns, ",") + `}}`), "endpoint/schema-unsafe"},
		"look-ahead":                      {withSchema(`{"pattern": "(?=a)"}`), "endpoint/schema-invalid"},
		"repeat product":                  {withSchema(`{"pattern": "(a{1000}){1000}"}`), "endpoint/schema-invalid"},
		"multipleOf with a huge exponent": {withSchema(`{"multipleOf": 1e-1000001}`), "file/number-range"},
	}
}

func TestHostileContractsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range refusedContracts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := diagnose(c.text)
			if !slices.ContainsFunc(found, func(d contract.Diagnostic) bool { return d.Code == c.code }) {
				t.Errorf("want %s, found %v", c.code, places(found))
			}
		})
	}
}

// hostileFiles are as large as files may be, and full of what could take quadratic time.
func hostileFiles() map[string]string {
	const size = 250 << 10
	many := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	return map[string]string{
		"values":             "x-a: [" + strings.Repeat("1,", size/2) + "]\n",
		"keys":               many("x-%d: 1\n"),
		"outer keys":         many("x-%d: 1\n") + "service: {id: a}\n",
		"unknown keys":       many("k%d: 1\n"),
		"syntax":             strings.Repeat("a: [1, 2]\n", size/10) + "b: [\n",
		"aliases":            "x-a: &a [" + strings.Repeat("1,", 190) + "]\nx-b: [" + strings.Repeat("*a,", 1000) + "]\n",
		"JSON":               `{"x":[` + strings.Repeat("[],", size/3) + `1]}`,
		"JSON names":         `{"x": 1` + many(`, "k%d": 1`) + "}",
		"faults on one line": `{"x": [` + strings.Repeat(`{"a":1,"a":2},`, size/14) + `1]}`,
		"capabilities":       "capabilities: [" + strings.Repeat("a, ", size/3) + "]\n",
		"invariants":         "invariants: [" + strings.Repeat("{},", size/3) + "]\n",
		"endpoints":          "api: {endpoints: [" + strings.Repeat("{path: /a, method: GET},", size/24) + "]}\n",
		"guarantees":         "guarantees: {" + many("g%d: {p95: 1}, ") + "}\n",
		"guarantee members":  "guarantees: {latency: {p95: 1, p99: 2" + many(", a%d: 1") + "}}\n",
		"cost members":       "cost: {per_token: 1" + many(", per_%d: 1") + "}\n",
		"schema members":     withSchema(`{"properties": {"a": {}` + many(`, "p%d": {}`) + "}}"),
		"comments":           strings.Repeat("# x\n", size/4),
		"anchors":            "x-a: [" + many("&a%d 1, ") + "]\n",
		"merge keys":         "x-a: &a {" + many("k%d: 1, ") + "}\nx-b: {<<: [*a, *a, *a]}\n",
	}
}

// How long each takes is BenchmarkLoadHostile's to say; without the limits most of them would outlast the test run.
func TestHostileFilesAreRefused(t *testing.T) {
	t.Parallel()
	for name, text := range hostileFiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := contract.Parse("hostile", []byte(text)); err == nil {
				t.Error("it was accepted")
			}
		})
	}
}

func deepBlock(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// Schemas that pass but take long on the right value: the depth of values is limited to what each schema can bear.
// Without that, this test would not end.
func TestHostileValuesAreChecked(t *testing.T) {
	t.Parallel()
	chain := `"0": {"type": "string"}`
	for i := 1; i < 60; i++ {
		chain += fmt.Sprintf(`, "%d": {"anyOf": [{"properties": {"a": {"$ref": "#/$defs/%d"}}}, {"properties": {"a": {"$ref": "#/$defs/%d"}}, "required": ["b"]}]}`, i, i-1, i-1)
	}
	for name, schema := range map[string]string{
		"recursive anyOf":          `{"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["b"]}, {"properties": {"a": {"$ref": "#"}}, "required": ["c"]}]}`,
		"chain of anyOf":           `{"$ref": "#/$defs/59", "$defs": {` + chain + `}}`,
		"recursive oneOf of three": `{"oneOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}, "minItems": 9}, {"items": {"$ref": "#"}, "maxItems": 0}]}`,
		"plain recursion":          `{"properties": {"a": {"$ref": "#"}}, "additionalProperties": false}`,
		"extreme numbers":          `{"type": "array", "items": {"multipleOf": 0.01, "minimum": 1e-300, "maximum": 1e300}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := compile(t, schema)
			for depth := 1; depth <= 64; depth += 9 {
				for _, value := range []string{
					strings.Repeat(`{"a":`, depth) + `{"x":1}` + strings.Repeat("}", depth),
					strings.Repeat(`[`, depth) + strings.Repeat("]", depth),
					"[" + strings.Repeat("1e308,", 20*depth) + "1e-308]",
				} {
					_ = s.Validate([]byte(value)) // that it returns is the point
				}
			}
		})
	}
}

func TestRecursiveSchemasStillTakeUsefulDepths(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schema string
		depth  int
	}{
		"tree":                   {`{"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}`, 60},
		"tree in allOf":          {`{"allOf": [{"properties": {"left": {"$ref": "#"}}}, {"properties": {"right": {"$ref": "#"}}}]}`, 60},
		"list or leaf":           {`{"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#"}}]}`, 60},
		"two branches that meet": {`{"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}`, 12},
	} {
		value := strings.Repeat("[", c.depth) + strings.Repeat("]", c.depth)
		if err := compile(t, c.schema).Validate([]byte(value)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
