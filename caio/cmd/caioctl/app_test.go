package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gopkg.in/yaml.v3"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const echoContract = `service:
  id: echo-001
  name: "Echo \e[31m"
  version: %s
  capabilities:
    - type: echo
  guarantees:
    latency:
      property: p95_latency_ms
      bound: {max: 50}
  constraints:
    requires_gpu: true
    context_length: {max_tokens: 1000000}
  api:
    protocol: http
    base_url: %s
    endpoints:
      - path: /echo
        method: POST
`

// A terminal is a place to run the program in, with a registry to talk to and a service to call.
type terminal struct {
	env      map[string]string
	contract string // file
	other    string // file: another contract under the same id
	broken   string // file
}

func newTerminal(t *testing.T, opts *registry.Options) *terminal {
	t.Helper()
	reg, err := registry.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(reg)
	t.Cleanup(server.Close)
	service := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(service.Close)
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	return &terminal{
		env:      map[string]string{"CAIO_URL": server.URL},
		contract: write("contract.yaml", fmt.Sprintf(echoContract, "1.0.0", service.URL)),
		other:    write("other.yaml", strings.Replace(fmt.Sprintf(echoContract, "2.0.0", service.URL), "max: 50", "max: 40", 1)),
		broken:   write("broken.yaml", "service:\n  id: Echo!\n"),
	}
}

// echo answers with the request's body, or streams it.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Authorization") == "Bearer wrong" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if strings.Contains(string(body), "problem") {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, `{"detail": "no", "code": "x", "errors": [{"pointer": "/text", "detail": "too short"}], "error": {"code": "X", "message": "no", "details": {"request_id": "r-1", "errors": [{"pointer": "/text", "detail": "too short"}]}}}`)
		return
	}
	if strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: delta\ndata: 1\n\nevent: result\ndata: %s\n\n", body)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

func (term *terminal) run(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errors bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errors, getenv: func(name string) string { return term.env[name] }}
	status = a.run(t.Context(), args)
	return status, out.String(), errors.String()
}

// must runs a command that has to succeed and returns its output.
func (term *terminal) must(t *testing.T, args ...string) string {
	t.Helper()
	status, stdout, stderr := term.run(t, "", args...)
	if status != 0 || stderr != "" {
		t.Fatalf("caioctl %s: status %d, %s", strings.Join(args, " "), status, stderr)
	}
	return stdout
}

// The way of a service from its contract to a call, with nothing but this program.
func TestMainJob(t *testing.T) {
	t.Parallel()
	term := newTerminal(t, nil)
	for _, step := range []struct {
		args []string
		want []string // parts of the output
	}{
		{[]string{"health"}, []string{"status", "healthy"}},
		{[]string{"services"}, []string{"No services."}},
		{[]string{"validate", term.contract}, []string{"valid", "echo-001"}},
		{[]string{"validate", "--remote", term.contract}, []string{"valid", "echo-001"}},
		{[]string{"register", term.contract}, []string{"Service echo-001 registered successfully"}},
		{[]string{"register", term.contract}, []string{"Service echo-001 registered successfully"}},
		{[]string{"services", "--capability", "echo"}, []string{"ID", "echo-001", "1.0.0", "active"}},
		{[]string{"services", "--capability", "other"}, []string{"No services."}},
		{[]string{"--paths", "published", "service", "echo-001"}, []string{"p95_latency_ms <= 50", "POST /echo"}},
		{[]string{"route", "echo", "--max", "p95_latency_ms=100", "--explain"}, []string{"echo-001", "because", "met", "guarantees.p95_latency_ms"}},
		{[]string{"route", "echo", "--policy", "requires_gpu=true", "--trust-level", "1", "--explain"}, []string{"candidate", "p95 ms <= 50", "selection", "1 of 1 policies"}},
		{[]string{"explain", "guarantee/empty-bound"}, []string{"guarantee/empty-bound (error)"}},
		{[]string{"explain"}, []string{"file/alias-limit\n"}},
		{[]string{"diff", term.contract}, []string{"Nothing changed."}},
		{[]string{"diff", term.contract, term.other}, []string{"CLASS", "Made: major"}},
		{[]string{"call", "echo", "--data", `{"a": 1}`}, []string{`{"a":1}`}},
		{[]string{"call", "echo", "--endpoint", "POST /echo", "--data", `{"a": 1}`, "--stream"}, []string{"delta 1\n", `result {"a":1}`}},
		{[]string{"call", "echo", "--endpoint", "/echo", "--data", `{"a": 1}`, "-o", "yaml"}, []string{"a: 1\n"}},
		{[]string{"call", "echo", "--data", `{"a": 1}`, "--stream", "-o", "json"}, []string{`{"data":1,"event":"delta","id":""}`, `{"data":{"a":1},"event":"result","id":""}`}},
		{[]string{"call", "echo", "--data", `{"a": 1}`, "--stream", "-o", "yaml"}, []string{"---\ndata: 1\nevent: delta\n", "---\ndata:\n  a: 1\n"}},
		{[]string{"--version"}, []string{"caioctl "}},
		{[]string{"help"}, []string{"CAIO_URL", "Exit status:", "caioctl serve"}},
		{[]string{"unregister", "echo-001"}, []string{"unregistered"}},
		{[]string{"services"}, []string{"No services."}},
	} {
		output := term.must(t, step.args...)
		for _, want := range step.want {
			if !strings.Contains(output, want) {
				t.Errorf("caioctl %s: no %q in\n%s", strings.Join(step.args, " "), want, output)
			}
		}
		if strings.Contains(output, "\x1b") {
			t.Errorf("caioctl %s: a contract wrote control characters to the terminal: %q", strings.Join(step.args, " "), output)
		}
	}
}

func TestOutputFormats(t *testing.T) {
	t.Parallel()
	term := newTerminal(t, nil)
	term.must(t, "register", term.contract)
	var decision, again struct {
		DecisionID string `json:"decision_id" yaml:"decision_id"`
		ServiceID  string `json:"service_id" yaml:"service_id"`
	}
	if err := json.Unmarshal([]byte(term.must(t, "route", "echo", "-o", "json")), &decision); err != nil || decision.ServiceID != "echo-001" {
		t.Errorf("JSON: %+v, %v", decision, err)
	}
	if err := yaml.Unmarshal([]byte(term.must(t, "trace", decision.DecisionID, "-o", "yaml")), &again); err != nil || again.DecisionID != decision.DecisionID {
		t.Errorf("YAML: %+v, %v", again, err)
	}
	if output := term.must(t, "trace", decision.DecisionID); !strings.Contains(output, "echo-001") {
		t.Errorf("table: %s", output)
	}
	for _, args := range [][]string{{"services"}, {"service", "echo-001"}, {"health"}, {"validate", term.contract}, {"unregister", "echo-001"}, {"register", term.contract}} {
		if output := term.must(t, append(args, "-o", "json")...); !json.Valid([]byte(output)) {
			t.Errorf("caioctl %s -o json: %s", strings.Join(args, " "), output)
		}
	}
	for _, one := range []struct {
		args   []string
		output string
	}{
		{[]string{"diff", term.contract, term.contract, "-o", "json"}, `"changes": []`}, // scripts go through lists
		{[]string{"service", "echo-001", "-o", "yaml"}, "max_tokens: 1000000\n"},
	} {
		if output := term.must(t, one.args...); !strings.Contains(output, one.output) {
			t.Errorf("caioctl %s lacks %s: %s", strings.Join(one.args, " "), one.output, output)
		}
	}
}

// A trace that was saved verifies, and does not when it was changed.
func TestVerify(t *testing.T) {
	t.Parallel()
	term := newTerminal(t, nil)
	term.must(t, "register", term.contract)
	var decision struct {
		ID string `json:"decision_id"`
	}
	json.Unmarshal([]byte(term.must(t, "route", "echo", "-o", "json")), &decision)
	if output := term.must(t, "trace", decision.ID, "--verify"); !strings.Contains(output, "recomputed") || !strings.Contains(output, "sha256:") {
		t.Errorf("trace --verify: %s", output)
	}
	text := term.must(t, "trace", decision.ID, "-o", "json")
	if status, output, stderr := term.run(t, text, "verify", "-"); status != 0 || !strings.Contains(output, decision.ID+" verifies") {
		t.Errorf("verify: %d %s %s", status, output, stderr)
	}
	if status, _, stderr := term.run(t, strings.Replace(text, "echo-001", "echo-002", 1), "verify", "-"); status != exitChanged || !strings.Contains(stderr, "it was altered") {
		t.Errorf("verify an altered trace: %d %s", status, stderr)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	term := newTerminal(t, nil)
	term.must(t, "register", term.contract)
	closed := newTerminal(t, &registry.Options{Tokens: []string{"a-token-of-some-length"}})
	nowhere := &terminal{env: map[string]string{"CAIO_URL": "http://127.0.0.1:1"}}
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	strange := &terminal{env: map[string]string{"CAIO_URL": tls.URL}}
	refused := &terminal{env: map[string]string{"CAIO_URL": term.env["CAIO_URL"], "CAIO_SERVICE_TOKEN": "wrong"}}
	for name, test := range map[string]struct {
		term   *terminal
		args   string
		status int
		stderr string // part of it
	}{
		"unknown command":     {term, "frobnicate", exitUsage, "caioctl help"},
		"unknown flag":        {term, "services --frobnicate", exitUsage, "caioctl help"},
		"arguments":           {term, "route", exitUsage, "caioctl route CAPABILITY"},
		"output":              {term, "health -o xml", exitUsage, "table, json or yaml"},
		"bound":               {term, "route echo --max p95_latency_ms=fast", exitUsage, "PROPERTY=NUMBER"},
		"constraint":          {term, "route echo --constraint requires_gpu", exitUsage, "FIELD=VALUE"},
		"body":                {term, "call echo --data {", exitUsage, "not JSON"},
		"URL":                 {term, "health --url ftp://x", exitUsage, "http"},
		"missing file":        {term, "register " + term.contract + "x", exitFailure, "Check the path"},
		"broken contract":     {term, "validate " + term.broken + " " + term.contract, exitInvalid, "broken.yaml"},
		"unknown service":     {term, "service nobody", exitNotFound, "caioctl services"},
		"no match":            {term, "route echo --constraint requires_gpu=false", exitNotFound, "requires_gpu"},
		"unknown rule":        {term, "explain nothing/such", exitNotFound, "caioctl explain"},
		"nothing to compare":  {closed, "diff " + term.contract, exitUnauthorized, "CAIO_TOKEN"},
		"version not raised":  {term, "diff " + term.other + " " + term.contract, exitChanged, "Raise the version"},
		"policy":              {term, "route echo --policy x", exitUsage, "--policy takes FIELD=VALUE"},
		"policy fails":        {term, "route echo --policy requires_gpu=false", exitNotFound, "policies.constraints.requires_gpu"},
		"sensitive data":      {term, "route echo --sensitive", exitNotFound, "sensitive data"},
		"no such capability":  {term, "route sing", exitNotFound, "on offer: echo"},
		"details":             {term, "route echo --max p95_latency_ms=1 --constraint requires_gpu=false", exitNotFound, "\n  echo-001  constraints.requires_gpu: "},
		"details of a call":   {term, "call echo --endpoint /echo --data " + `{"problem":1}`, exitFailure, "\n  /text       too short\n  request id  r-1\n"},
		"details as JSON":     {term, "route echo --max p95_latency_ms=1 -o json", exitNotFound, `"service_id": "echo-001"`},
		"unknown endpoint":    {term, "call echo --endpoint GET", exitFailure, "POST /echo"},
		"unknown trace":       {term, "trace dec-0", exitNotFound, "Route again"},
		"unknown shell":       {term, "completion ksh", exitUsage, "bash|zsh|fish|powershell"},
		"address in use":      {term, "serve --addr " + strings.TrimPrefix(term.env["CAIO_URL"], "http://"), exitFailure, "--addr"},
		"unknown authority":   {strange, "health", exitUnreachable, "SSL_CERT_FILE"},
		"no token":            {closed, "services", exitUnauthorized, "CAIO_TOKEN"},
		"nobody there":        {nowhere, "services --timeout 1s", exitUnreachable, "caioctl serve"},
		"id taken":            {term, "register " + term.other, exitTaken, "caioctl unregister"},
		"refused by service":  {refused, "call echo --data {}", exitUnauthorized, "CAIO_SERVICE_TOKEN"},
		"serve for everybody": {term, "serve --addr 0.0.0.0:0", exitUsage, "without a token"},
		"serve weak token":    {&terminal{env: map[string]string{"CAIO_TOKEN": "short"}}, "serve --addr 127.0.0.1:0", exitUsage, "shorter than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, _, stderr := test.term.run(t, "", strings.Fields(test.args)...)
			if status != test.status || !strings.Contains(stderr, test.stderr) {
				t.Errorf("status %d, %s, want %d with %q", status, stderr, test.status, test.stderr)
			}
		})
	}
}

func TestDataFromFileAndInput(t *testing.T) {
	t.Parallel()
	term := newTerminal(t, nil)
	term.must(t, "register", term.contract)
	file := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(file, []byte(`{"from": "file"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if output := term.must(t, "call", "echo", "--data", "@"+file); !strings.Contains(output, "file") {
		t.Errorf("--data @FILE: %s", output)
	}
	if status, output, stderr := term.run(t, `{"from": "input"}`, "call", "echo", "--data", "-"); status != 0 || !strings.Contains(output, "input") {
		t.Errorf("--data -: %d %s %s", status, output, stderr)
	}
}

