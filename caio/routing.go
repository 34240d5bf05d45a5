package caio

import (
	"bytes"
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

// A Request asks for a service that meets all of its requirements, or for a chain of services.
type Request struct {
	Capabilities []string                  // types; at least one, all are required
	Guarantees   map[string]contract.Bound // by property ("p95_latency_ms") or name ("accuracy")
	Constraints  map[string]any            // by field of the contract's constraints, for example requires_gpu: false

	// Steps ask for a chain of services, one for each step, instead of one service; the three fields above are then empty.
	// CAIO does not document chains; package registry routes them.
	Steps []Step

	Policies   []Policy       // rules that hold for each chosen service
	TrustLevel float64        // how far the user is trusted on whose behalf the caller asks; 0 if that is not known
	Sensitive  bool           // the data may only go to services that keep it on the device, local or encrypted
	Intent     map[string]any // what the request is for, usually with a "type"; JSON values
	Context    map[string]any // for CAIO's own use; JSON values
}

// A Step is one requirement of a chain.
type Step struct {
	Capabilities []string
	Guarantees   map[string]contract.Bound
	Constraints  map[string]any
}

// A Policy is a rule that a chosen service must satisfy.
type Policy struct {
	Type string `json:"type"` // "constraint"

	// Field is a member of the contract's constraints, privacy or alignment as in [contract.Requirements], "guarantees."
	// and a property or name, whose Value is then a bound like {"max": 500}, or "capabilities", whose Value is a type.
	Field string `json:"field"`
	Value any    `json:"value"` // what the field must be, or at least be: a JSON value

	// When are the members of the request on which the policy depends, by path: "intent.type", "context.language",
	// "user.trust_level", "sensitive". All must have the given value, or one of a list of values. None: it always applies.
	When map[string]any `json:"when,omitempty"`
}

// body returns the flat form of the request where that can say it, else the nested form.
func (r Request) body() any {
	context := r.Context
	if context == nil {
		context = map[string]any{}
	}
	plain := len(r.Guarantees) == 0 && len(r.Constraints) == 0 && len(r.Steps) == 0 && len(r.Policies) == 0 &&
		r.TrustLevel == 0 && !r.Sensitive && len(r.Intent) == 0
	if plain {
		return map[string]any{"requirements": r.Capabilities, "context": context}
	}
	request := map[string]any{"context": context}
	if len(r.Steps) == 0 || len(r.Capabilities)+len(r.Guarantees)+len(r.Constraints) > 0 {
		requirements := Step{r.Capabilities, r.Guarantees, r.Constraints}.body()
		request["constraints"] = requirements["constraints"]
		delete(requirements, "constraints")
		request["requirements"] = requirements
	}
	if len(r.Steps) > 0 {
		steps := make([]any, len(r.Steps))
		for i, step := range r.Steps {
			steps[i] = step.body()
		}
		request["steps"] = steps
	}
	if r.TrustLevel != 0 {
		request["user"] = map[string]any{"trust_level": r.TrustLevel}
	}
	if r.Sensitive {
		request["sensitive"] = true
	}
	if len(r.Intent) > 0 {
		request["intent"] = r.Intent
	}
	body := map[string]any{"request": request}
	if len(r.Policies) > 0 {
		body["policies"] = r.Policies
	}
	return body
}

func (s Step) body() map[string]any {
	guarantees := make(map[string]any, len(s.Guarantees))
	for property, bound := range s.Guarantees {
		guarantees[property] = wire.Bound(bound)
	}
	constraints := maps.Clone(s.Constraints)
	if constraints == nil {
		constraints = map[string]any{}
	}
	return map[string]any{"capabilities": s.Capabilities, "guarantees": guarantees, "constraints": constraints}
}

// A Decision names the service that a request is routed to, and why. For a chain it names that of the first step, and
// all of them in Steps.
type Decision struct {
	DecisionID  string         `json:"decision_id,omitempty"` // "" in Steps
	ServiceID   string         `json:"service_id"`
	ServiceName string         `json:"service_name"`
	Guarantees  map[string]any `json:"guarantees"` // of the service or, composed, of the chain; by name, as CAIO states them

	// BaseURL and Endpoints say how to call the service. CAIO's documents do not promise them: if they are missing, the
	// contract of [Client.Service] may have them.
	BaseURL   string     `json:"base_url,omitempty"`
	Endpoints []Endpoint `json:"endpoints,omitempty"`

	Steps      []Decision  `json:"steps,omitempty"`      // of a chain, in order, each with its service and how to call it
	Candidates []Candidate `json:"candidates,omitempty"` // the best, in order; the first is the chosen one
	Reasons    []string    `json:"reasons,omitempty"`    // for people: why this service
	Proofs     []Proof     `json:"proofs,omitempty"`
}

// A Candidate is a service that meets all requirements, with what counts in the choice. Nil means not promised.
type Candidate struct {
	ServiceID    string   `json:"service_id"`
	Score        float64  `json:"score"`                    // from 0 to 1
	Accuracy     *float64 `json:"accuracy,omitempty"`       // least, for the weakest of the required capabilities
	P95Latency   *float64 `json:"p95_latency_ms,omitempty"` // most
	Price        *float64 `json:"price,omitempty"`          // of a call of 1,000 tokens
	Availability *float64 `json:"availability,omitempty"`   // least
}

// An Endpoint is one operation of a service.
type Endpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

// A Proof shows one step of a decision.
type Proof struct {
	Type         string            `json:"proof_type"`     // for example "contract_matching"
	Step         int               `json:"step,omitempty"` // of a chain, from 1; 0 for a single service, and for the chain as a whole
	Valid        bool              `json:"valid"`
	Statement    string            `json:"statement,omitempty"`    // for people
	Verification string            `json:"verification,omitempty"` // how it is recomputed from the evidence and the request
	Evidence     any               `json:"evidence,omitempty"`     // JSON
	Clauses      []contract.Clause `json:"clauses,omitempty"`      // what had to hold, one by one
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
	Hash       string         `json:"hash,omitempty"` // of the rest; "" if CAIO gives none

	// Raw is the record as CAIO gave it, which is what Verify of package registry checks.
	Raw json.RawMessage `json:"-"`
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
	t.Raw = bytes.Clone(data)
	t.Decision = nil
	var decision Decision
	if json.Unmarshal(answer.Decision, &decision) == nil && decision.ServiceID != "" {
		if decision.Proofs == nil {
			decision.Proofs = t.Proofs
		}
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
