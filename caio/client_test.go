package caio_test

import (
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

	"github.com/smarthaus/caio-bridge-go/caio"
)

// A service is registered, found, routed to and unregistered, on each of CAIO's paths.
func TestClientAgainstRegistry(t *testing.T) {
	t.Parallel()
	for _, paths := range []string{"", "services", "published", "integration"} {
		t.Run(paths, func(t *testing.T) {
			t.Parallel()
			ctx, ct := t.Context(), newContract(t, "codex-bridge-001", "1.0.0")
			client := newClient(t, newRegistry(t, nil), &caio.Options{Paths: paths})

			for range 2 { // the second registration succeeds without an effect
				registration, err := client.Register(ctx, ct, nil)
				if err != nil {
					t.Fatalf("Register: %v", err)
				}
				want := &caio.Registration{
					ServiceID: "codex-bridge-001", Status: "registered",
					Message: "Service codex-bridge-001 registered successfully", MaxTTLSeconds: 86400,
				}
				if diff := cmp.Diff(want, registration); diff != "" {
					t.Errorf("registration (-want +got):\n%s", diff)
				}
			}
			_, err := client.Register(ctx, newContract(t, "codex-bridge-001", "1.0.1"), nil)
			if !errors.Is(err, caio.ErrAlreadyRegistered) || !strings.Contains(err.Error(), "already registered") {
				t.Errorf("registering another contract under the id: %v, want ErrAlreadyRegistered", err)
			}

			services, err := client.Services(ctx, caio.Filter{Capability: "code_generation", Status: "active"})
			want := []caio.Service{{
				ID: "codex-bridge-001", Name: "Service codex-bridge-001", Version: "1.0.0", Status: "active",
				Capabilities: []string{"code_generation", "code_review"},
				Guarantees: map[string]any{
					"latency": map[string]any{"property": "p95_latency_ms", "bound": map[string]any{"max": 5000.0}},
				},
			}}
			if diff := cmp.Diff(want, services); err != nil || diff != "" {
				t.Errorf("Services: %v (-want +got):\n%s", err, diff)
			}
			for _, q := range []caio.Filter{{Capability: "nothing"}, {Status: "inactive"}} {
				if services, err := client.Services(ctx, q); err != nil || len(services) != 0 {
					t.Errorf("Services(%+v) = %v, %v, want none", q, services, err)
				}
			}

			service, err := client.Service(ctx, "codex-bridge-001")
			if err != nil || !service.Contract.Equal(ct) {
				t.Errorf("Service = %+v, %v, want the contract as it was registered", service, err)
			}
			decision, err := client.Route(ctx, caio.Request{Capabilities: []string{"code_generation"}})
			if err != nil {
				t.Fatalf("Route: %v", err)
			}
			generate := caio.Endpoint{Method: "POST", Path: "/generate"}
			if decision.ServiceID != ct.ID || decision.BaseURL != "http://localhost:8082" || decision.Endpoints[0] != generate {
				t.Errorf("Route = %+v, want the registered service with its address", decision)
			}
			trace, err := client.Trace(ctx, decision.DecisionID)
			if err != nil {
				t.Fatalf("Trace: %v", err)
			}
			if diff := cmp.Diff(decision, trace.Decision); diff != "" || time.Since(trace.Timestamp) > time.Hour {
				t.Errorf("trace of %v, decision (-want +got):\n%s", trace.Timestamp, diff)
			}
			health, err := client.Health(ctx)
			if err != nil || health.Status != "healthy" || health.Components["registry"] != "ok" {
				t.Errorf("Health = %+v, %v", health, err)
			}

			if err := client.Unregister(ctx, "codex-bridge-001"); err != nil {
				t.Errorf("Unregister: %v", err)
			}
			if err := client.Unregister(ctx, "codex-bridge-001"); !errors.Is(err, caio.ErrNotFound) {
				t.Errorf("Unregister twice: %v, want ErrNotFound", err)
			}
			if _, err := client.Service(ctx, "codex-bridge-001"); !errors.Is(err, caio.ErrNotFound) {
				t.Errorf("Service after Unregister: %v, want ErrNotFound", err)
			}
			if _, err := client.Trace(ctx, "dec-unknown"); !errors.Is(err, caio.ErrNotFound) {
				t.Errorf("Trace of nothing: %v, want ErrNotFound", err)
			}
			_, err = client.Route(ctx, caio.Request{Capabilities: []string{"code_generation"}})
			if !errors.Is(err, caio.ErrNoMatch) || errors.Is(err, caio.ErrNotFound) {
				t.Errorf("Route without services: %v, want ErrNoMatch only", err)
			}
		})
	}
}

