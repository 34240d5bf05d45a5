package caio_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// ignoringLeases makes a registry a CAIO without leases: it ignores ttl_seconds.
func ignoringLeases(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r.Body = io.NopCloser(bytes.NewReader(withoutMembers(r.Body, "ttl_seconds")))
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		w.WriteHeader(answer.Code)
		w.Write(withoutMembers(answer.Body, "ttl_seconds", "max_ttl_seconds"))
	})
}

// refusingTTL makes a registry a CAIO that refuses ttl_seconds with the status and body.
func refusingTTL(status int, body string, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		if bytes.Contains(sent, []byte(`"ttl_seconds"`)) {
			w.WriteHeader(status)
			io.WriteString(w, body)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
		ignoringLeases(handler).ServeHTTP(w, r)
	})
}

// withoutMembers reads a JSON object and returns it without the members. It returns anything else
// unchanged.
func withoutMembers(r io.Reader, names ...string) []byte {
	data, _ := io.ReadAll(r)
	var object map[string]any
	if json.Unmarshal(data, &object) != nil {
		return data
	}
	for _, name := range names {
		delete(object, name)
	}
	data, _ = json.Marshal(object)
	return data
}

// newOpenClient returns a client without a token for the open path.
func newOpenClient(t *testing.T, transport http.RoundTripper) *caio.Client {
	t.Helper()
	opts := &caio.Options{HTTPClient: &http.Client{Transport: transport}, Paths: "integration"}
	client, err := caio.NewClient("http://localhost:8080", opts)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Without a token, Announce cannot read its entry. It renews on the open path, also after a restart
// of CAIO.
func TestAnnounceOnTheOpenPath(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		opts := &registry.Options{Tokens: []string{"a-token-of-some-length"}, OpenIntegration: true}
		s := &fakeCAIO{registry: newRegistry(t, opts)}
		client := newOpenClient(t, s)
		state := lastState(client)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- client.Announce(ctx, ct) }()
		for range 2 {
			pass(10 * time.Minute)
			if state() != "registered" || !s.has(t, "mine") {
				t.Errorf("state %q, registered %v", state(), s.has(t, "mine"))
			}
			s.set(func(s *fakeCAIO) { s.registry = newRegistry(t, opts) })
		}
		cancel()
		<-done // without a token it cannot withdraw
	})
}

// After a crash, a service on the open path is gone with its lease. The registry lets a caller
// without a token only prolong registrations, so the first registration must have a lease.
func TestAnnounceLeasesOnTheOpenPath(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		opts := &registry.Options{Tokens: []string{"a-token-of-some-length"}, OpenIntegration: true}
		s := &fakeCAIO{registry: newRegistry(t, opts)}
		client := newOpenClient(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- client.Announce(ctx, ct) }()
		pass(10 * time.Minute)
		if !s.has(t, "mine") {
			t.Error("not registered while the service runs")
		}
		s.set(func(s *fakeCAIO) { s.down = true }) // stands for a crash
		pass(91 * time.Second)
		if s.has(t, "mine") {
			t.Error("registered after the lease")
		}
		cancel()
		<-done // without a token it cannot withdraw
	})
}

// Announce registers without a lease if CAIO ignores or refuses ttl_seconds, and reads its entry at
// each heartbeat.
func TestAnnounceWithoutLeases(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for name, caioOf := range map[string]func(http.Handler) http.Handler{
		"ignored": ignoringLeases,
		"refused by FastAPI": func(h http.Handler) http.Handler {
			return refusingTTL(422, `{"detail": [{"loc": ["body", "ttl_seconds"], "msg": "extra fields not permitted"}]}`, h)
		},
		"refused by name": func(h http.Handler) http.Handler {
			return refusingTTL(400, `{"error": {"code": "INVALID_REQUEST", "message": "unknown member",
				"details": {"member": "ttl_seconds"}}}`, h)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var posts atomic.Int64
				var reg atomic.Pointer[registry.Registry]
				reg.Store(newRegistry(t, nil))
				server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						posts.Add(1)
					}
					caioOf(reg.Load()).ServeHTTP(w, r)
				})
				client := newInMemoryClient(t, server, caio.Options{Paths: "services"})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- client.Announce(ctx, ct) }()
				for range 2 {
					pass(10 * time.Minute)
					if _, err := reg.Load().Service(t.Context(), "mine"); err != nil {
						t.Errorf("Service: %v, want it registered", err)
					}
					if n := posts.Load(); n < 1 || n > 2 {
						t.Errorf("%d registrations in ten minutes, want one, or two after a refusal", n)
					}
					posts.Store(0)
					reg.Store(newRegistry(t, nil)) // CAIO restarted
				}
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Announce: %v", err)
				}
			})
		})
	}
}

// Announce takes CAIO's longest lease if that is shorter than three heartbeats.
func TestAnnounceTakesTheLongestLease(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		var asked []any
		server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body struct {
				TTL any `json:"ttl_seconds"`
			}
			json.NewDecoder(r.Body).Decode(&body)
			asked = append(asked, body.TTL)
			if ttl, _ := body.TTL.(float64); ttl > 60 {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"error": {"code": "INVALID_REQUEST", "message": "ttl_seconds must be at most 60"}}`)
				return
			}
			io.WriteString(w, `{"service_id": "mine", "status": "registered", "max_ttl_seconds": 60}`)
		})
		client := newInMemoryClient(t, server, caio.Options{Paths: "services"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- client.Announce(ctx, ct) }()
		pass(40 * time.Second)
		if diff := cmp.Diff([]any{90.0, nil, 60.0, 60.0}, asked); diff != "" {
			t.Errorf("ttl_seconds (-want +got):\n%s", diff)
		}
		cancel()
		<-done
	})
}

// Announce renews its lease. After a crash the service is gone with the lease.
func TestAnnounceLeases(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newFakeCAIO(t)
		a := startAnnounce(t, s, ct)
		for range 60 {
			pass(time.Minute)
			if !s.has(t, "mine") {
				t.Fatal("the lease was not renewed")
			}
		}
		s.set(func(s *fakeCAIO) { s.registry = newRegistry(t, nil) })
		pass(40 * time.Second)
		if !s.has(t, "mine") {
			t.Error("not registered again within a heartbeat")
		}
		s.set(func(s *fakeCAIO) { s.down = true }) // stands for a crash
		pass(89 * time.Second)
		pass(2 * time.Second)
		if s.has(t, "mine") {
			t.Error("there after the lease")
		}
		s.set(func(s *fakeCAIO) { s.down = false })
		pass(time.Minute)
		if !s.has(t, "mine") {
			t.Error("not registered again after the outage")
		}
		a.end(t)
		if got, want := strings.Join(a.states, " "), "registering registered unavailable registered withdrawn"; got != want {
			t.Errorf("states %q, want %q", got, want)
		}
	})
}
