package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestStartErrors(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("service:\n  id: x\n  nmae: y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args string
		env  map[string]string
		code int
		want []string // substrings of stderr
	}{
		{"unknown flag", "-adr :1", nil, 2, []string{"-adr", "codexbridge -h"}},
		{"an argument", "serve", nil, 2, []string{`"serve"`, "codexbridge -h"}},
		{"bad port", "", map[string]string{"CODEX_BRIDGE_PORT": "80820"}, 1, []string{"CODEX_BRIDGE_PORT", "80820", "65535"}},
		{"bad address", "-addr 8082", nil, 1, []string{"-addr", "host:port"}},
		{"open to others", "-addr 0.0.0.0:0", nil, 1, []string{"CODEX_BRIDGE_TOKEN"}},
		{"metrics open to others", "-metrics-addr :0", nil, 1, []string{"-metrics-addr", "CODEX_BRIDGE_TOKEN"}},
		{"registry open to others", "-caio-addr :0", nil, 1, []string{"CAIO_TOKEN"}},
		{"port in use", "-addr " + taken.Addr().String(), nil, 1,
			[]string{taken.Addr().String(), "-addr", "CODEX_BRIDGE_PORT"}},
		{"registry's port in use", "-addr 127.0.0.1:0 -caio-addr " + taken.Addr().String(), nil, 1,
			[]string{taken.Addr().String(), "-caio-addr", "CAIO_URL"}},
		{"bad CAIO_URL", "-addr 127.0.0.1:0 -register=false", map[string]string{"CAIO_URL": "localhost"}, 1,
			[]string{"CAIO_URL", "base URL"}},
		{"bad OPENAI_BASE_URL", "", map[string]string{"OPENAI_BASE_URL": "localhost"}, 1,
			[]string{"OPENAI_BASE_URL", "BaseURL"}},
		{"no number of connections", "-model-conns many", nil, 2, []string{"model-conns", "many"}},
		{"bad number of connections", "-model-conns -1", nil, 1, []string{"-model-conns", "MaxConnsPerHost", "-1"}},
		{"no such secret", "", map[string]string{"OPENAI_API_KEY_FILE": "nowhere.key"}, 1,
			[]string{"OPENAI_API_KEY_FILE", "nowhere.key"}},
		{"empty secret", "", map[string]string{"CODEX_BRIDGE_TOKEN_FILE": os.DevNull}, 1,
			[]string{"CODEX_BRIDGE_TOKEN_FILE", "empty"}},
		{"a secret twice", "", map[string]string{"CAIO_TOKEN": "a", "CAIO_TOKEN_FILE": "b"}, 1,
			[]string{"CAIO_TOKEN and CAIO_TOKEN_FILE", "unset one"}},
		{"no such contract", "-contract nowhere.yaml", nil, 1, []string{"nowhere.yaml"}},
		{"no place for a store", "-addr 127.0.0.1:0 -caio-addr 127.0.0.1:0 -store " + filepath.Join(broken, "jobs.db"), nil,
			1, []string{"jobfile: open ", "jobs.db"}},
		{"broken contract", "-contract " + broken, nil, 1, []string{"broken.yaml:3:", "nmae", "name"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // in case it starts
			defer cancel()
			var stdout, stderr bytes.Buffer
			code := run(ctx, nil, strings.Fields(test.args), func(name string) string { return test.env[name] }, &stdout,
				&stderr)
			if code != test.code {
				t.Errorf("exit code = %d, want %d", code, test.code)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr lacks %q:\n%s", want, &stderr)
				}
			}
		})
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	t.Parallel()
	asked := map[string]bool{}
	var help bytes.Buffer
	if code := run(t.Context(), nil, []string{"-h"}, func(name string) string { asked[name] = true; return "" }, &help,
		t.Output()); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	for name := range asked {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(help.String()) {
			t.Errorf("-h does not explain %s", name)
		}
	}
	for _, flag := range []string{"-addr", "-caio-addr", "-register", "-contract", "-metrics-addr", "-store"} {
		if !strings.Contains(help.String(), "  "+flag) {
			t.Errorf("-h does not explain %s", flag)
		}
	}
}

func TestOperatorsContract(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../providers/codex")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "contract.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stricter := strings.Replace(string(data), "version: 1.0.0", "version: 1.1.0", 1)
	if err := os.WriteFile(file, []byte(stricter), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, nil, "-contract", file)
	if _, got := call(t, "GET", r.bridge+"/health", nil); got["version"] != "1.1.0" {
		t.Errorf("health = %v, want the version of the operator's contract", got)
	}
}

// With -store a job's result survives a restart.
func TestStoreOutlivesTheProgram(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "jobs.db")
	var job string
	t.Run("before", func(t *testing.T) {
		r := start(t, nil, "-store", file)
		status, header, _ := request(t, http.MethodPost, r.bridge+"/generate", `{"prompt": "Reverse a string"}`,
			"Prefer", "respond-async")
		if job = header.Get("Location"); status != http.StatusAccepted || job == "" {
			t.Fatalf("status %d, Location %q, want a job", status, job)
		}
	}) // stopping lets the job finish
	t.Run("after", func(t *testing.T) {
		r := start(t, nil, "-store", file)
		if status, got := call(t, http.MethodGet, r.bridge+job, nil); status != 200 || got["status"] != "succeeded" ||
			got["result"] == nil {
			t.Errorf("the job after a restart = %d %v", status, got)
		}
	})
}
