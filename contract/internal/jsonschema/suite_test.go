package jsonschema_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/smarthaus/caio-bridge-go/contract/internal/fast"
	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// TestSuite runs the official JSON Schema Test Suite. Schemas that the gate or the strict reader refuses are counted and
// left out; of the rest every verdict must be the suite's.
func TestSuite(t *testing.T) {
	t.Parallel()
	files := suiteFiles(t)
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
				if quick != nil && quick.Valid(test.Data, false) == fast.Valid && !test.Valid {
					t.Errorf("%s: %s: %s: the fast check says yes", filepath.Base(file), group.Description, test.Description)
				}
				if quick != nil {
					if faults, known := quick.Faults(test.Data, false, 100); known && (len(faults) == 0) != test.Valid {
						t.Errorf("%s: %s: %s: the fast check finds %v, want valid %t", filepath.Base(file), group.Description, test.Description, faults, test.Valid)
					}
				}
				found, err := schema.Check(value, jsonschema.MaxPrice)
				if err != nil || (len(found) == 0) != test.Valid {
					t.Errorf("%s: %s: %s: want valid %t, found %v, %v", filepath.Base(file), group.Description, test.Description, test.Valid, found, err)
					continue
				}
				passed++
			}
		}
	}
	if passed < 900 {
		t.Errorf("only %d verdicts were asked for", passed)
	}
	t.Logf("%d verdicts as the suite has them; refused: %v", passed, refused)
}

// suiteModule is a Go module that carries a copy of the suite's tests for draft 2020-12.
const suiteModule = "github.com/google/jsonschema-go@v0.4.3"

// suiteFiles returns the suite's files for draft 2020-12: those of the checkout that JSON_SCHEMA_TEST_SUITE names, or those
// of suiteModule if it has been downloaded. Only in CI is it an error to have neither.
func suiteFiles(t *testing.T) []string {
	t.Helper()
	folder := filepath.Join(os.Getenv("JSON_SCHEMA_TEST_SUITE"), "tests")
	if folder == "tests" {
		cmd := exec.Command("go", "mod", "download", "-json", suiteModule)
		cmd.Dir = t.TempDir() // outside this module, which does not require it
		cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
		out, _ := cmd.Output()
		var module struct{ Dir string }
		_ = json.Unmarshal(out, &module)
		folder = filepath.Join(module.Dir, "jsonschema", "testdata")
	}
	files, err := filepath.Glob(filepath.Join(folder, "draft2020-12", "*.json"))
	if err != nil || len(files) == 0 {
		sentence := "the JSON Schema Test Suite is not here: run  go mod download " + suiteModule + "  or set JSON_SCHEMA_TEST_SUITE to a checkout of it"
		if os.Getenv("CI") != "" {
			t.Fatal(sentence)
		}
		t.Skip(sentence)
	}
	return files
}

func tryCompile(text []byte) (schema *jsonschema.Schema, reason string) {
	root, problems := tree.Parse(tree.NewSource("schema.json", text))
	if len(problems) > 0 {
		return nil, problems[0].Code
	}
	schema, faults := jsonschema.Inspect(root, jsonschema.NewBudget())
	if len(faults) > 0 {
		return nil, faults[0].Code + ": " + faults[0].Message
	}
	return schema, ""
}
