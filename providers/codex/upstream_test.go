package codex_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

const key = "sk-canary-0123456789abcdef"

// newProvider returns a provider whose model's server is handler, and counts the calls that it makes.
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

func ask(t *testing.T, p *codex.Provider) (*codex.Answer, error) {
	t.Helper()
	asked, err := codex.Generation{}.TransformRequest(codex.GenerateRequest{Prompt: "p"})
	if err != nil {
		t.Fatal(err)
	}
	return p.Ask(t.Context(), asked)
}

func stream(t *testing.T, p *codex.Provider) (deltas []codex.Delta, a *codex.Answer, err error) {
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
		"model": codex.DefaultModel, "instructions": asked.Instructions(), "input": asked.Input(), "max_output_tokens": 8192.0, "store": false,
		"reasoning": map[string]any{"effort": "low"},
		"text":      map[string]any{"format": map[string]any{"type": "json_schema", "name": "code_generation", "strict": true, "schema": schema}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if got := header.Get("Authorization"); got != "Bearer "+key {
		t.Errorf("Authorization = %q", got)
	}
}

// Strict structured output refuses schemas with open objects or optional members.
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

func TestServerErrors(t *testing.T) {
	t.Parallel()
	apiError := func(code string) string {
		return `{"error":{"message":"org-secret says no","type":"t","param":null,"code":"` + code + `"}}`
	}
	for _, test := range []struct {
		name      string
		status    int
		header    string // Name: value
		body      string
		code      string
		public    int
		detail    string
		wait      time.Duration
		permanent bool
		logged    string
	}{
		{"bad key", 401, "", apiError("invalid_api_key"), bridge.CodeUpstreamFailed, 0, "credentials", 0, true, "OPENAI_API_KEY"},
		{"forbidden", 403, "", `{}`, bridge.CodeUpstreamFailed, 0, "credentials", 0, true, "OPENAI_API_KEY"},
		{"no such model", 404, "", apiError("model_not_found"), bridge.CodeUpstreamFailed, 0, `"gpt-6.1-sol"`, 0, true, "CODEX_MODEL"},
		{"nothing there", 404, "", `<html>`, bridge.CodeUpstreamFailed, 0, `"gpt-6.1-sol"`, 0, true, "OPENAI_BASE_URL"},
		{"slow down", 429, "Retry-After: 7", apiError("rate_limit_exceeded"), bridge.CodeRateLimited, 0, "no more calls", 7 * time.Second, false, "rate_limit_exceeded"},
		{"slow down, in ms", 429, "Retry-After-Ms: 250", `{}`, bridge.CodeRateLimited, 0, "no more calls", 250 * time.Millisecond, false, "429"},
		{"a wait beyond reason", 429, "Retry-After: 1e300", `{}`, bridge.CodeRateLimited, 0, "", time.Hour, false, ""},
		{"a wait that is none", 429, "Retry-After: -3", `{}`, bridge.CodeRateLimited, 0, "", 0, false, ""},
		{"no money", 429, "Retry-After: 7", apiError("credit_balance_exhausted"), bridge.CodeRateLimited, 0, "used up", 0, true, "quota"},
		{"no money, by type", 429, "", `{"error":{"type":"insufficient_quota","code":"something_new"}}`, bridge.CodeRateLimited, 0, "used up", 0, true, "something_new"},
		{"too long", 400, "", apiError("context_length_exceeded"), "context_length_exceeded", 422, "too long", 0, false, ""},
		{"cyber policy", 400, "", apiError("cyber_policy"), "cyber_policy", 422, "policy", 0, true, ""},
		{"flagged", 400, "", apiError("invalid_prompt"), "content_filtered", 422, "policy", 0, false, ""},
		{"does not fit", 400, "", `{"error":{"message":"Unsupported parameter","param":"reasoning.effort","code":null}}`, bridge.CodeUpstreamFailed, 0, "refused the request", 0, true, "reasoning.effort"},
		{"broken", 500, "", apiError("server_error"), bridge.CodeUpstreamFailed, 0, "failed", 0, false, "org-secret says no"},
		{"overloaded", 503, "Retry-After: 2", apiError("server_is_overloaded"), bridge.CodeUpstreamFailed, 0, "failed", 2 * time.Second, false, ""},
		{"error as text", 500, "", `{"error":"boom"}`, bridge.CodeUpstreamFailed, 0, "failed", 0, false, "boom"},
		{"code as number", 404, "", `{"error":{"message":"no model","code":404}}`, bridge.CodeUpstreamFailed, 0, "", 0, true, "no model"},
		{"a date that has passed", 429, "Retry-After: Mon, 02 Jan 2006 15:04:05 GMT", `{}`, bridge.CodeRateLimited, 0, "", 0, false, ""},
		{"lines in the message", 500, "", `{"error":{"message":"two\nlines\u0000"}}`, bridge.CodeUpstreamFailed, 0, "failed", 0, false, "two lines"},
		{"detail", 422, "", `{"detail":"bad input"}`, bridge.CodeUpstreamFailed, 0, "", 0, true, "bad input"},
		{"empty", 502, "", ``, bridge.CodeUpstreamFailed, 0, "failed", 0, false, "502"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, calls := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
				if name, value, ok := strings.Cut(test.header, ": "); ok {
					w.Header().Set(name, value)
				}
				writeJSON(test.status, test.body)(w, r)
			})
			_, err := ask(t, p)
			e := wantError(t, err, test.code, test.public, test.detail)
			if e.RetryAfter != test.wait || e.Permanent != test.permanent {
				t.Errorf("retry after %v, permanent %v; want %v, %v", e.RetryAfter, e.Permanent, test.wait, test.permanent)
			}
			if !strings.Contains(e.Error(), test.logged) {
				t.Errorf("the log would not say %q: %s", test.logged, e)
			}
			if strings.Contains(e.Detail, "org-secret") {
				t.Errorf("the server's words reach the caller: %s", e.Detail)
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("the billed call was made %d times", n)
			}
			if _, _, err := stream(t, p); err == nil || err.Error() != e.Error() {
				t.Errorf("streaming fails with %v, want %v", err, e)
			}
		})
	}
}

