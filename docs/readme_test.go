package docs_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

type request struct {
	Name string `json:"name"`
}

type response struct {
	Greeting string `json:"greeting"`
}

type greeter struct{}

func (g greeter) Routes() []bridge.Route {
	return []bridge.Route{bridge.Unary("POST /greet", bridge.HandlerFunc(g.greet), bridge.Serves("greeting"))}
}

func (greeter) greet(_ context.Context, req request) (response, error) {
	return response{"Hello, " + req.Name}, nil
}

// TestReadme runs the provider above with the contract of the README and demands its two answers.
func TestReadme(t *testing.T) {
	t.Parallel()
	var contracts, answers []string
	for _, b := range blocks(t) {
		switch {
		case b.page == "README.md" && b.language == "yaml":
			contracts = append(contracts, b.text)
		case b.page == "README.md" && b.language == "text":
			answers = append(answers, b.text)
		}
	}
	if len(contracts) != 1 || len(answers) != 1 {
		t.Fatalf("README.md has %d yaml blocks and %d text blocks, want 1 of each", len(contracts), len(answers))
	}
	c, err := contract.Parse("README.md", []byte(contracts[0]))
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridge.New(c, greeter{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(b)
	defer server.Close()
	var got strings.Builder
	for _, body := range []string{`{"name": "Ada"}`, `{"name": 5}`} {
		got.WriteString(body + "\n  " + post(t, server.URL+"/greet", body) + "\n")
	}
	if diff := cmp.Diff(answers[0], got.String()); diff != "" {
		t.Errorf("answers (-README +got):\n%s", diff)
	}
}

// post returns the status of an answer, and its result or the first error of the problem details.
func post(t *testing.T, url, body string) string {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Status + "  " + strings.TrimSpace(string(text))
	}
	var problem struct {
		Errors []struct{ Pointer, Detail string }
	}
	if err := json.Unmarshal(text, &problem); err != nil || len(problem.Errors) == 0 {
		t.Fatalf("no errors in the problem details: %v\n%s", err, text)
	}
	return res.Status + "  " + problem.Errors[0].Pointer + ": " + problem.Errors[0].Detail
}
