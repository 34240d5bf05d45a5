package caio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// decide returns a decision for a service that the handler plays, and a client that may call it with the token "sesame".
func decide(t *testing.T, handler http.HandlerFunc) (*caio.Client, *caio.Decision) {
	t.Helper()
	service := httptest.NewServer(handler)
	t.Cleanup(service.Close)
	client := newClient(t, http.NotFoundHandler(), &caio.Options{
		Token:        caio.StaticToken("token-of-caio"),
		ServiceToken: func(context.Context, string) (string, error) { return "sesame", nil },
	})
	return client, &caio.Decision{ServiceID: "s", BaseURL: service.URL, Endpoints: []caio.Endpoint{{Method: "POST", Path: "/generate"}, {Method: "GET", Path: "/health"}}}
}

func TestCall(t *testing.T) {
	t.Parallel()
	client, decision := decide(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		json.NewEncoder(w).Encode(map[string]string{"asked": r.Method + " " + r.URL.Path, "body": string(body), "token": r.Header.Get("Authorization")})
	})
	for endpoint, want := range map[string]map[string]string{
		"POST /generate": {"asked": "POST /generate", "body": `{"prompt":"add"}`, "token": "Bearer sesame"},
		"":               {"asked": "POST /generate", "body": `{"prompt":"add"}`, "token": "Bearer sesame"},
	} {
		var got map[string]string
		err := client.Call(t.Context(), decision, endpoint, map[string]string{"prompt": "add"}, &got)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Call(%q): %v (-want +got):\n%s", endpoint, err, diff)
		}
	}
	var got map[string]string
	if err := client.Call(t.Context(), decision, "GET /health", nil, &got); err != nil || got["body"] != "" {
		t.Errorf("Call without body: %v, %v", got, err)
	}
	err := client.Call(t.Context(), decision, "POST /review", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "POST /generate, GET /health") {
		t.Errorf("Call of an endpoint that is not offered: %v, want the offered ones", err)
	}
}

func TestCallRefused(t *testing.T) {
	t.Parallel()
	calls := 0
	client, decision := decide(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprintf(w, `{"title": "Too Many Requests", "status": 429, "detail": "60 per minute for %s", "code": "rate_limited", "errors": [{"pointer": "/prompt", "detail": "x"}]}`, r.Header.Get("Authorization"))
	})
	err := client.Call(t.Context(), decision, "POST /generate", map[string]any{}, nil)
	var got *caio.Error
	if !errors.As(err, &got) {
		t.Fatalf("Call = %v, want a caio.Error", err)
	}
	want := &caio.Error{Op: "call POST /generate", Status: 429, Code: "rate_limited", Message: "60 per minute for Bearer [token]",
		Details: map[string]any{"errors": []any{map[string]any{"pointer": "/prompt", "detail": "x"}}}, RetryAfter: 7e9}
	if diff := cmp.Diff(want, got); diff != "" || calls != 1 {
		t.Errorf("after %d calls (-want +got):\n%s", calls, diff)
	}
}

