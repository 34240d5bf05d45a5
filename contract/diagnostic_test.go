package contract_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract"
)

func broken(t *testing.T) contract.Diagnostics {
	t.Helper()
	_, err := contract.Load(os.DirFS("testdata"), "tiny_broken.yaml")
	found, ok := errors.AsType[contract.Diagnostics](err)
	if !ok {
		t.Fatalf("want diagnostics, got %v", err)
	}
	return found
}

func TestDiagnosticsAsJSON(t *testing.T) {
	t.Parallel()
	got, err := json.MarshalIndent(broken(t)[1:], "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `[
  {
    "file": "tiny_broken.yaml",
    "line": 10,
    "column": 9,
    "severity": "error",
    "code": "schema/unknown-field",
    "path": "service.api.endpoints[0].methd",
    "message": "unknown field \"methd\"; the required field \"method\" is missing",
    "fix": "did you mean \"method\"?",
    "snippet": " 10 |       - methd: GET\n    |         ^^^^^"
  }
]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	var back contract.Diagnostics
	if err := json.Unmarshal(got, &back); err != nil || !cmp.Equal(back, broken(t)[1:]) {
		t.Errorf("reading back: %v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`[{"severity": "fatal"}]`), &back); err == nil {
		t.Error("an unknown severity was accepted")
	}
}

func TestDiagnosticsAsAnnotations(t *testing.T) {
	t.Parallel()
	const want = `::error file=tiny_broken.yaml,line=4,col=12,title=schema/type::service.version must be text, found the number 1.4%0Awrite "1.4.0": three numbers, in quotes
::error file=tiny_broken.yaml,line=10,col=9,title=schema/unknown-field::unknown field "methd"; the required field "method" is missing%0Adid you mean "method"?
`
	if diff := cmp.Diff(want, broken(t).GitHub()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	hostile := contract.Diagnostics{{File: "a,b:c\n::error::x", Line: 1, Column: 1, Code: "x", Message: "100%\r\n::warning::y"}}
	const escaped = "::error file=a%2Cb%3Ac%0A%3A%3Aerror%3A%3Ax,line=1,col=1,title=x::100%25%0D%0A::warning::y\n"
	if diff := cmp.Diff(escaped, hostile.GitHub()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}
