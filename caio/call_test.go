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
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/smarthaus/caio-bridge-go/caio"
)

// decide returns a decision for a service that runs the handler, and a client with the service
// token "sesame".
func decide(t *testing.T, handler http.HandlerFunc) (*caio.Client, *caio.Decision) {
	t.Helper()
	service := httptest.NewServer(handler)
	t.Cleanup(service.Close)
	client := newClient(t, http.NotFoundHandler(), &caio.Options{
		Token:        caio.StaticToken("token-of-caio"),
		ServiceToken: func(context.Context, string) (string, error) { return "sesame", nil },
	})
	endpoints := []caio.Endpoint{{Method: "POST", Path: "/generate"}, {Method: "GET", Path: "/health"}}
	return client, &caio.Decision{ServiceID: "s", BaseURL: service.URL, Endpoints: endpoints}
}

func TestCall(t *testing.T) {
	t.Parallel()
	client, decision := decide(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		json.NewEncoder(w).Encode(map[string]string{
			"asked": r.Method + " " + r.URL.Path, "body": string(body), "token": r.Header.Get("Authorization"),
		})
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
		fmt.Fprintf(w, `{"title": "Too Many Requests", "status": 429, "detail": "60 per minute for %s",
			"code": "rate_limited", "errors": [{"pointer": "/prompt", "detail": "x"}]}`, r.Header.Get("Authorization"))
	})
	err := client.Call(t.Context(), decision, "POST /generate", map[string]any{}, nil)
	var got *caio.Error
	if !errors.As(err, &got) {
		t.Fatalf("Call = %v, want a caio.Error", err)
	}
	want := &caio.Error{
		Op: "call POST /generate", Status: 429, Code: "rate_limited", Message: "60 per minute for Bearer [token]",
		Details:    map[string]any{"errors": []any{map[string]any{"pointer": "/prompt", "detail": "x"}}},
		RetryAfter: 7 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" || calls != 1 {
		t.Errorf("after %d calls (-want +got):\n%s", calls, diff)
	}
}

// A call carries the caller's deadline and trace context.
func TestCallCarriesDeadlineAndTrace(t *testing.T) {
	t.Parallel()
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
	})
	traced := trace.ContextWithSpanContext(t.Context(), span)
	const traceparent = "00-01000000000000000000000000000000-0200000000000000-01"
	for name, test := range map[string]struct {
		ctx                 context.Context
		timeout             time.Duration // 0 for none
		prefer, traceparent string
	}{
		"no deadline":      {t.Context(), 0, "wait=600", ""},
		"a deadline":       {t.Context(), 90 * time.Second, "wait=90", ""},
		"rounded up":       {t.Context(), 1500 * time.Millisecond, "wait=2", ""},
		"less than second": {traced, 500 * time.Millisecond, "wait=1", traceparent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, call := range map[string]func(*caio.Client, context.Context, *caio.Decision) error{
				"Call": func(c *caio.Client, ctx context.Context, d *caio.Decision) error {
					return c.Call(ctx, d, "POST /generate", map[string]any{}, nil)
				},
				"Stream": func(c *caio.Client, ctx context.Context, d *caio.Decision) (failed error) {
					for _, err := range c.Stream(ctx, d, "POST /generate", map[string]any{}) {
						failed = err
					}
					return failed
				},
			} {
				var got http.Header
				client := newInMemoryClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					got = r.Header
					io.WriteString(w, "{}")
				}), caio.Options{})
				endpoints := []caio.Endpoint{{Method: "POST", Path: "/generate"}}
				decision := &caio.Decision{ServiceID: "s", BaseURL: "http://localhost", Endpoints: endpoints}
				ctx, cancel := test.ctx, func() {}
				if test.timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, test.timeout)
				}
				err := call(client, ctx, decision)
				cancel()
				if err != nil || got.Get("Prefer") != test.prefer || got.Get("Traceparent") != test.traceparent {
					t.Errorf("%s: %v; Prefer %q, Traceparent %q", how, err, got.Get("Prefer"), got.Get("Traceparent"))
				}
			}
		})
	}
}

