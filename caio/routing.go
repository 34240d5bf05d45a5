package caio

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Request asks for a service that meets all of its requirements.
type Request struct {
	Capabilities []string                  // types; at least one, all are required
	Guarantees   map[string]contract.Bound // by property ("p95_latency_ms") or name ("accuracy")
	Constraints  map[string]any            // by field of the contract's constraints, for example requires_gpu: false
	Context      map[string]any            // for CAIO's own use; JSON values
}

// body returns the flat form of the request where that can say it, else the nested form.
func (r Request) body() any {
	context := r.Context
	if context == nil {
		context = map[string]any{}
	}
	if len(r.Guarantees) == 0 && len(r.Constraints) == 0 {
		return map[string]any{"requirements": r.Capabilities, "context": context}
	}
	guarantees := make(map[string]any, len(r.Guarantees))
	for property, bound := range r.Guarantees {
		guarantees[property] = wire.Bound(bound)
	}
	constraints := maps.Clone(r.Constraints)
	if constraints == nil {
		constraints = map[string]any{}
	}
	return map[string]any{"request": map[string]any{
		"requirements": map[string]any{"capabilities": r.Capabilities, "guarantees": guarantees},
		"constraints":  constraints,
		"context":      context,
	}}
}

// A Decision names the service that a request is routed to, and why.
type Decision struct {
	DecisionID  string         `json:"decision_id"`
	ServiceID   string         `json:"service_id"`
	ServiceName string         `json:"service_name"`
	Guarantees  map[string]any `json:"guarantees"` // of the service, by name, as CAIO states them

	// BaseURL and Endpoints say how to call the service. CAIO's documents do not promise them: if they are missing, the
	// contract of [Client.Service] may have them.
	BaseURL   string     `json:"base_url,omitempty"`
	Endpoints []Endpoint `json:"endpoints,omitempty"`

	Reasons []string `json:"reasons,omitempty"` // for people: why this service
	Proofs  []Proof  `json:"proofs"`
}

// An Endpoint is one operation of a service.
type Endpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

// A Proof shows one step of a decision.
type Proof struct {
	Type      string   `json:"proof_type"` // for example "contract_matching"
	Valid     bool     `json:"valid"`
	Statement string   `json:"statement,omitempty"`
	Clauses   []Clause `json:"clauses,omitempty"` // of a contract matching: one per requirement
}

// A Clause is one requirement held against a contract.
type Clause struct {
	Requirement string `json:"requirement"`
	Met         bool   `json:"met"`
	Detail      string `json:"detail,omitempty"`
}

// Route asks for the service that meets r best. It answers [ErrNoMatch] if there is none; [Error].Details may then say
// what the nearest services lack.
func (c *Client) Route(ctx context.Context, r Request) (*Decision, error) {
	decision := new(Decision)
	if err := c.do(ctx, call{op: opRoute, method: http.MethodPost, path: "/api/v1/orchestrate", body: r.body()}, decision); err != nil {
		return nil, err
	}
	if decision.ServiceID == "" {
		return nil, c.unexpected(opRoute, `the answer names no "service_id"`)
	}
	return decision, nil
}

// A Trace is the record of a decision.
type Trace struct {
	DecisionID string         `json:"decision_id"`
	Timestamp  time.Time      `json:"timestamp"` // of the decision; zero if CAIO gave none or in an unknown form
	Request    any            `json:"request,omitempty"`
	Decision   *Decision      `json:"decision"` // nil if CAIO recorded it in another form
	Proofs     []Proof        `json:"proofs"`
	Guarantees map[string]any `json:"guarantees"`
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Trace) UnmarshalJSON(data []byte) error {
	type plain Trace // without this method
	answer := struct {
		*plain
		Timestamp any             `json:"timestamp"`
		Decision  json.RawMessage `json:"decision"`
	}{plain: (*plain)(t)}
	if err := json.Unmarshal(data, &answer); err != nil {
		return err
	}
	t.Timestamp = parseTimestamp(answer.Timestamp)
	t.Decision = nil
	var decision Decision
	if json.Unmarshal(answer.Decision, &decision) == nil && decision.ServiceID != "" {
		t.Decision = &decision
	}
	return nil
}

// parseTimestamp reads RFC 3339, ISO 8601 without a zone as Python writes it (taken as UTC), and seconds since 1970.
func parseTimestamp(value any) time.Time {
	switch v := value.(type) {
	case string:
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateTime} {
			if at, err := time.Parse(layout, v); err == nil {
				return at
			}
		}
	case float64:
		if seconds, fraction := math.Modf(v); math.Abs(seconds) < 1e11 {
			return time.Unix(int64(seconds), int64(fraction*1e9)).UTC()
		}
	}
	return time.Time{}
}

// Trace reads the record of a decision. It answers [ErrNotFound] if CAIO does not have it, or not any more.
func (c *Client) Trace(ctx context.Context, decisionID string) (*Trace, error) {
	trace := new(Trace)
	path := "/api/v1/trace/" + url.PathEscape(decisionID)
	if err := c.do(ctx, call{op: opTrace, method: http.MethodGet, path: path}, trace); err != nil {
		return nil, err
	}
	if trace.DecisionID != decisionID || decisionID == "" {
		return nil, c.unexpected(opTrace, fmt.Sprintf("the answer is not about decision %q", decisionID))
	}
	return trace, nil
}
