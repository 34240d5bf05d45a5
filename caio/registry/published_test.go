package registry_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// A publishedExample is a command of testdata/published/examples.sh, with what it is answered.
type publishedExample struct {
	command string
	status  int
	members any // that the answer has, nil if it is not JSON
}

func publishedExamples(t *testing.T) (list []publishedExample) {
	t.Helper()
	text, err := os.ReadFile("testdata/published/examples.sh")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "\n\n") {
		_, block, ok := strings.Cut(block, "#=> ")
		if !ok {
			continue
		}
		expected, command, _ := strings.Cut(block, "\n")
		status, members, _ := strings.Cut(expected, " ")
		e := publishedExample{command: command}
		if e.status, err = strconv.Atoi(status); err != nil {
			t.Fatal(err)
		}
		if members != "" {
			if err := json.Unmarshal([]byte(members), &e.members); err != nil {
				t.Fatalf("%s: %v", members, err)
			}
		}
		list = append(list, e)
	}
	return list
}

// The requests that CAIO's documents show with curl work here as they stand: nothing but host and port is replaced.
func TestPublishedExamples(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("curl is missing")
		}
		t.Skip("curl is not installed; with it, the requests that CAIO's documents show are sent, too")
	}
	const token = "a-token-of-some-length"
	server := httptest.NewServer(newRegistry(t, &registry.Options{Tokens: []string{token}, OpenIntegration: true}))
	t.Cleanup(server.Close)
	home := t.TempDir()
	settings := "silent\nshow-error\nmax-time = 30\nwrite-out = \"\\n%{http_code}\"\n"
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	examples := publishedExamples(t)
	if len(examples) < 20 {
		t.Fatalf("only %d examples were found", len(examples))
	}
	decision := ""
	for _, example := range examples {
		shell := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(example.command, "http://localhost:8080", server.URL))
		shell.Dir = "testdata/published"
		shell.Env = append(os.Environ(), "CURL_HOME="+home, "TOKEN="+token, "DECISION_ID="+decision)
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Errorf("%s\n%v: %s", example.command, err, out)
			continue
		}
		at := strings.LastIndexByte(string(out), '\n')
		body, status := out[:at], string(out[at+1:])
		var answer map[string]any
		if status != strconv.Itoa(example.status) || example.members != nil && (json.Unmarshal(body, &answer) != nil || !includes(answer, example.members)) {
			t.Errorf("%s\nis answered with %s %s\nwant %d with %v", example.command, status, body, example.status, example.members)
		}
		if id, ok := answer["decision_id"].(string); ok {
			decision = id
		}
	}
}

// includes reports whether decoded JSON has the wanted members, at any depth. A list begins with the wanted elements.
func includes(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		for name, member := range want {
			ok = ok && includes(object[name], member)
		}
		return ok
	case []any:
		list, ok := got.([]any)
		ok = ok && len(list) >= len(want) && (len(want) > 0 || len(list) == 0)
		for i, element := range want {
			ok = ok && includes(list[i], element)
		}
		return ok
	}
	return got == want
}
