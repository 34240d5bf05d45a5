package codex_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

const key = "sk-canary-0123456789abcdef"

// newProvider returns a provider with handler as the model's server, and a counter of its calls.
func newProvider(t *testing.T, handler http.HandlerFunc) (*codex.Provider, *atomic.Int32) {
	t.Helper()
	calls := new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	p, err := codex.New(&codex.Options{APIKey: key, BaseURL: server.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, calls
}

func wantError(t *testing.T, err error, code string, status int, detail string) *bridge.Error {
	t.Helper()
	e, ok := errors.AsType[*bridge.Error](err)
	if !ok {
		t.Fatalf("error = %v, want a *bridge.Error", err)
	}
	if e.Code != code || e.Status != status || !strings.Contains(e.Detail, detail) {
		t.Errorf("error = %s %d %q, want %s %d with %q", e.Code, e.Status, e.Detail, code, status, detail)
	}
	return e
}

func ask(t *testing.T, p *codex.Provider) (*codex.Response, error) {
	t.Helper()
	asked, err := codex.Generation{}.TransformRequest(codex.GenerateRequest{Prompt: "p"})
	if err != nil {
		t.Fatal(err)
	}
	return p.Ask(t.Context(), asked)
}

func stream(t *testing.T, p *codex.Provider) (deltas []codex.Delta, a *codex.Response, err error) {
	t.Helper()
	asked, err := codex.Generation{}.TransformRequest(codex.GenerateRequest{Prompt: "p"})
	if err != nil {
		t.Fatal(err)
	}
	a, err = p.Stream(t.Context(), asked, func(d codex.Delta) error {
		deltas = append(deltas, d)
		return nil
	})
	return deltas, a, err
}

func writeJSON(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	var got map[string]any
	var header http.Header
	p, _ := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if r.URL.Path != "/v1/responses" {
			t.Errorf("path = %s", r.URL.Path)
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		writeJSON(200, completed("x"))(w, r)
	})
	if _, err := ask(t, p); err != nil {
		t.Fatal(err)
	}
	asked, _ := codex.Generation{}.TransformRequest(codex.GenerateRequest{Prompt: "p"})
	var schema any
	if err := json.Unmarshal([]byte(asked.Schema()), &schema); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"model": codex.DefaultModel, "instructions": asked.Instructions(), "input": asked.Input(),
		"max_output_tokens": 8192.0, "store": false,
		"reasoning": map[string]any{"effort": "low"},
		"text": map[string]any{"format": map[string]any{"type": "json_schema", "name": "code_generation",
			"strict": true, "schema": schema}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if got := header.Get("Authorization"); got != "Bearer "+key {
		t.Errorf("Authorization = %q", got)
	}
}

// Strict structured output requires closed objects without optional members.
func TestFormatsAreStrict(t *testing.T) {
	t.Parallel()
	generate, _ := codex.Generation{}.TransformRequest(codex.GenerateRequest{})
	review, _ := codex.Review{}.TransformRequest(codex.ReviewRequest{})
	for _, asked := range []codex.Prompt{generate, review} {
		var schema map[string]any
		if err := json.Unmarshal([]byte(asked.Schema()), &schema); err != nil {
			t.Fatal(err)
		}
		checkStrict(t, "", schema)
	}
}

func checkStrict(t *testing.T, at string, schema map[string]any) {
	t.Helper()
	if items, ok := schema["items"].(map[string]any); ok {
		checkStrict(t, at+"/items", items)
	}
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		return
	}
	if schema["additionalProperties"] != false {
		t.Errorf("%s: the object is open", at)
	}
	required, _ := schema["required"].([]any)
	for name, property := range properties {
		found := false
		for _, r := range required {
			found = found || r == name
		}
		if !found {
			t.Errorf("%s/%s is not required", at, name)
		}
		checkStrict(t, at+"/"+name, property.(map[string]any))
	}
}

// The bridge follows no redirect to another server, even with the operator's own client.
func TestRedirectsStayAtTheServer(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Error("another server got the request")
	}))
	t.Cleanup(other.Close)
	mux := http.NewServeMux()
	mux.Handle("/away/", http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	mux.Handle("/moved/", http.RedirectHandler("/v1/responses", http.StatusTemporaryRedirect))
	mux.Handle("/forever/", http.RedirectHandler("/forever/more", http.StatusTemporaryRedirect))
	mux.Handle("/v1/responses", writeJSON(200, completed("x")))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, base := range []string{"/away", "/moved", "/forever"} {
		for _, client := range []*http.Client{nil, {},
			{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
			if base == "/forever" && client != nil && client.CheckRedirect != nil {
				continue // that check has no bound
			}
			p, err := codex.New(&codex.Options{APIKey: key, BaseURL: server.URL + base, HTTPClient: client})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			_, err = ask(t, p)
			if base == "/moved" {
				if err != nil {
					t.Errorf("%s, %v: %v", base, client, err)
				}
				continue
			}
			wantError(t, err, bridge.CodeUpstreamFailed, 0, "")
		}
	}
}

func TestCancellationReachesTheServer(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	p, _ := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		_, _ = io.Copy(io.Discard, r.Body) // needed: a server notices a closed connection only after reading the body
		sse("event: response.created\ndata: {\"type\":\"response.created\"}\n\n")(w, r)
		http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	})
	asked, _ := codex.Generation{}.TransformRequest(codex.GenerateRequest{Prompt: "p"})
	_, err := p.Stream(ctx, asked, func(codex.Delta) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	<-left
}

// Concurrent calls get their own answers.
func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	p, _ := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Input string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		sse(events(textDelta(asked.Input), `{"type":"response.completed","response":`+completed(asked.Input)+`}`))(w, r)
	})
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			asked, err := codex.Generation{}.TransformRequest(codex.GenerateRequest{Prompt: fmt.Sprint("number ", i)})
			if err != nil {
				t.Error(err)
			}
			a, err := p.Stream(t.Context(), asked, func(codex.Delta) error { return nil })
			if err != nil || !strings.Contains(a.Output[1].Content[0].Text, fmt.Sprintf("number %d\n", i)) {
				t.Errorf("call %d got %+v, %v", i, a, err)
			}
		})
	}
	wg.Wait()
}

// Spans of failed calls are named by the requested model, as the GenAI conventions require.
func TestSpansOfFailedCalls(t *testing.T) {
	t.Parallel()
	p, _ := newProvider(t, writeJSON(500, `{}`))
	c, err := codex.Contract()
	if err != nil {
		t.Fatal(err)
	}
	spans := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	t.Cleanup(func() { _ = tracers.Shutdown(context.Background()) })
	b, err := bridge.New(c, p, &bridge.Options{TracerProvider: tracers})
	if err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"application/json", "text/event-stream"} {
		r := httptest.NewRequest("POST", "/generate", strings.NewReader(`{"prompt":"p"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", accept)
		b.ServeHTTP(httptest.NewRecorder(), r)
	}
	var names []string
	for _, s := range spans.Ended() {
		if s.SpanKind() == trace.SpanKindClient {
			names = append(names, s.Name())
		}
	}
	if diff := cmp.Diff([]string{"chat " + codex.DefaultModel, "chat " + codex.DefaultModel}, names); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}