// A serving is the program as a registry, until stop is called.
func serving(t *testing.T, args ...string) (term *terminal, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	a := &app{stdin: strings.NewReader(""), stdout: writer, stderr: io.Discard, getenv: func(string) string { return "" }}
	ended := make(chan int, 1)
	go func() {
		ended <- a.run(ctx, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...))
		writer.Close()
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatalf("serve: %v, status %d", err, <-ended)
	}
	return &terminal{env: map[string]string{"CAIO_URL": regexp.MustCompile(`http://[0-9.:]+`).FindString(line)}}, func() {
		t.Helper()
		cancel()
		if status := <-ended; status != exitOK {
			t.Errorf("serve ended with status %d", status)
		}
	}
}

// The token file is read for each question, so that it may be replaced; serve reads the same form, and roles.
func TestServe(t *testing.T) {
	t.Parallel()
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	term, stop := serving(t, "--token-file", write("a-token-of-some-length\nuser a-token-for-the-users\n\nservice a-token-for-services\n"))
	if output := term.must(t, "services", "--token-file", write("a-token-of-some-length\n")); !strings.Contains(output, "No services.") {
		t.Errorf("services: %s", output)
	}
	if status, _, _ := term.run(t, "", "services"); status != exitUnauthorized {
		t.Errorf("services without token: status %d", status)
	}
	if status, _, stderr := term.run(t, "", "unregister", "x", "--token-file", write("a-token-for-the-users")); status != exitUnauthorized || !strings.Contains(stderr, "role service") {
		t.Errorf("unregister as a user: status %d, %s", status, stderr)
	}
	if status, _, _ := term.run(t, "", "unregister", "x", "--token-file", write("a-token-for-services")); status != exitNotFound {
		t.Errorf("unregister as a service: status %d", status)
	}
	stop()
	if status, _, stderr := term.run(t, "", "serve", "--token-file", write("guest a-token-for-the-guests")); status != exitUsage || !strings.Contains(stderr, "line 1") || strings.Contains(stderr, "guests") {
		t.Errorf("an unknown role: status %d, %s", status, stderr)
	}
}

func TestServeKeepsData(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "registry.db")
	files := newTerminal(t, nil)
	term, stop := serving(t, "--data", data)
	term.must(t, "register", files.contract)
	var decision struct {
		ID string `json:"decision_id"`
	}
	json.Unmarshal([]byte(term.must(t, "route", "echo", "-o", "json")), &decision)
	if status, _, stderr := term.run(t, "", "serve", "--addr", "127.0.0.1:0", "--data", data); status != exitFailure || !strings.Contains(stderr, "in use") {
		t.Errorf("a second registry on the file: status %d, %s", status, stderr)
	}
	stop()
	term, stop = serving(t, "--data", data)
	if output := term.must(t, "services"); !strings.Contains(output, "echo-001") {
		t.Errorf("services after a restart: %s", output)
	}
	if output := term.must(t, "trace", decision.ID); !strings.Contains(output, "echo-001") {
		t.Errorf("trace after a restart: %s", output)
	}
	stop()
}
