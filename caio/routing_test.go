package caio_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// Route sends the flat body if it can hold the request, else the nested body.
func TestRouteBodies(t *testing.T) {
	t.Parallel()
	low := 0.9
	for name, test := range map[string]struct {
		request caio.Request
		want    string
	}{
		"flat": {caio.Request{Capabilities: []string{"chat"}, Context: map[string]any{"language": "go"}},
			`{"requirements": ["chat"], "context": {"language": "go"}}`},
		"nested": {
			caio.Request{
				Capabilities: []string{"chat"},
				Guarantees:   map[string]contract.Bound{"accuracy": {Min: &low}},
				Constraints:  map[string]any{"requires_gpu": false},
			},
			`{"request": {"requirements": {"capabilities": ["chat"], "guarantees": {"accuracy": {"min": 0.9}}},
				"constraints": {"requires_gpu": false}, "context": {}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got any
			client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				json.NewDecoder(r.Body).Decode(&got)
				io.WriteString(w, `{"decision_id": "d", "service_id": "s", "service_name": "S", "guarantees": {},
					"proofs": [{"proof_type": "contract_matching", "valid": true}], "trace": {}}`)
			}), nil)
			decision, err := client.Route(t.Context(), test.request)
			wantDecision := &caio.Decision{
				DecisionID: "d", ServiceID: "s", ServiceName: "S", Guarantees: map[string]any{},
				Proofs: []caio.Proof{{Type: "contract_matching", Valid: true}},
			}
			if diff := cmp.Diff(wantDecision, decision); err != nil || diff != "" {
				t.Errorf("Route: %v (-want +got):\n%s", err, diff)
			}
			var want any
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRouteExplainsTheNearestMiss(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	if _, err := reg.Register(t.Context(), newContract(t, "slow", "1.0.0"), nil); err != nil {
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
