package bridge_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
)

// Requests for a mounted handler pass the same checks as calls.
func TestMountedHandlerIsProtected(t *testing.T) {
	t.Parallel()
	var log logBuffer
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(http.Flusher); !ok {
			t.Error("the handler cannot flush")
		}
		_, _ = io.WriteString(w, bridge.Principal(r.Context())+" "+bridge.RequestID(r.Context()))
	})
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{
		Logger:       log.logger(),
		Authenticate: bridge.BearerTokens(map[string]string{"ann": "token-a"}),
		Handlers:     map[string]http.Handler{"/mounted": echo, "POST /mounted/{id}": echo},
	}))
	for name, test := range map[string]struct {
		method, path string
		header       []string
		status       int
		body         string
	}{
		"caller":          {"GET", "/mounted", nil, 200, "ann r-1"},
		"any method":      {"DELETE", "/mounted", nil, 200, "ann r-1"},
		"parameter":       {"POST", "/mounted/7", nil, 200, "ann r-1"},
		"another method":  {"GET", "/mounted/7", nil, 405, "method_not_allowed"},
		"unknown token":   {"GET", "/mounted", []string{"Authorization", "Bearer wrong"}, 401, "unauthenticated"},
		"rebound host":    {"GET", "/mounted", []string{"Host", "evil.example.com"}, 403, "forbidden"},
		"foreign origin":  {"GET", "/mounted", []string{"Origin", "https://evil.example.com"}, 403, "forbidden"},
		"cross-site page": {"GET", "/mounted", []string{"Sec-Fetch-Site", "cross-site"}, 403, "forbidden"},
		"unclean path":    {"GET", "//mounted", nil, 404, "not_found"},
	} {
		header := append([]string{"Authorization", "Bearer token-a", "X-Request-Id", "r-1"}, test.header...)
		got := send(t, srv.Client(), newRequest(t, test.method, srv.URL+test.path, "", header...))
		if got.Status != test.status || !strings.Contains(got.Body, test.body) {
			t.Errorf("%s: %d %s, want %d %s", name, got.Status, got.Body, test.status, test.body)
		}
	}
	srv.Close()
	if !strings.Contains(log.String(), "route=/mounted principal=ann") {
		t.Errorf("the log has no record of the requests:\n%s", log.String())
	}
}

// A bridge that stops waits for a mounted handler, refuses new requests, and then ends its context.
func TestMountedHandlerIsDrained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		waiting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				_, _ = io.WriteString(w, "cut off")
			case <-time.After(10 * time.Second):
				_, _ = io.WriteString(w, "done")
			}
		})
		for drain, want := range map[time.Duration]string{20 * time.Second: "done", 3 * time.Second: "cut off"} {
			b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{
				Handlers: map[string]http.Handler{"/mounted": waiting},
				Timeouts: bridge.Timeouts{Drain: drain},
			})
			ln := memnet.Listen()
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- b.Serve(ctx, ln) }()
			answer := make(chan reply, 1)
			go func() { answer <- send(t, ln.Client(), newRequest(t, "GET", origin+"/mounted", "")) }()
			time.Sleep(time.Second)
			if got := fetchURL(t, ln.Client(), "GET", origin+"/health"); !strings.Contains(got.Body, `"calls_in_progress":1`) {
				t.Errorf("/health = %s, want one call in progress", got.Body)
			}
			stop()
			time.Sleep(time.Second)
			if got := send(t, ln.Client(), newRequest(t, "GET", origin+"/mounted", "")); got.Status != 503 {
				t.Errorf("a new request = %d %s, want 503", got.Status, got.Body)
			}
			if got := <-answer; got.Body != want {
				t.Errorf("answer with %v to drain = %q, want %q", drain, got.Body, want)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
	})
}

// A mounted handler that panics costs its caller 500, and holds up no stop.
func TestMountedHandlerThatPanics(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Handlers: map[string]http.Handler{
		"/mounted": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("mounted") }),
	}}))
	if got := get(t, srv, "/mounted"); got.Status != 500 || got.problem(t).Code != "internal" {
		t.Errorf("answer = %d %s", got.Status, got.Body)
	}
	if n := inProgress(t, srv); n != 0 {
		t.Errorf("%d calls in progress", n)
	}
}

func TestNewRefusesHandlers(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"/shout/{":   `Options.Handlers: "/shout/{"`,
		"/":          `Options.Handlers: "/"`,
		"GET /jobs":  "",
		"/livez":     "",
		"GET /livez": `Options.Handlers: "GET /livez"`,
		"":           `Options.Handlers: ""`,
	} {
		opts := bridge.Options{Handlers: map[string]http.Handler{pattern: http.NotFoundHandler()}}
		_, err := bridge.New(loadContract(t), shouter(shout), &opts)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: New = %v, want %s", pattern, err, want)
		}
	}
}

// Without jobs a call is answered at once, and an Idempotency-Key is refused.
func TestNoJobs(t *testing.T) {
	t.Parallel()
	opts := bridge.Options{Jobs: bridge.JobOptions{Store: bridge.NoJobs()}}
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &opts))
	got := post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async")
	if got.Status != 200 || got.Header.Get("Preference-Applied") != "" {
		t.Errorf("a call with Prefer: respond-async = %d %s", got.Status, got.Body)
	}
	got = post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k")
	if got.Status != 400 || !strings.Contains(got.Body, "records no calls") {
		t.Errorf("a call with a key = %d %s", got.Status, got.Body)
	}
	if got := get(t, srv, "/jobs/x"); got.Status != 404 || strings.Contains(got.Body, "/jobs/{id}") {
		t.Errorf("/jobs/x = %d %s", got.Status, got.Body)
	}
	spec := get(t, srv, "/openapi.json").Body
	for _, word := range []string{"/jobs", "Idempotency-Key", "respond-async"} {
		if strings.Contains(spec, word) {
			t.Errorf("/openapi.json mentions %s: %s", word, spec)
		}
	}
	if got := get(t, srv, "/readyz?verbose"); got.Status != 200 || strings.Contains(got.Body, `"store"`) {
		t.Errorf("/readyz = %d %s", got.Status, got.Body)
	}
}

// Close ends a bridge without jobs, too.
func TestCloseWithoutJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Jobs: bridge.JobOptions{Store: bridge.NoJobs()}})
		inBubble(t, b, func(client *http.Client) {
			if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`)); got.Status != 200 {
				t.Errorf("answer = %d %s", got.Status, got.Body)
			}
		})
	})
}
