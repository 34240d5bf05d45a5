package caio_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestBothFormsOfCapabilities(t *testing.T) {
	t.Parallel()
	for name, capabilities := range map[string]string{
		"text":    `["code_generation", "code_review"]`,
		"objects": `[{"type": "code_generation", "accuracy": {"min": 0.9}}, {"type": "code_review"}]`,
		"mixed":   `["code_generation", {"type": "code_review", "parameters": {}}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := `{"services": [{"service_id": "a", "service_name": "A", "version": "1.0.0", "capabilities": ` +
				capabilities + `, "guarantees": {"accuracy": 0.95}, "status": "active", "registered_at": 1}], "count": 1}`
			got, err := newClient(t, answering(200, "application/json", body), nil).Services(t.Context(), caio.Filter{})
			want := []caio.Service{{ID: "a", Name: "A", Version: "1.0.0", Status: "active",
				Capabilities: []string{"code_generation", "code_review"}, Guarantees: map[string]any{"accuracy": 0.95}}}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("Services: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Services sends bounds to CAIO's discovery path, and filters by status itself.
func TestServicesWithBounds(t *testing.T) {
	t.Parallel()
	var asked string
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.URL.Path + " " + string(body)
		io.WriteString(w, `{"services": [{"service_id": "a", "status": "active"},
			{"service_id": "b", "status": "unhealthy"}], "count": 2}`)
	}), nil)
	limit := 500.0
	got, err := client.Services(t.Context(), caio.Filter{
		Capability: "chat", Status: "active",
		Guarantees:  map[string]contract.Bound{"p95_latency_ms": {Max: &limit}},
		Constraints: map[string]any{"requires_gpu": false},
	})
	if err != nil || len(got) != 1 || got[0].ID != "a" {
		t.Errorf("Services = %+v, %v, want the active one", got, err)
	}
	want := `POST /api/v1/integration/discover-services ` +
		`{"capabilities":["chat"],"constraints":{"requires_gpu":false},"guarantees":{"p95_latency_ms":{"max":500}}}`
	if asked != want {
		t.Errorf("asked %s, want %s", asked, want)
	}

	reg := newRegistry(t, nil)
	for _, id := range []string{"one", "two"} {
		if _, err := reg.Register(t.Context(), newContract(t, id, "1.0.0"), nil); err != nil {
			t.Fatal(err)
		}
	}
	for bound, count := range map[float64]int{4999: 0, 5000: 2} {
		query := caio.Filter{Guarantees: map[string]contract.Bound{"p95_latency_ms": {Max: &bound}}}
		got, err := newClient(t, reg, nil).Services(t.Context(), query)
		if err != nil || len(got) != count {
			t.Errorf("at most %g ms: %d services, %v, want %d", bound, len(got), err, count)
		}
	}
}
