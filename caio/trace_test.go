package caio_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
)

func TestTraceForms(t *testing.T) {
	t.Parallel()
	proofs := []caio.Proof{{Type: "security", Valid: true}}
	at := time.Date(2026, 1, 7, 12, 0, 0, 500_000_000, time.UTC)
	for name, test := range map[string]struct {
		body string
		want caio.Trace
	}{
		"RFC 3339": {`{"decision_id": "d", "timestamp": "2026-01-07T12:00:00.5Z"}`,
			caio.Trace{DecisionID: "d", Timestamp: at}},
		"without zone": {`{"decision_id": "d", "timestamp": "2026-01-07T12:00:00.500000"}`,
			caio.Trace{DecisionID: "d", Timestamp: at}},
		"seconds":        {`{"decision_id": "d", "timestamp": 1767787200.5}`, caio.Trace{DecisionID: "d", Timestamp: at}},
		"no timestamp":   {`{"decision_id": "d", "timestamp": {"at": 1}}`, caio.Trace{DecisionID: "d"}},
		"other decision": {`{"decision_id": "d", "decision": "route to a"}`, caio.Trace{DecisionID: "d"}},
		"decision": {`{"decision_id": "d", "decision": {"decision_id": "d", "service_id": "a"},
			"guarantees": {"accuracy": 0.9}, "proofs": [{"proof_type": "security", "valid": true}]}`,
			caio.Trace{DecisionID: "d", Decision: &caio.Decision{DecisionID: "d", ServiceID: "a", Proofs: proofs},
				Guarantees: map[string]any{"accuracy": 0.9}, Proofs: proofs}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newClient(t, answering(200, "application/json", test.body), nil).Trace(t.Context(), "d")
			test.want.Raw = json.RawMessage(test.body)
			if diff := cmp.Diff(&test.want, got); err != nil || diff != "" {
				t.Errorf("Trace: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}
