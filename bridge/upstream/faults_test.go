package upstream_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// faults are what an upstream on a real socket can do wrong.
var faults = map[string]http.HandlerFunc{
	"reset": func(w http.ResponseWriter, r *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	},
	"garbage": func(w http.ResponseWriter, r *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		fmt.Fprint(conn, "SSH-2.0-OpenSSH_9.9\r\n")
		conn.Close()
	},
	"slow header": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"huge header": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Much", strings.Repeat("x", 80<<10))
	},
	"cut body": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "the beginning")
	},
	"html 503":            func(w http.ResponseWriter, r *http.Request) { status(w, 503, "<html>Sorry</html>") },
	"429":                 func(w http.ResponseWriter, r *http.Request) { status(w, 429, "slow down") },
	"429 and Retry-After": func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", "0"); status(w, 429, "") },
	"429 for an hour": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		status(w, 429, "")
	},
	"500": func(w http.ResponseWriter, r *http.Request) { status(w, 500, "") },
	"502": func(w http.ResponseWriter, r *http.Request) { status(w, 502, "") },
	"504": func(w http.ResponseWriter, r *http.Request) { status(w, 504, "") },
	"501": func(w http.ResponseWriter, r *http.Request) { status(w, 501, "") },
	"404": func(w http.ResponseWriter, r *http.Request) { status(w, 404, "") },
}

func status(w http.ResponseWriter, code int, body string) {
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
}

// Every fault meets every kind of request. What the caller finally gets is what the upstream last
// did; how often it was asked depends on what is safe.
func TestFaults(t *testing.T) {
	t.Parallel()
	type outcome struct {
		Sent   int // attempts that reached the server
		Status int
		Body   string
		Failed bool
	}
	want := map[string]outcome{ // of a request that may be repeated
		"reset":               {Sent: 3, Failed: true},
		"garbage":             {Sent: 3, Failed: true},
		"slow header":         {Sent: 3, Failed: true},
		"huge header":         {Sent: 3, Failed: true},
		"cut body":            {Sent: 1, Status: 200, Body: "the beginning", Failed: true},
		"html 503":            {Sent: 3, Status: 503, Body: "<html>Sorry</html>"},
		"429":                 {Sent: 3, Status: 429, Body: "slow down"},
		"429 and Retry-After": {Sent: 3, Status: 429},
		"429 for an hour":     {Sent: 1, Status: 429},
		"500":                 {Sent: 3, Status: 500},
		"502":                 {Sent: 3, Status: 502},
		"504":                 {Sent: 3, Status: 504},
		"501":                 {Sent: 1, Status: 501},
		"404":                 {Sent: 1, Status: 404},
	}
	requests := []struct {
		name, method, body string
		header             []string
		repeatable         bool
	}{
		{"GET", "GET", "", nil, true},
		{"PUT", "PUT", "a body", nil, true},
		{"DELETE", "DELETE", "", nil, true},
		{"POST with key", "POST", "a body", []string{"Idempotency-Key", `"8e03978e"`}, true},
		{"POST", "POST", "a body", nil, false},
		{"PATCH", "PATCH", "a body", nil, false},
	}
	for fault, handler := range faults {
		for _, r := range requests {
			t.Run(fault+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				var sent atomic.Int32
				srv := serve(t, func(w http.ResponseWriter, req *http.Request) {
					sent.Add(1)
					if got, err := io.ReadAll(req.Body); string(got) != r.body || err != nil {
						t.Errorf("attempt %d has body %q (%v), want %q", sent.Load(), got, err, r.body)
					}
					handler(w, req)
				})
				client := newClient(t, upstream.Options{MaxBackoff: time.Millisecond, HeaderTimeout: headerTimeout(fault)}, srv.URL)

				code, body, err := send(client, newRequest(t, t.Context(), r.method, srv.URL, r.body, r.header...))

				want := want[fault]
				if !r.repeatable {
					want.Sent = 1
				}
				got := outcome{int(sent.Load()), code, body, err != nil}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("outcome (-want +got):\n%s\nerror: %v", diff, err)
				}
			})
		}
	}
}

// Only the fault that is about it has a short one, lest a busy machine look like a slow server.
func headerTimeout(fault string) time.Duration {
	if fault == "slow header" {
		return 50 * time.Millisecond
	}
	return 0
}

// Where nobody listens, nothing was sent: any request may be tried again.
func TestRefusedConnectionsAreRetriedForEveryMethod(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := ln.Addr().String()
			ln.Close()
			var seen attempts
			client := newClient(t, upstream.Options{MaxBackoff: time.Millisecond, Observe: seen.observe}, addr)

			_, _, err = send(client, newRequest(t, t.Context(), method, "http://"+addr, "a body"))

			if got := len(seen.all()); got != 3 || err == nil {
				t.Errorf("%d attempts (%v), want 3 and the refusal", got, err)
			}
		})
	}
}

func TestAfterAFailureTheNextAttemptMaySucceed(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if sent.Add(1) == 1 {
			status(w, 503, "")
			return
		}
		fmt.Fprintf(w, "%s, %s", r.Header.Get("Idempotency-Key"), body)
	})
	client := newClient(t, upstream.Options{MaxBackoff: time.Millisecond}, srv.URL)

	code, body, err := send(client, newRequest(t, t.Context(), "POST", srv.URL, "a body", "Idempotency-Key", "k1"))

	if code != 200 || body != "k1, a body" || err != nil {
		t.Errorf("got %d %q (%v), want 200 with key and body of the second attempt", code, body, err)
	}
}