func TestNewClientRefuses(t *testing.T) {
	t.Parallel()
	token := caio.StaticToken("sesame")
	for name, test := range map[string]struct {
		url  string
		opts caio.Options
		want string
	}{
		"no scheme":         {url: "localhost:8080", want: "not an absolute http"},
		"not a URL":         {url: "http://[::1", want: "not a URL"},
		"password":          {url: "http://user:secret@localhost", want: "Options.Token"},
		"query":             {url: "http://localhost/?a=b", want: "query"},
		"token in clear":    {url: "http://caio.example", opts: caio.Options{Token: token}, want: "in clear"},
		"negative timeout":  {url: "http://localhost", opts: caio.Options{Timeout: -1}, want: "Timeout"},
		"too many attempts": {url: "http://localhost", opts: caio.Options{MaxAttempts: 11}, want: "MaxAttempts"},
		"frantic heartbeat": {url: "http://localhost", opts: caio.Options{Heartbeat: time.Millisecond}, want: "Heartbeat"},
		"unknown paths":     {url: "http://localhost", opts: caio.Options{Paths: "old"}, want: "Paths"},
		"two tokens": {url: "http://localhost", opts: caio.Options{Token: token, TokenFile: "token"},
			want: "both Token and TokenFile"},
		"file in clear":        {url: "http://caio.example", opts: caio.Options{TokenFile: "token"}, want: "in clear"},
		"all problems at once": {url: "ftp://x", opts: caio.Options{MaxAttempts: -1}, want: "MaxAttempts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := caio.NewClient(test.url, &test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("NewClient = %v, want an error about %q without secrets", err, test.want)
			}
		})
	}
	urls := []string{"http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080/caio/", "https://caio.example"}
	for _, url := range urls {
		if _, err := caio.NewClient(url, &caio.Options{Token: token}); err != nil {
			t.Errorf("NewClient(%s): %v", url, err)
		}
	}
	if _, err := caio.NewClient("http://caio.example", &caio.Options{Token: token, TokenInClear: true}); err != nil {
		t.Errorf("NewClient with TokenInClear: %v", err)
	}
	if caio.StaticToken(" \n") != nil {
		t.Error("StaticToken of an empty token is not nil")
	}
}

// The client puts the path of the base URL in front of CAIO's paths.
func TestBaseURLWithPath(t *testing.T) {
	t.Parallel()
	var got string
	reg := newRegistry(t, nil)
	mux := http.NewServeMux()
	mux.Handle("/tenant/", http.StripPrefix("/tenant", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.Path
		reg.ServeHTTP(w, r)
	})))
	opts := &caio.Options{HTTPClient: &http.Client{Transport: inMemory{mux}}}
	client, err := caio.NewClient("http://localhost/tenant/", opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Health(t.Context()); err != nil || got != "/health" {
		t.Errorf("Health asked %q: %v", got, err)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var leaked atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked.Store(true)
		io.WriteString(w, `{"status": "healthy"}`)
	}))
	t.Cleanup(elsewhere.Close)
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/health":
			http.Redirect(w, r, elsewhere.URL+"/health", http.StatusTemporaryRedirect)
		case "/api/v1/services/a":
			http.Redirect(w, r, "/api/v1/services/a/", http.StatusPermanentRedirect)
		case "/api/v1/services/a/":
			fmt.Fprintf(w, `{"service_id": "a", "version": %q}`, r.Header.Get("Authorization"))
		case "/api/v1/orchestrate":
			http.Redirect(w, r, "/api/v1/services/a/", http.StatusFound)
		default:
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}
	}), &caio.Options{Token: caio.StaticToken("sesame")})

	_, err := client.Health(t.Context())
	if err == nil || !strings.Contains(err.Error(), "another origin") || leaked.Load() {
		t.Errorf("redirect to another origin: %v, followed: %v", err, leaked.Load())
	}
	if service, err := client.Service(t.Context(), "a"); err != nil || service.Version != "Bearer sesame" {
		t.Errorf("redirect within the origin: %+v, %v, want it followed with the token", service, err)
	}
	_, err = client.Route(t.Context(), caio.Request{Capabilities: []string{"x"}})
	if err == nil || !strings.Contains(err.Error(), "from POST to GET") {
		t.Errorf("redirect that changes the method: %v", err)
	}
	_, err = client.Services(t.Context(), caio.Filter{})
	if err == nil || !strings.Contains(err.Error(), "more than 3 times") {
		t.Errorf("endless redirects: %v", err)
	}
}
