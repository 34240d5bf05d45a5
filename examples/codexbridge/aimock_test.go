//go:build unix

package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Tests against @copilotkit/aimock, an independent fake server with the Responses API. Its prompts
// and responses are in testdata/aimock.

const aimockMissing = "Node.js and @copilotkit/aimock are needed for this test. To install aimock, " +
	"run in the top folder of the module: " +
	"npm install --prefix .ci/tools --no-save --no-package-lock --ignore-scripts @copilotkit/aimock@1.43.0 " +
	"(or set AIMOCK_CLI to its dist/cli.js)"

// startAimock starts aimock and returns its base URL.
func startAimock(t *testing.T) string {
	t.Helper()
	cli := os.Getenv("AIMOCK_CLI")
	if cli == "" {
		cli = filepath.FromSlash("../../.ci/tools/node_modules/@copilotkit/aimock/dist/cli.js")
	}
	node, err := exec.LookPath("node")
	if _, missing := os.Stat(cli); err != nil || missing != nil {
		need(t, aimockMissing)
	}
	cmd := exec.Command(node, cli, "-p", "0", "-h", "127.0.0.1", "--validate-on-load", "-f",
		"testdata/aimock/fixtures.json")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var said strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if _, url, ok := strings.Cut(lines.Text(), "listening on "); ok {
			return url + "/v1"
		}
	}
	t.Fatalf("aimock did not start:\n%s", said.String())
	return ""
}

func TestAgainstAimock(t *testing.T) {
	t.Parallel()
	r := start(t, map[string]string{"OPENAI_BASE_URL": startAimock(t), "OPENAI_API_KEY": "sk-test",
		"CODEX_MODEL": "gpt-test"})
	const code = "def reverse(s):\n    return s[::-1]  # é\n"
	usage := map[string]any{"input_tokens": 321.0, "cached_input_tokens": 0.0, "output_tokens": 45.0,
		"reasoning_tokens": 0.0, "total_tokens": 366.0}

	t.Run("generate", func(t *testing.T) {
		t.Parallel()
		status, got := call(t, http.MethodPost, r.bridge+"/generate",
			map[string]any{"prompt": "Write code to reverse a string"})
		if status != 200 {
			t.Fatalf("answer = %d %v", status, got)
		}
		if diff := cmp.Diff([]any{code, "python", "Slices backwards.", "gpt-test", usage},
			[]any{got["code"], got["language"], got["explanation"], got["model"], got["usage"]}); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
	})
	t.Run("generate as a stream", func(t *testing.T) {
		t.Parallel()
		answer := stream(t, r.bridge+"/generate", `{"prompt":"Write code to reverse a string"}`)
		var written string
		deltas := 0
		for _, e := range answer {
			if e.name == "delta" && e.data["field"] == "code" {
				written += e.data["text"].(string)
				deltas++
			}
		}
		last := answer[len(answer)-1]
		if last.name != "result" || written != code || last.data["code"] != code || deltas < 2 {
			t.Errorf("%d deltas come to %q, the end is %s %v", deltas, written, last.name, last.data)
		}
	})
	t.Run("review", func(t *testing.T) {
		t.Parallel()
		status, got := call(t, http.MethodPost, r.bridge+"/review",
			map[string]any{"code": "def div(a, b):\n    return a / b\n"})
		want := []any{map[string]any{
			"title": "Division by zero", "body": "b may be 0.", "severity": "high", "priority": 1.0, "confidence": 0.9,
			"location": map[string]any{"file": "", "line_start": 2.0, "line_end": 2.0},
		}}
		if diff := cmp.Diff(want, got["findings"]); status != 200 || got["verdict"] != "incorrect" || diff != "" {
			t.Errorf("review = %d %v, findings (-want +got):\n%s", status, got, diff)
		}
	})
	t.Run("a connection that breaks", func(t *testing.T) {
		t.Parallel()
		answer := stream(t, r.bridge+"/generate", `{"prompt":"cut connection"}`)
		if last := answer[len(answer)-1]; last.name != "error" || last.data["code"] != "upstream_failed" {
			t.Errorf("the stream ends with %s %v, want an error", last.name, last.data)
		}
	})
	for _, test := range []struct {
		prompt    string
		status    int
		code      string
		wait      string // Retry-After
		retryable bool
	}{
		{"too many calls", 429, "rate_limited", "3", true},
		{"broken server", 502, "upstream_failed", "", true},
		{"no response for this prompt", 502, "upstream_failed", "", false}, // aimock answers 404
	} {
		t.Run(test.prompt, func(t *testing.T) {
			t.Parallel()
			res, err := web.Post(r.bridge+"/generate", "application/json", strings.NewReader(`{"prompt":"`+test.prompt+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			status, got := call(t, http.MethodPost, r.bridge+"/generate", map[string]any{"prompt": test.prompt})
			if status != test.status || got["code"] != test.code || got["retryable"] != test.retryable ||
				res.Header.Get("Retry-After") != test.wait {
				t.Errorf("answer = %d %v, Retry-After %q; want %+v", status, got, res.Header.Get("Retry-After"), test)
			}
		})
	}
}
