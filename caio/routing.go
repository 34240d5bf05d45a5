package caio

import (
	"context"
	"maps"
	"net/http"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Request asks for one service that meets all requirements, or for a chain of services.
type Request struct {
	Capabilities []string                  // required types; at least one
	Guarantees   map[string]contract.Bound // required bounds by property ("p95_latency_ms") or name ("accuracy")
	Constraints  map[string]any            // required values by field of the contract's constraints

	// Steps ask for a chain: one service for each step. The three fields above are then empty. CAIO
	// does not document chains. Package registry routes them.
	Steps []Step

	Policies   []Policy       // rules for each chosen service
	TrustLevel float64        // trust in the user behind the request; 0 if unknown
	Sensitive  bool           // requires services that keep the data on the device, local or encrypted
	Intent     map[string]any // purpose of the request, usually with a "type"; JSON values
	Context    map[string]any // JSON values for CAIO's own use
}

// A Step holds the requirements of one service of a chain. See [Request] for the fields.
type Step struct {
	Capabilities []string
	Guarantees   map[string]contract.Bound
	Constraints  map[string]any
}

// A Policy is a rule for the chosen services.
type Policy struct {
	Type string `json:"type"` // "constraint"

	// Field names a part of the contract:
	//   - a member of its constraints, privacy or alignment, as in [contract.Requirements];
	//   - "guarantees." and a property or name. Value is then a bound like {"max": 500};
	//   - "capabilities". Value is then a type.
	Field string `json:"field"`
	Value any    `json:"value"` // required value or lower limit; JSON

	// When restricts the policy to requests with these values. Keys are paths: "intent.type",
	// "context.language", "user.trust_level", "sensitive". A list matches any of its values.
	// Default: empty, the policy always applies.
	When map[string]any `json:"when,omitempty"`
}

// body returns the flat form of a request with capabilities and context only, else the nested form.
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

// A Decision names the service for a request, with reasons and proofs. For a chain, Steps holds all
// services, and ServiceID names the first.
type Decision struct {
	DecisionID  string         `json:"decision_id,omitempty"` // id of the trace; "" in Steps
	ServiceID   string         `json:"service_id"`
	ServiceName string         `json:"service_name"`
	Guarantees  map[string]any `json:"guarantees"` // CAIO's JSON by name; composed for a chain

	// BaseURL and Endpoints are the service's address. CAIO's documents do not promise them.
	// Without them, [Client.Call] reads the service's contract.
	BaseURL   string     `json:"base_url,omitempty"`
	Endpoints []Endpoint `json:"endpoints,omitempty"`

	Steps      []Decision  `json:"steps,omitempty"`      // services of a chain, in order
	Candidates []Candidate `json:"candidates,omitempty"` // best services, in order; the first is chosen
	Reasons    []string    `json:"reasons,omitempty"`    // reasons for the choice, for people
	Proofs     []Proof     `json:"proofs,omitempty"`
}

// A Candidate is a service that meets all requirements, with the figures for the choice. Nil means
// that its contract promises none.
type Candidate struct {
	ServiceID    string   `json:"service_id"`
	Score        float64  `json:"score"`                    // weighted score, 0 to 1
	Accuracy     *float64 `json:"accuracy,omitempty"`       // lowest promise for a required capability, 0 to 1
	P95Latency   *float64 `json:"p95_latency_ms,omitempty"` // promised maximum in milliseconds
	Price        *float64 `json:"price,omitempty"`          // price of a call with 1,000 tokens
	Availability *float64 `json:"availability,omitempty"`   // promised minimum, 0 to 1
}

// An Endpoint is one operation of a service.
type Endpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

// A Proof records one step of a decision.
type Proof struct {
	Type         string            `json:"proof_type"`             // for example "contract_matching"
	Step         int               `json:"step,omitempty"`         // step of a chain, from 1; 0 for the whole
	Valid        bool              `json:"valid"`                  // true if all clauses are met
	Statement    string            `json:"statement,omitempty"`    // claim, for people
	Verification string            `json:"verification,omitempty"` // way to recompute the proof
	Evidence     any               `json:"evidence,omitempty"`     // JSON
	Clauses      []contract.Clause `json:"clauses,omitempty"`      // requirements, one by one
}

// Route asks for the service that meets r best. The error is [ErrNoMatch] if there is none. Its
// [Error].Details may then list the unmet requirements of the nearest services.
func (c *Client) Route(ctx context.Context, r Request) (*Decision, error) {
	decision := new(Decision)
	request := call{op: opRoute, method: http.MethodPost, path: "/api/v1/orchestrate", body: r.body()}
	if err := c.do(ctx, request, decision); err != nil {
		return nil, err
	}
	if decision.ServiceID == "" {
		return nil, c.unexpected(opRoute, `the answer has no "service_id"`)
	}
	return decision, nil
}
