package caio_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A service's whole life against the real registry, whichever paths are chosen.
func TestClientAgainstRegistry(t *testing.T) {
	t.Parallel()
	for _, paths := range []string{"", "services", "published", "integration"} {
		t.Run(paths, func(t *testing.T) {
			t.Parallel()
			ctx, ct := t.Context(), newContract(t, "codex-bridge-001", "1.0.0")
			client := newClient(t, newRegistry(t, nil), &caio.Options{Paths: paths})

			for range 2 { // the second time is a harmless repetition
				registration, err := client.Register(ctx, ct, nil)
				if err != nil {
					t.Fatalf("Register: %v", err)
				}
				want := &caio.Registration{ServiceID: "codex-bridge-001", Status: "registered", Message: "Service codex-bridge-001 registered successfully", MaxTTLSeconds: 86400}
				if diff := cmp.Diff(want, registration); diff != "" {
					t.Errorf("registration (-want +got):\n%s", diff)
				}
			}
			_, err := client.Register(ctx, newContract(t, "codex-bridge-001", "1.0.1"), nil)
			if !errors.Is(err, caio.ErrAlreadyRegistered) || !strings.Contains(err.Error(), "already registered") {
				t.Errorf("registering another contract under the id: %v, want ErrAlreadyRegistered", err)
			}

			services, err := client.Services(ctx, caio.Query{Capability: "code_generation", Status: "active"})
			want := []caio.Service{{
				ID: "codex-bridge-001", Name: "Service codex-bridge-001", Version: "1.0.0", Status: "active",
				Capabilities: []string{"code_generation", "code_review"},
				Guarantees:   map[string]any{"latency": map[string]any{"property": "p95_latency_ms", "bound": map[string]any{"max": 5000.0}}},
			}}
			if diff := cmp.Diff(want, services); err != nil || diff != "" {
				t.Errorf("Services: %v (-want +got):\n%s", err, diff)
			}
			for _, q := range []caio.Query{{Capability: "nothing"}, {Status: "inactive"}} {
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
			if decision.ServiceID != "codex-bridge-001" || decision.BaseURL != "http://localhost:8082" || decision.Endpoints[0] != (caio.Endpoint{Method: "POST", Path: "/generate"}) {
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
			if _, err := client.Route(ctx, caio.Request{Capabilities: []string{"code_generation"}}); !errors.Is(err, caio.ErrNoMatch) || errors.Is(err, caio.ErrNotFound) {
				t.Errorf("Route without services: %v, want ErrNoMatch only", err)
			}
		})
	}
}

func TestRouteSaysWhatTheNearestServiceLacks(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	if _, err := reg.Register(t.Context(), newContract(t, "slow", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	limit := 200.0
	_, err := newClient(t, reg, nil).Route(t.Context(), caio.Request{
		Capabilities: []string{"code_generation"},
		Guarantees:   map[string]contract.Bound{"p95_latency_ms": {Max: &limit}},
	})
	var refusal *caio.Error
	if !errors.Is(err, caio.ErrNoMatch) || !errors.As(err, &refusal) {
		t.Fatalf("Route = %v, want ErrNoMatch", err)
	}
	for _, part := range []string{"slow", "p95_latency_ms", "5000", "200"} {
		if !strings.Contains(refusal.Message, part) {
			t.Errorf("message %q does not mention %s", refusal.Message, part)
		}
	}
}

func TestTokensRotate(t *testing.T) {
	t.Parallel()
	const token = "the-second-and-right-token"
	reg := newRegistry(t, &registry.Options{Tokens: []string{token}})
	given := "an-outdated-token"
	client := newClient(t, reg, &caio.Options{Token: func(context.Context) (string, error) { return given + "\n", nil }})
	_, err := client.Services(t.Context(), caio.Query{})
	if !errors.Is(err, caio.ErrUnauthorized) {
		t.Errorf("with the wrong token: %v, want ErrUnauthorized", err)
	}
	given = token
	if _, err := client.Services(t.Context(), caio.Query{}); err != nil {
		t.Errorf("with the right token: %v", err)
	}
}

// A token file may be replaced at any time, as mounted secrets are, and what is wrong with it is said without its text.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const token = "the-second-and-right-token"
	client := newClient(t, newRegistry(t, &registry.Options{Tokens: []string{token}}), &caio.Options{TokenFile: file})
	ask := func() error { _, err := client.Services(t.Context(), caio.Query{}); return err }
	if err := ask(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("without the file: %v, want its name", err)
	}
	write("an-outdated-token\n")
	if err := ask(); !errors.Is(err, caio.ErrUnauthorized) {
		t.Errorf("with the wrong token: %v, want ErrUnauthorized", err)
	}
	write(token + "\n")
	if err := ask(); err != nil {
		t.Errorf("with the right token: %v", err)
	}
	for _, text := range []string{" \n", "canary two\n", strings.Repeat("canary", 1<<15)} {
		write(text)
		if err := ask(); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("with %.20q in the file: %v", text, err)
		}
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
		"no scheme":          {url: "localhost:8080", want: "not an absolute http"},
		"not a URL":          {url: "http://[::1", want: "not a URL"},
		"password":           {url: "http://user:secret@localhost", want: "Options.Token"},
		"query":              {url: "http://localhost/?a=b", want: "query"},
		"token in clear":     {url: "http://caio.example", opts: caio.Options{Token: token}, want: "in clear"},
		"negative timeout":   {url: "http://localhost", opts: caio.Options{Timeout: -1}, want: "Timeout"},
		"too many attempts":  {url: "http://localhost", opts: caio.Options{MaxAttempts: 11}, want: "MaxAttempts"},
		"frantic heartbeat":  {url: "http://localhost", opts: caio.Options{Heartbeat: time.Millisecond}, want: "Heartbeat"},
		"unknown paths":      {url: "http://localhost", opts: caio.Options{Paths: "old"}, want: "Paths"},
		"two tokens":         {url: "http://localhost", opts: caio.Options{Token: token, TokenFile: "token"}, want: "both Token and TokenFile"},
		"file in clear":      {url: "http://caio.example", opts: caio.Options{TokenFile: "token"}, want: "in clear"},
		"all faults at once": {url: "ftp://x", opts: caio.Options{MaxAttempts: -1}, want: "MaxAttempts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := caio.NewClient(test.url, &test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("NewClient = %v, want an error about %q without secrets", err, test.want)
			}
		})
	}
	for _, url := range []string{"http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080/caio/", "https://caio.example"} {
		if _, err := caio.NewClient(url, &caio.Options{Token: token}); err != nil {
			t.Errorf("NewClient(%s): %v", url, err)
		}
	}
	if _, err := caio.NewClient("http://caio.example", &caio.Options{Token: token, TokenInClear: true}); err != nil {
		t.Errorf("NewClient with TokenInClear: %v", err)
	}
	if caio.StaticToken(" \n") != nil {
		t.Error("StaticToken of nothing is not nil")
	}
}

// A base URL with a path puts that path before CAIO's.
func TestBaseURLWithPath(t *testing.T) {
	t.Parallel()
	var got string
	reg := newRegistry(t, nil)
	mux := http.NewServeMux()
	mux.Handle("/tenant/", http.StripPrefix("/tenant", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.Path
		reg.ServeHTTP(w, r)
	})))
	client, err := caio.NewClient("http://localhost/tenant/", &caio.Options{HTTPClient: &http.Client{Transport: inMemory{mux}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Health(t.Context()); err != nil || got != "/health" {
		t.Errorf("Health asked %q: %v", got, err)
	}
}