func TestAnswersOfTheWrongKind(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"null":            writeJSON(200, "null"),
		"empty":           writeJSON(200, ""),
		"cut":             writeJSON(200, `{"status":"comp`),
		"no response":     writeJSON(200, `{"ok":true}`),
		"wrong types":     writeJSON(200, `{"status":"completed","output":"oops"}`),
		"too long":        writeJSON(200, `{"status":"completed","x":"`+strings.Repeat("x", 17<<20)+`"}`),
		"no content":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"a page":          func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>Welcome</html>") },
		"not JSON in SSE": sse("data: nonsense\n\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := newProvider(t, handler)
			_, _, err := stream(t, p)
			e := wantError(t, err, bridge.CodeInvalidResponse, 0, "not an answer of the Responses API")
			if !strings.Contains(e.Error(), "OPENAI_BASE_URL") {
				t.Errorf("the log would not say what to check: %s", e)
			}
		})
	}
}

func TestFailedResponses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, body, code, detail string }{
		{"failed", `{"status":"failed","error":{"code":"server_error","message":"m"},"usage":null}`, bridge.CodeUpstreamFailed, "failed"},
		{"failed without a word", `{"status":"failed","error":null}`, bridge.CodeUpstreamFailed, "failed"},
		{"an error with status 200", `{"error":{"code":"rate_limit_exceeded","message":"m"}}`, bridge.CodeRateLimited, "no more calls"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, _ := newProvider(t, writeJSON(200, test.body))
			_, err := ask(t, p)
			wantError(t, err, test.code, 0, test.detail)
		})
	}
}

func TestServerOutOfReach(t *testing.T) {
	t.Parallel()
	p, err := codex.New(&codex.Options{BaseURL: refusingURL(t)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ask(t, p)
	wantError(t, err, bridge.CodeUpstreamFailed, 0, "cannot be reached")
}

// The operator's own client may follow redirects anywhere.
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
		for _, client := range []*http.Client{nil, {}, {CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
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

func TestServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // or the server does not notice that the client left
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	p, err := codex.New(&codex.Options{BaseURL: server.URL, HTTPClient: &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 10 * time.Millisecond}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ask(t, p)
	wantError(t, err, bridge.CodeTimeout, 0, "in time")
}

func TestCancellationReachesTheServer(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	p, _ := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client left
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

// One provider serves all callers: their answers must not mix.
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

// The key must not get out: not in errors, not by printing what holds it, and not when a server repeats it.
func TestTheKeyStaysInside(t *testing.T) {
	t.Parallel()
	p, _ := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		writeJSON(401, `{"error":{"code":"invalid_api_key","message":"Incorrect key: `+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+`"}}`)(w, r)
	})
	_, err := ask(t, p)
	opts := codex.Options{APIKey: key}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("options", "o", opts, "error", err)
	_, invalid := codex.New(&codex.Options{APIKey: key + "\n", BaseURL: "http://user:" + key + "@host/?" + key})
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s", err, err, errors.Unwrap(err), err),
		fmt.Sprintf("%v %+v %#v", opts, &opts, opts), log.String(),
		fmt.Sprintf("%v %+v %#v", p, p, *p), fmt.Sprint(invalid),
	} {
		if strings.Contains(text, key) {
			t.Errorf("the key is in %s", text)
		}
	}
	if !strings.Contains(fmt.Sprint(err), "Incorrect key: [key]") {
		t.Errorf("error = %v, want the message without the key", err)
	}
}

// Calls that fail are those one looks for: their spans are named by the model that was asked, as the GenAI conventions have it.
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