// CAIO does not promise to say in a decision where the service is: then its contract says it.
func TestCallFindsTheAddressInTheContract(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(answering(200, "application/json", `{"code": "x"}`))
	t.Cleanup(service.Close)
	reg := newRegistry(t, nil)
	ct, err := newContract(t, "mine", "1.0.0").WithBaseURL(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reg.Register(t.Context(), ct); err != nil {
		t.Fatal(err)
	}
	client := newClient(t, reg, nil)
	var answer struct{ Code string }
	if err := client.Call(t.Context(), &caio.Decision{ServiceID: "mine"}, "POST /generate", map[string]any{}, &answer); err != nil || answer.Code != "x" {
		t.Errorf("Call: %+v, %v", answer, err)
	}
	if err := client.Call(t.Context(), &caio.Decision{ServiceID: "nobody"}, "", nil, nil); !errors.Is(err, caio.ErrNotFound) {
		t.Errorf("Call of an unknown service: %v, want ErrNotFound", err)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		contentType, body string
		want              []caio.Event
		fault             string // part of the error, "" for none
	}{
		"events": {"text/event-stream", "retry: 10\n: alive\n\nid: 1\nevent: delta\ndata: {\"text\":\ndata: \"a\"}\n\nid: 2\r\nevent: result\r\ndata: {}\r\n\r\nevent: late\ndata: x\n\n",
			[]caio.Event{{Name: "delta", ID: "1", Data: json.RawMessage("{\"text\":\n\"a\"}")}, {Name: "result", ID: "2", Data: json.RawMessage("{}")}}, ""},
		"carriage returns": {"text/event-stream", "event:result\rdata:1\r\r", []caio.Event{{Name: "result", Data: json.RawMessage("1")}}, ""},
		"not streamed":     {"application/json", `{"code": "x"}`, []caio.Event{{Name: "result", Data: json.RawMessage(`{"code": "x"}`)}}, ""},
		"no result":        {"text/event-stream", "data: 1\n\n", []caio.Event{{Name: "message", Data: json.RawMessage("1")}}, "ended without a result"},
		"unfinished":       {"text/event-stream", "event: result\ndata: 1", nil, "ended without a result"},
		"long line":        {"text/event-stream", "data: " + strings.Repeat("x", 2<<20) + "\n\n", nil, "longer than 1 MiB"},
		"large event":      {"text/event-stream", strings.Repeat("data: "+strings.Repeat("x", 1<<19)+"\n", 20) + "\n", nil, "larger than 8 MiB"},
		"web page":         {"text/html", "<html>", nil, "web page"},
		"error event": {"text/event-stream", "event: error\ndata: {\"title\": \"Bad Gateway\", \"status\": 502, \"detail\": \"upstream failed for sesame\", \"code\": \"upstream\"}\n\n",
			nil, "upstream: upstream failed for [token] (HTTP 502)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, decision := decide(t, func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") {
					t.Errorf("Accept: %s", r.Header.Get("Accept"))
				}
				w.Header().Set("Content-Type", test.contentType)
				io.WriteString(w, test.body)
			})
			var got []caio.Event
			var fault error
			for event, err := range client.Stream(t.Context(), decision, "POST /generate", map[string]any{}) {
				if err != nil {
					fault = err
					continue
				}
				got = append(got, event)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if (fault != nil) != (test.fault != "") || fault != nil && !strings.Contains(fault.Error(), test.fault) {
				t.Errorf("error %v, want %q", fault, test.fault)
			}
		})
	}
}

// Leaving the loop cancels the call at the service.
func TestStreamLeft(t *testing.T) {
	t.Parallel()
	cancelled := make(chan struct{})
	client, decision := decide(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(cancelled)
	})
	for range client.Stream(t.Context(), decision, "POST /generate", map[string]any{}) {
		break
	}
	<-cancelled
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	client := newClient(t, reg, nil)
	if faults, err := client.Validate(t.Context(), newContract(t, "mine", "1.0.0")); err != nil || len(faults) != 0 {
		t.Errorf("Validate = %q, %v", faults, err)
	}
	registration, err := client.Upload(t.Context(), "echo.yaml", []byte(exampleContract))
	if err != nil || registration.ServiceID != "echo-001" {
		t.Errorf("Upload = %+v, %v", registration, err)
	}
	var faults contract.Diagnostics
	if _, err := client.Upload(t.Context(), "broken.yaml", []byte("service: {}")); !errors.Is(err, caio.ErrInvalidContract) || !errors.As(err, &faults) {
		t.Errorf("Upload of a broken contract: %v, want ErrInvalidContract with the diagnostics", err)
	}
	if _, err := client.Route(t.Context(), caio.Request{Capabilities: []string{"echo"}}); err != nil {
		t.Errorf("Route: %v", err)
	}
	metrics, err := client.Metrics(t.Context())
	if err != nil || !strings.Contains(metrics, "\ncaio_registry_services 1\n") || !strings.Contains(metrics, "\ncaio_registry_decisions_total 1\n") {
		t.Errorf("Metrics = %s, %v", metrics, err)
	}
}

func TestValidateForms(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for body, want := range map[string][]string{
		`{"is_valid": true, "errors": []}`:                            nil,
		`{"is_valid": false, "errors": ["no version", {"loc": "x"}]}`: {"no version", `{"loc":"x"}`},
		`{"is_valid": false}`:                                         {"the contract is invalid; CAIO does not say why"},
	} {
		faults, err := newClient(t, answering(200, "application/json", body), nil).Validate(t.Context(), ct)
		if diff := cmp.Diff(want, faults); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", body, err, diff)
		}
	}
}
