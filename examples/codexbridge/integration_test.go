package main

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// Integration tests of Codex with CAIO over real HTTP: health, generation, registration, discovery,
// routing, and the routed call.

func TestHealth(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	status, got := call(t, http.MethodGet, r.bridge+"/health", nil)
	if status != 200 || got["status"] != "healthy" || got["service"] != "codex-bridge" {
		t.Errorf("health = %d %v", status, got)
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	status, got := call(t, http.MethodPost, r.bridge+"/generate", map[string]any{
		"prompt": "Write a Python function to add two numbers", "context": map[string]any{"language": "python"},
	})
	if status != 200 || got["code"] == "" || got["language"] != "python" || got["model"] != "offline-demo" {
		t.Errorf("generate = %d %v", status, got)
	}
}

func TestRegistration(t *testing.T) {
	t.Parallel()
	r := start(t, nil, "-register=false")
	client := newClient(t, r.caio)
	ct := embedded(t)
	got, err := client.Register(t.Context(), ct, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.ServiceID != "codex-bridge-001" || got.Status != "registered" ||
		got.Message != "Service codex-bridge-001 registered successfully" {
		t.Errorf("registration = %+v", got)
	}
	moved, err := ct.WithBaseURL("http://localhost:9999")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Register(t.Context(), moved, nil); !errors.Is(err, caio.ErrAlreadyRegistered) {
		t.Errorf("another contract under the same id: %v, want ErrAlreadyRegistered", err)
	}
	if err := client.Unregister(t.Context(), ct.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Register(t.Context(), moved, nil); err != nil {
		t.Errorf("after unregistering: %v", err)
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	found := discover(t, newClient(t, r.caio), "code_generation")
	if found.ID != "codex-bridge-001" || found.Name != "Codex Bridge Service" || found.Version != "1.0.0" ||
		found.Status != "active" {
		t.Errorf("service = %+v", found)
	}
	if diff := cmp.Diff([]string{"code_generation", "code_review"}, found.Capabilities); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
}

func TestRoutingLeadsToAnAnswer(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	client := newClient(t, r.caio)
	discover(t, client, "code_review")
	slowest := 5000.0
	decision, err := client.Route(t.Context(), caio.Request{
		Capabilities: []string{"code_review"},
		Guarantees:   map[string]contract.Bound{"p95_latency_ms": {Max: &slowest}},
		Context:      map[string]any{"language": "python"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if decision.ServiceID != "codex-bridge-001" || len(decision.Guarantees) == 0 || len(decision.Proofs) == 0 {
		t.Errorf("decision = %+v", decision)
	}
	status, got := call(t, http.MethodPost, decision.BaseURL+"/review", map[string]any{"code": "x = 1 \n"})
	if status != 200 || got["verdict"] != "correct" || len(got["findings"].([]any)) != 1 {
		t.Errorf("review = %d %v", status, got)
	}

	fast := 10.0
	if _, err := client.Route(t.Context(), caio.Request{
		Capabilities: []string{"code_review"}, Guarantees: map[string]contract.Bound{"p95_latency_ms": {Max: &fast}},
	}); !errors.Is(err, caio.ErrNoMatch) {
		t.Errorf("routing with a bound that no service promises: %v, want ErrNoMatch", err)
	}
}

func newClient(t *testing.T, url string) *caio.Client {
	t.Helper()
	client, err := caio.NewClient(url, &caio.Options{HTTPClient: web})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func embedded(t *testing.T) *contract.Contract {
	t.Helper()
	ct, err := codex.Contract()
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

// discover waits until a service with the capability is registered.
func discover(t *testing.T, client *caio.Client, capability string) caio.Service {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		services, err := client.Services(t.Context(), caio.Filter{Capability: capability})
		if err != nil {
			t.Fatal(err)
		}
		if len(services) == 1 {
			return services[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("services with %s = %+v, want one", capability, services)
		}
		time.Sleep(5 * time.Millisecond) // the clock of another process cannot be faked
	}
}
