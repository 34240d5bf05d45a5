//go:build unix

package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Independent tools that check /openapi.json against the OpenAPI specification, and responses
// against /openapi.json.
const (
	redocly  = "@redocly/cli@2.77.0"
	spectral = "@stoplight/spectral-cli@6.16.3"
	prism    = "@stoplight/prism-cli@5.16.0"
)

// nodeTool returns the command for a script of an npm package in .ci/tools.
func nodeTool(t *testing.T, pkg, script string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../.ci/tools/node_modules", pkg[:strings.LastIndex(pkg, "@")], script))
	if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if _, missing := os.Stat(path); err != nil || missing != nil {
		need(t, "Node.js and "+pkg+" are needed for this test. To install the package, run in the top folder of the module: "+
			"npm install --prefix .ci/tools --no-save --no-package-lock --ignore-scripts "+pkg)
	}
	cmd := exec.Command(node, append([]string{path}, args...)...)
	cmd.Dir = t.TempDir() // a folder without configuration files
	cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NO_COLOR=1",
		"DO_NOT_TRACK=1")
	return cmd
}

// save writes a document to a new file.
func save(t *testing.T, name, document string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLintersAcceptTheOpenAPIDocument(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]string{"open": "", "with a token": "a-token-of-the-test"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, map[string]string{"CODEX_BRIDGE_TOKEN": token})
			lint(t, save(t, "openapi.json", download(t, r.bridge+"/openapi.json", token)))
		})
	}
	t.Run("what every document begins with", func(t *testing.T) {
		t.Parallel()
		base, err := os.ReadFile("../../bridge/internal/openapi/openapi_base.json")
		if err != nil {
			t.Fatal(err)
		}
		lint(t, save(t, "openapi.json", string(base)))
	})
}

func lint(t *testing.T, file string) {
	t.Helper()
	rules := save(t, "spectral.yaml", `extends: ["spectral:oas"]`)
	for _, linter := range []*exec.Cmd{
		nodeTool(t, redocly, "bin/cli.js", "lint", file, "--extends=recommended"),
		nodeTool(t, spectral, "dist/index.js", "lint", "--fail-severity=warn", "-r", rules, file),
	} {
		if out, err := linter.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(linter.Args[1]), err, out)
		}
	}
}

// An independent proxy between caller and bridge rejects responses that violate /openapi.json.
func TestAnswersAgreeWithTheOpenAPIDocument(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	proxy := startPrism(t, save(t, "openapi.json", download(t, r.bridge+"/openapi.json", "")), r.bridge)
	for _, test := range []struct {
		method, path string
		body         any
		status       int
	}{
		{"GET", "/health", nil, 200},
		{"GET", "/livez", nil, 200},
		{"GET", "/readyz", nil, 200},
		{"GET", "/contract", nil, 200},
		{"GET", "/openapi.json", nil, 200},
		{"POST", "/generate", map[string]any{"prompt": "Reverse a string", "context": map[string]any{"language": "go"}}, 200},
		{"POST", "/review", map[string]any{"code": "x = 1  # TODO\n"}, 200},
		{"POST", "/generate", map[string]any{"prompt": strings.Repeat("many words ", 2000)}, 422},
		// more than the contract's context_length
	} {
		status, answer := call(t, test.method, proxy+test.path, test.body)
		if status != test.status || answer["validation"] != nil {
			t.Errorf("%s %s = %d %v, want %d and no violation", test.method, test.path, status, answer, test.status)
		}
	}
}

// The responses of a job's life cycle, and refusals, also agree with the document.
func TestAnswersAboutJobsAgreeWithTheOpenAPIDocument(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-the-test"
	r := start(t, map[string]string{"CODEX_BRIDGE_TOKEN": token})
	proxy := startPrism(t, save(t, "openapi.json", download(t, r.bridge+"/openapi.json", token)), r.bridge)
	ask := func(want int, method, path, body string, header ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, proxy+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(res.Body)
		if violations := res.Header.Get("Sl-Violations"); res.StatusCode != want || violations != "" ||
			strings.Contains(string(answer), "stoplight.io/prism/errors") {
			t.Errorf("%s %s %v = %d %s, violations %q, want %d", method, path, header, res.StatusCode, answer, violations, want)
		}
		return res
	}
	const call, other = `{"prompt": "Reverse a string"}`, `{"prompt": "Sort a list"}`
	job := ask(202, "POST", "/generate", call, "Prefer", "respond-async", "Idempotency-Key", "k").Header.Get("Location")
	ask(200, "GET", job, "", "Accept", "text/event-stream")
	ask(200, "GET", job, "")
	ask(204, "GET", job, "", "Accept", "text/event-stream", "Last-Event-ID", "end")
	ask(400, "GET", job, "", "Accept", "text/event-stream", "Last-Event-ID", "x")
	ask(202, "POST", "/generate", call, "Prefer", "respond-async", "Idempotency-Key", "k")
	ask(200, "POST", "/generate", call, "Idempotency-Key", "k")
	ask(422, "POST", "/generate", other, "Idempotency-Key", "k")
	ask(204, "DELETE", job, "")
	ask(404, "DELETE", job, "")
	ask(404, "GET", job, "")
	ask(200, "POST", "/generate", call, "Accept", "text/event-stream")
	ask(401, "POST", "/generate", call, "Authorization", "Bearer wrong")
	ask(401, "GET", job, "", "Authorization", "Bearer wrong")
	ask(403, "POST", "/generate", call, "Origin", "https://evil.example.com")
	for range 58 { // the job and the stream count for the limit of 60 per minute, too
		ask(200, "POST", "/generate", call)
	}
	ask(429, "POST", "/generate", call)
}

// startPrism returns the URL of a proxy that answers with an error if a response violates the
// document.
func startPrism(t *testing.T, document, upstream string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()
	cmd := nodeTool(t, prism, "dist/index.js", "proxy", document, upstream, "--errors", "-h", "127.0.0.1", "-p", port)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it starts children
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	var said strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "is listening on") {
			go func() { _, _ = io.Copy(io.Discard, stdout) }() // ends with the process
			return "http://127.0.0.1:" + port
		}
	}
	t.Fatalf("prism did not start:\n%s", said.String())
	return ""
}
