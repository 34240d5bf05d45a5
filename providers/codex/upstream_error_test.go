package codex_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

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
		{"bad key", 401, "", apiError("invalid_api_key"), bridge.CodeUpstreamFailed, 0, "credentials", 0, true,
			"OPENAI_API_KEY"},
		{"forbidden", 403, "", `{}`, bridge.CodeUpstreamFailed, 0, "credentials", 0, true, "OPENAI_API_KEY"},
		{"no such model", 404, "", apiError("model_not_found"), bridge.CodeUpstreamFailed, 0, `"gpt-6.1-sol"`, 0, true,
			"CODEX_MODEL"},
		{"nothing there", 404, "", `<html>`, bridge.CodeUpstreamFailed, 0, `"gpt-6.1-sol"`, 0, true, "OPENAI_BASE_URL"},
		{"slow down", 429, "Retry-After: 7", apiError("rate_limit_exceeded"), bridge.CodeRateLimited, 0, "no more calls",
			7 * time.Second, false, "rate_limit_exceeded"},
		{"slow down, in ms", 429, "Retry-After-Ms: 250", `{}`, bridge.CodeRateLimited, 0, "no more calls",
			250 * time.Millisecond, false, "429"},
		{"a wait beyond reason", 429, "Retry-After: 1e300", `{}`, bridge.CodeRateLimited, 0, "", time.Hour, false, ""},
		{"a wait that is none", 429, "Retry-After: -3", `{}`, bridge.CodeRateLimited, 0, "", 0, false, ""},
		{"no money", 429, "Retry-After: 7", apiError("credit_balance_exhausted"), bridge.CodeRateLimited, 0, "used up", 0,
			true, "quota"},
		{"no money, by type", 429, "", `{"error":{"type":"insufficient_quota","code":"something_new"}}`,
			bridge.CodeRateLimited, 0, "used up", 0, true, "something_new"},
		{"too long", 400, "", apiError("context_length_exceeded"), "context_length_exceeded", 422, "too long", 0, false, ""},
		{"cyber policy", 400, "", apiError("cyber_policy"), "cyber_policy", 422, "policy", 0, true, ""},
		{"flagged", 400, "", apiError("invalid_prompt"), "content_filtered", 422, "policy", 0, false, ""},
		{"does not fit", 400, "", `{"error":{"message":"Unsupported parameter","param":"reasoning.effort","code":null}}`,
			bridge.CodeUpstreamFailed, 0, "refused the request", 0, true, "reasoning.effort"},
		{"broken", 500, "", apiError("server_error"), bridge.CodeUpstreamFailed, 0, "failed", 0, false, "org-secret says no"},
		{"overloaded", 503, "Retry-After: 2", apiError("server_is_overloaded"), bridge.CodeUpstreamFailed, 0, "failed",
			2 * time.Second, false, ""},
		{"error as text", 500, "", `{"error":"boom"}`, bridge.CodeUpstreamFailed, 0, "failed", 0, false, "boom"},
		{"code as number", 404, "", `{"error":{"message":"no model","code":404}}`, bridge.CodeUpstreamFailed, 0, "", 0,
			true, "no model"},
		{"a date that has passed", 429, "Retry-After: Mon, 02 Jan 2006 15:04:05 GMT", `{}`, bridge.CodeRateLimited, 0, "",
			0, false, ""},
		{"lines in the message", 500, "", `{"error":{"message":"two\nlines\u0000"}}`, bridge.CodeUpstreamFailed, 0,
			"failed", 0, false, "two lines"},
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
				t.Errorf("the cause, for the log, lacks %q: %s", test.logged, e)
			}
			if strings.Contains(e.Detail, "org-secret") {
				t.Errorf("the detail contains the server's message: %s", e.Detail)
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

func TestInvalidResponses(t *testing.T) {
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
			e := wantError(t, err, bridge.CodeInvalidResponse, 0, "not a response of the Responses API")
			if !strings.Contains(e.Error(), "OPENAI_BASE_URL") {
				t.Errorf("the cause, for the log, does not name the setting: %s", e)
			}
		})
	}
}

func TestFailedResponses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, body, code, detail string }{
		{"failed", `{"status":"failed","error":{"code":"server_error","message":"m"},"usage":null}`,
			bridge.CodeUpstreamFailed, "failed"},
		{"failed without a word", `{"status":"failed","error":null}`, bridge.CodeUpstreamFailed, "failed"},
		{"an error with status 200", `{"error":{"code":"rate_limit_exceeded","message":"m"}}`, bridge.CodeRateLimited,
			"no more calls"},
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

func TestServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // needed: a server notices a closed connection only after reading the body
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	p, err := codex.New(&codex.Options{BaseURL: server.URL,
		HTTPClient: &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 10 * time.Millisecond}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ask(t, p)
	wantError(t, err, bridge.CodeTimeout, 0, "in time")
}

// No error and no printed value contains the key, even if a server repeats it.
func TestKeyDoesNotLeak(t *testing.T) {
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
