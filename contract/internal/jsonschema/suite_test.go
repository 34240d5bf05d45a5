package jsonschema_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/smarthaus/caio-bridge-go/contract/internal/fast"
	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// TestSuite runs the official JSON-Schema-Test-Suite. JSON_SCHEMA_TEST_SUITE names the folder of a checkout. Schemas that
// the gate or the strict reader refuses are counted and left out; of the rest every verdict must be the suite's.
func TestSuite(t *testing.T) {
	t.Parallel()
	suite := os.Getenv("JSON_SCHEMA_TEST_SUITE")
	if suite == "" {
		t.Skip("set JSON_SCHEMA_TEST_SUITE to a checkout of github.com/json-schema-org/JSON-Schema-Test-Suite")
	}
	files, err := filepath.Glob(filepath.Join(suite, "tests", "draft2020-12", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", suite, err)
	}
	passed, refused := 0, map[string]int{}
	for _, file := range files {
		if filepath.Base(file) == "format.json" {
			continue // demands that formats are not checked, which ours always are
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var groups []struct {
			Description string
			Schema      json.RawMessage
			Tests       []struct {
				Description string
				Data        json.RawMessage
				Valid       bool
			}
		}
		if err := json.Unmarshal(data, &groups); err != nil {
			t.Fatal(err)
		}
		for _, group := range groups {
			schema, reason := tryCompile(group.Schema)
			if schema == nil {
				refused[reason] += len(group.Tests)
				continue
			}
			quick := fast.Compile(schema.Document(), schema.MaxDepth())
			for _, test := range group.Tests {
				value, syntax := jsonschema.Decode(test.Data, schema.MaxDepth())
				if syntax != nil {
					refused["value: "+syntax.Detail]++
					continue
				}
				if quick != nil && quick.Valid(test.Data) && !test.Valid {
					t.Errorf("%s: %s: %s: the fast check says yes", filepath.Base(file), group.Description, test.Description)
				}
				found, err := schema.Check(value)
				if err != nil || (len(found) == 0) != test.Valid {
					t.Errorf("%s: %s: %s: want valid %t, found %v, %v", filepath.Base(file), group.Description, test.Description, test.Valid, found, err)
					continue
				}
				passed++
			}
		}
	}
	t.Logf("%d verdicts as the suite has them; refused: %v", passed, refused)
}

func tryCompile(text []byte) (schema *jsonschema.Schema, reason string) {
	root, problems := tree.Parse(tree.NewSource("schema.json", text))
	if len(problems) > 0 {
		return nil, problems[0].Code
	}
	schema, faults := jsonschema.Compile(root)
	if len(faults) > 0 {
		return nil, faults[0].Code + ": " + faults[0].Message
	}
	return schema, ""
}