// A service that misbehaves gives the caller one error in time, and no value. The request goes to
// no other host.
func TestHostileServices(t *testing.T) {
	t.Parallel()
	var leaked atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Store(true) }))
	t.Cleanup(func() { // runs after all parallel subtests
		elsewhere.Close()
		if leaked.Load() {
			t.Error("another host got a request")
		}
	})
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string // part of the error of Call
		stream  string // part of the error of Stream, if different
	}{
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"code": "`+strings.Repeat("x", 9<<20)+`"}`)
		}, "larger than 8 MiB", ""},
		"slow":      {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no answer in time", ""},
		"trickling": {trickle("application/json", " "), "context deadline exceeded", ""},
		"trickling events": {trickle("text/event-stream", ": alive\n"),
			"context deadline exceeded", "context deadline exceeded"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"code": "`)
		}, "cut off after 10 bytes", ""},
		"cut events": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "event: delta\ndata: 1\n\nevent: result\ndata: {")
		}, "cut off", "the stream broke"},
		"hung up":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", ""},
		"nothing":         {answering(204, "", ""), "empty", ""},
		"text":            {answering(200, "text/plain", "fine"), "documented form", ""},
		"web page":        {answering(200, "text/html", "<html>"), "web page", ""},
		"refused in HTML": {answering(503, "text/html", "<html>nginx</html>"), "service unavailable (HTTP 503)", ""},
		"a job":           {answering(202, "application/json", `{"code": "later"}`), "started a job", ""},
		"other host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "another origin", ""},
		"other method": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/health", http.StatusSeeOther)
		}, "from POST to GET", ""},
		"round and round": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusPermanentRedirect)
		}, "more than 3 times", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, decision := decide(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) // else the server does not notice a disconnect
				test.handler(w, r)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			if slow := strings.Contains(test.want, "in time") || strings.Contains(test.want, "deadline"); slow {
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			}
			defer cancel()
			var answer struct{ Code string }
			err := client.Call(ctx, decision, "POST /generate", map[string]any{}, &answer)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "sesame") {
				t.Errorf("Call = %v, want an error about %q without the token", err, test.want)
			}
			if answer.Code != "" {
				t.Errorf("answer %+v, want none", answer)
			}
			var problems []error
			for event, err := range client.Stream(ctx, decision, "POST /generate", map[string]any{}) {
				if event.Name == "result" {
					t.Errorf("a result: %s", event.Data)
				}
				if err != nil {
					problems = append(problems, err)
				}
			}
			if len(problems) != 1 || !strings.Contains(problems[0].Error(), test.stream) {
				t.Errorf("Stream ends with %v, want one error about %q", problems, test.stream)
			}
		})
	}
}

// trickle sends text at intervals until the caller disconnects.
func trickle(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for r.Context().Err() == nil {
			io.WriteString(w, text)
			w.(http.Flusher).Flush()
			select {
			case <-time.After(time.Millisecond):
			case <-r.Context().Done():
			}
		}
	}
}

// The cancellation of a call reaches the service.
func TestCallCancelled(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	client, decision := decide(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else the server does not notice a disconnect
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	if err := client.Call(ctx, decision, "POST /generate", map[string]any{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Call = %v, want context.Canceled", err)
	}
	<-ended
}

// Without an address in the decision, Call reads the service's contract.
func TestCallFindsTheAddressInTheContract(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(answering(200, "application/json", `{"code": "x"}`))
	t.Cleanup(service.Close)
	reg := newRegistry(t, nil)
	ct, err := newContract(t, "mine", "1.0.0").WithBaseURL(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reg.Register(t.Context(), ct, nil); err != nil {
		t.Fatal(err)
	}
	client := newClient(t, reg, nil)
	var answer struct{ Code string }
	err = client.Call(t.Context(), &caio.Decision{ServiceID: "mine"}, "POST /generate", map[string]any{}, &answer)
	if err != nil || answer.Code != "x" {
		t.Errorf("Call: %+v, %v", answer, err)
	}
	err = client.Call(t.Context(), &caio.Decision{ServiceID: "unknown"}, "", nil, nil)
	if !errors.Is(err, caio.ErrNotFound) {
		t.Errorf("Call of an unknown service: %v, want ErrNotFound", err)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	event := func(name, id, data string) caio.Event {
		return caio.Event{Name: name, ID: id, Data: json.RawMessage(data)}
	}
	for name, test := range map[string]struct {
		contentType, body string
		want              []caio.Event
		fault             string // part of the error; "" for none
	}{
		"events": {"text/event-stream",
			"retry: 10\n: alive\n\nid: 1\nevent: delta\ndata: {\"text\":\ndata: \"a\"}\n\n" +
				"id: 2\r\nevent: result\r\ndata: {}\r\n\r\nevent: late\ndata: x\n\n",
			[]caio.Event{event("delta", "1", "{\"text\":\n\"a\"}"), event("result", "2", "{}")}, ""},
		"carriage returns": {"text/event-stream", "event:result\rdata:1\r\r", []caio.Event{event("result", "", "1")}, ""},
		"not streamed": {"application/json", `{"code": "x"}`,
			[]caio.Event{event("result", "", `{"code": "x"}`)}, ""},
		"no result": {"text/event-stream", "data: 1\n\n",
			[]caio.Event{event("message", "", "1")}, "ended without a result"},
		"unfinished": {"text/event-stream", "event: result\ndata: 1", nil, "ended without a result"},
		"long line":  {"text/event-stream", "data: " + strings.Repeat("x", 2<<20) + "\n\n", nil, "longer than 1 MiB"},
		"large event": {"text/event-stream",
			strings.Repeat("data: "+strings.Repeat("x", 1<<19)+"\n", 20) + "\n", nil, "larger than 8 MiB"},
		"web page": {"text/html", "<html>", nil, "web page"},
		"error event": {"text/event-stream", "event: error\n" + `data: {"title": "Bad Gateway", "status": 502, ` +
			`"detail": "upstream failed for sesame", "code": "upstream"}` + "\n\n",
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
