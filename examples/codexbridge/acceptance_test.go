//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const pythonMissing = "Python 3 with pytest, requests and PyYAML is needed for this test: " +
	"apt-get install python3-pytest python3-requests python3-yaml"

// TestPlannedPythonTests runs the planned acceptance test of Codex with CAIO, unchanged. It is in
// testdata/acceptance/test_integration.py.
//
// The program runs with -register=false, because the Python test registers the service itself. The
// test uses the fixed ports 8080 and 8082, so it is not parallel, and no other test may use them.
func TestPlannedPythonTests(t *testing.T) {
	python := findPython(t)
	for _, addr := range []string{"127.0.0.1:8080", "127.0.0.1:8082"} {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		if err != nil {
			need(t, "the Python tests need "+addr+", but another program uses it: "+err.Error())
		}
		ln.Close()
	}
	contract, err := os.ReadFile("../../providers/codex/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "configs", "services", "external", "codex.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, contract, 0o600); err != nil {
		t.Fatal(err)
	}
	planned, err := filepath.Abs("testdata/acceptance")
	if err != nil {
		t.Fatal(err)
	}

	p := launch(t, nil, "-register=false")
	pytest := exec.CommandContext(t.Context(), python, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--rootdir",
		folder, filepath.Join(planned, "test_integration.py"))
	pytest.Dir = folder
	pytest.Env = append(os.Environ(), "PYTHONPATH="+planned, "PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=localhost")
	out, err := pytest.CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 5 passed") {
		t.Errorf("pytest: %v\n%s", err, out)
	}
	p.signal(t, syscall.SIGTERM)
	if status := p.wait(t); status.ExitStatus() != 0 {
		t.Errorf("exit code = %d, want 0", status.ExitStatus())
	}
}

// findPython returns the first Python with the packages that the tests import.
func findPython(t *testing.T) string {
	t.Helper()
	for _, candidate := range []string{os.Getenv("PYTHON"), "python3", "/usr/bin/python3"} {
		if candidate != "" && exec.CommandContext(t.Context(), candidate, "-c",
			"import pytest, requests, yaml").Run() == nil {
			return candidate
		}
	}
	need(t, pythonMissing)
	return ""
}
