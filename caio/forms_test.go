package caio_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// answering serves one recorded answer.
func answering(status int, contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func TestBothFormsOfCapabilities(t *testing.T) {
	t.Parallel()
	for name, capabilities := range map[string]string{
		"text":    `["code_generation", "code_review"]`,
		"objects": `[{"type": "code_generation", "accuracy": {"min": 0.9}}, {"type": "code_review"}]`,
		"mixed":   `["code_generation", {"type": "code_review", "parameters": {}}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, answering(200, "application/json", `{"services": [{"service_id": "a", "service_name": "A", "version": "1.0.0",
				"capabilities": `+capabilities+`, "guarantees": {"accuracy": 0.95}, "status": "active", "registered_at": 1}], "count": 1}`), nil)
			got, err := client.Services(t.Context(), caio.Query{})
			want := []caio.Service{{ID: "a", Name: "A", Version: "1.0.0", Status: "active",
				Capabilities: []string{"code_generation", "code_review"}, Guarantees: map[string]any{"accuracy": 0.95}}}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("Services: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Every envelope, with and without codes, becomes the same typed error.
func TestEnvelopes(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "a", "1.0.0")
	register := func(t *testing.T, c *caio.Client) error { _, err := c.Register(t.Context(), ct, nil); return err }
	route := func(t *testing.T, c *caio.Client) error {
		_, err := c.Route(t.Context(), caio.Request{Capabilities: []string{"x"}})
		return err
	}
	unregister := func(t *testing.T, c *caio.Client) error { return c.Unregister(t.Context(), "a") }
	for name, test := range map[string]struct {
		call        func(*testing.T, *caio.Client) error
		status      int
		contentType string
		body        string
		is          error
		want        caio.Error
	}{
		"error envelope": {register, 400, "application/json", `{"error": {"code": "INVALID_CONTRACT", "message": "no version", "details": {"field": "version"}}}`,
			caio.ErrInvalidContract, caio.Error{Code: "INVALID_CONTRACT", Message: "no version", Details: map[string]any{"field": "version"}}},
		"detail text": {register, 400, "application/json", `{"detail": "Contract validation failed"}`,
			caio.ErrInvalidContract, caio.Error{Code: "INVALID_CONTRACT", Message: "Contract validation failed"}},
		"detail already registered": {register, 400, "application/json", `{"detail": "Service already registered: a"}`,
			caio.ErrAlreadyRegistered, caio.Error{Code: "SERVICE_ALREADY_REGISTERED", Message: "Service already registered: a"}},
		"detail list": {register, 422, "application/json", `{"detail": [{"loc": ["body", "contract"], "msg": "field required"}]}`,
			caio.ErrInvalidContract, caio.Error{Code: "INVALID_CONTRACT", Message: "[body contract] field required",
				Details: map[string]any{"errors": []any{map[string]any{"loc": []any{"body", "contract"}, "msg": "field required"}}}}},
		"detail object": {unregister, 404, "application/json", `{"detail": {"code": "SERVICE_NOT_FOUND", "message": "unknown"}}`,
			caio.ErrNotFound, caio.Error{Code: "SERVICE_NOT_FOUND", Message: "unknown", Details: map[string]any{"code": "SERVICE_NOT_FOUND", "message": "unknown"}}},
		"problem details": {unregister, 403, "application/problem+json", `{"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "role service may not", "code": "forbidden"}`,
			caio.ErrUnauthorized, caio.Error{Code: "forbidden", Message: "role service may not"}},
		"conflict without body": {register, 409, "", ``,
			caio.ErrAlreadyRegistered, caio.Error{Code: "SERVICE_ALREADY_REGISTERED", Message: "conflict"}},
		"unauthorized as text": {unregister, 401, "text/plain", `go away`,
			caio.ErrUnauthorized, caio.Error{Message: "unauthorized"}},
		"no match with 400": {route, 400, "application/json", `{"detail": "No matching services found"}`,
			caio.ErrNoMatch, caio.Error{Code: "NO_MATCHING_SERVICE", Message: "No matching services found"}},
		"no match with 404": {route, 404, "application/json", `{"error": {"code": "NO_MATCHING_SERVICE", "message": "none", "details": {}}}`,
			caio.ErrNoMatch, caio.Error{Code: "NO_MATCHING_SERVICE", Message: "none", Details: map[string]any{}}},
		"web page of a proxy": {unregister, 404, "text/html", `<html>nginx</html>`,
			caio.ErrNotFound, caio.Error{Message: "not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.call(t, newClient(t, answering(test.status, test.contentType, test.body), nil))
			var got *caio.Error
			if !errors.As(err, &got) || !errors.Is(err, test.is) {
				t.Fatalf("error = %v, want one that is %v", err, test.is)
			}
			test.want.Op, test.want.Status = got.Op, test.status
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// The flat body is sent where it can say everything, the nested body elsewhere.
func TestRouteBodies(t *testing.T) {
	t.Parallel()
	low := 0.9
	for name, test := range map[string]struct {
		request caio.Request
		want    string
	}{
		"flat": {caio.Request{Capabilities: []string{"chat"}, Context: map[string]any{"language": "go"}},
			`{"requirements": ["chat"], "context": {"language": "go"}}`},
		"nested": {caio.Request{Capabilities: []string{"chat"}, Guarantees: map[string]contract.Bound{"accuracy": {Min: &low}}, Constraints: map[string]any{"requires_gpu": false}},
			`{"request": {"requirements": {"capabilities": ["chat"], "guarantees": {"accuracy": {"min": 0.9}}}, "constraints": {"requires_gpu": false}, "context": {}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got any
			client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				json.NewDecoder(r.Body).Decode(&got)
				io.WriteString(w, `{"decision_id": "d", "service_id": "s", "service_name": "S", "guarantees": {}, "proofs": [{"proof_type": "contract_matching", "valid": true}], "trace": {}}`)
			}), nil)
			decision, err := client.Route(t.Context(), test.request)
			wantDecision := &caio.Decision{DecisionID: "d", ServiceID: "s", ServiceName: "S", Guarantees: map[string]any{}, Proofs: []caio.Proof{{Type: "contract_matching", Valid: true}}}
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

// Bounds are asked for where CAIO takes them; what that place does not take is looked at here.
func TestServicesThatPromise(t *testing.T) {
	t.Parallel()
	var asked string
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.URL.Path + " " + string(body)
		io.WriteString(w, `{"services": [{"service_id": "a", "status": "active"}, {"service_id": "b", "status": "unhealthy"}], "count": 2}`)
	}), nil)
	limit := 500.0
	got, err := client.Services(t.Context(), caio.Query{Capability: "chat", Status: "active",
		Guarantees: map[string]contract.Bound{"p95_latency_ms": {Max: &limit}}, Constraints: map[string]any{"requires_gpu": false}})
	if err != nil || len(got) != 1 || got[0].ID != "a" {
		t.Errorf("Services = %+v, %v, want the active one", got, err)
	}
	want := `POST /api/v1/integration/discover-services {"capabilities":["chat"],"constraints":{"requires_gpu":false},"guarantees":{"p95_latency_ms":{"max":500}}}`
	if asked != want {
		t.Errorf("asked %s, want %s", asked, want)
	}

	reg := newRegistry(t, nil)
	for _, id := range []string{"one", "two"} {
		if _, err := reg.Register(t.Context(), newContract(t, id, "1.0.0")); err != nil {
			t.Fatal(err)
		}
	}
	for bound, count := range map[float64]int{4999: 0, 5000: 2} {
		got, err := newClient(t, reg, nil).Services(t.Context(), caio.Query{Guarantees: map[string]contract.Bound{"p95_latency_ms": {Max: &bound}}})
		if err != nil || len(got) != count {
			t.Errorf("at most %g ms: %d services, %v, want %d", bound, len(got), err, count)
		}
	}
}

func TestTraceForms(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 7, 12, 0, 0, 500_000_000, time.UTC)
	for name, test := range map[string]struct {
		body string
		want caio.Trace
	}{
		"RFC 3339":       {`{"decision_id": "d", "timestamp": "2026-01-07T12:00:00.5Z"}`, caio.Trace{DecisionID: "d", Timestamp: at}},
		"without zone":   {`{"decision_id": "d", "timestamp": "2026-01-07T12:00:00.500000"}`, caio.Trace{DecisionID: "d", Timestamp: at}},
		"seconds":        {`{"decision_id": "d", "timestamp": 1767787200.5}`, caio.Trace{DecisionID: "d", Timestamp: at}},
		"no timestamp":   {`{"decision_id": "d", "timestamp": {"at": 1}}`, caio.Trace{DecisionID: "d"}},
		"other decision": {`{"decision_id": "d", "decision": "route to a"}`, caio.Trace{DecisionID: "d"}},
		"decision": {`{"decision_id": "d", "decision": {"decision_id": "d", "service_id": "a"}, "guarantees": {"accuracy": 0.9}, "proofs": [{"proof_type": "security", "valid": true}]}`,
			caio.Trace{DecisionID: "d", Decision: &caio.Decision{DecisionID: "d", ServiceID: "a", Proofs: []caio.Proof{{Type: "security", Valid: true}}},
				Guarantees: map[string]any{"accuracy": 0.9}, Proofs: []caio.Proof{{Type: "security", Valid: true}}}},
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
