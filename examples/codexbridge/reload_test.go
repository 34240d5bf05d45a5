//go:build unix

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
)

// At SIGHUP the program reads contract, key and token again.
func TestHangupReloads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../providers/codex")); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	original, err := os.ReadFile(filepath.Join(dir, "contract.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var key atomic.Value // of the last call of the model
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key.Store(r.Header.Get("Authorization"))
		newDemo().ServeHTTP(w, r)
	}))
	t.Cleanup(model.Close)
	p := launch(t, []string{
		"OPENAI_BASE_URL=" + model.URL + "/v1",
		"OPENAI_API_KEY_FILE=" + write("key", "key-one\n"),
		"CODEX_BRIDGE_TOKEN_FILE=" + write("token", "canary-token-one\n"),
	}, "-addr", "127.0.0.1:0", "-caio-addr", "127.0.0.1:0", "-contract", filepath.Join(dir, "contract.yaml"))

	generate := func(token string) int {
		status, _, _ := request(t, http.MethodPost, p.bridge+"/generate", `{"prompt":"p"}`, "Authorization", "Bearer "+token)
		return status
	}
	if status := generate("canary-token-one"); status != 200 || key.Load() != "Bearer key-one" {
		t.Fatalf("before: %d, with %v", status, key.Load())
	}
	discover(t, newClient(t, p.caio), "code_generation")

	write("key", "key-two")
	write("token", "canary-token-two")
	write("contract.yaml", strings.NewReplacer("version: 1.0.0", "version: 1.1.0", "per_minute: 60",
		"per_minute: 90").Replace(string(original)))
	p.signal(t, syscall.SIGHUP)
	await(t, "the service's version in CAIO", "1.1.0", func() string { return registeredVersion(t, p.caio) })
	await(t, "a call with the new token", http.StatusOK, func() int { return generate("canary-token-two") })
	if key.Load() != "Bearer key-two" {
		t.Errorf("the model was called with %v", key.Load())
	}
	if status := generate("canary-token-one"); status != http.StatusUnauthorized {
		t.Errorf("with the old token: %d, want 401", status)
	}

	p.signal(t, syscall.SIGTERM)
	if status := p.wait(t); status.ExitStatus() != 0 {
		t.Errorf("exit code = %d, want 0", status.ExitStatus())
	}
	if strings.Contains(p.stderr.String(), "canary") || strings.Contains(p.stderr.String(), "key-two") {
		t.Errorf("a secret is logged:\n%s", p.stderr)
	}
}

// The program refuses a contract with weaker promises than its version allows, and logs the reason.
func TestHangupRefusesAWorseContract(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../providers/codex")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "contract.yaml")
	p := launch(t, nil, append([]string{"-register=false", "-contract", file}, ownPorts...)...)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), "per_minute: 60", "per_minute: 5", 1)),
		0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	await(t, "the log has the error", true, func() bool {
		return strings.Contains(p.stderr.String(), "reload failed: the previous configuration stays in use") &&
			strings.Contains(p.stderr.String(), "the version is still 1.0.0")
	})
	if answer := download(t, p.bridge+"/contract", ""); !strings.Contains(answer, `"per_minute":60`) {
		t.Errorf("the worse contract is served: %s", answer)
	}
	p.signal(t, syscall.SIGTERM)
	if status := p.wait(t); status.ExitStatus() != 0 {
		t.Errorf("exit code = %d, want 0", status.ExitStatus())
	}
}

func registeredVersion(t *testing.T, url string) string {
	t.Helper()
	services, err := newClient(t, url).Services(t.Context(), caio.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(services) == 0 {
		return "none"
	}
	return services[0].Version
}

// await calls get until it returns want. It fails after 20 seconds.
func await[T comparable](t *testing.T, name string, want T, get func() T) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got := get()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s = %v, want %v", name, got, want)
		}
	}
}
