package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// The types of proofs, one for each step of the calculus.
const (
	proofMatching    = "contract_matching"
	proofRules       = "rules"
	proofSecurity    = "security"
	proofSelection   = "selection"
	proofComposition = "guarantee_composition"
)

// A sealed is a decision with its trace. The trace's text is never changed; its hash covers everything else in it.
type sealed struct {
	decision *caio.Decision
	trace    []byte
	hash     string

	decisionText, proofsText, timestampText jsontext.Value // canonical parts of the trace
}

// seal words the decision and makes its trace. It depends on nothing but d, so that [Verify] can repeat it.
func seal(d *draft) (*sealed, error) {
	proofs := prove(d)
	s := &sealed{decision: decide(d), proofsText: appendProofs(make([]byte, 0, 4096), proofs)}
	request, err := canonical(recordOf(d.request))
	if err != nil {
		return nil, invalidRequest("the request is not JSON: " + wire.Clip(err.Error(), 200))
	}
	guarantees := d.picks[0].guaranteesText
	if len(d.request.Steps) == 0 {
		s.decisionText = appendPick(make([]byte, 0, 1024), &d.picks[0], s.decision, d.id)
	} else {
		s.decisionText, err = canonical(s.decision)
		if err == nil {
			guarantees, err = canonical(s.decision.Guarantees)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("registry: the decision is not JSON: %w", err)
	}
	s.decision.Proofs = proofs
	s.timestampText = appendText(nil, d.at.Format(time.RFC3339Nano))
	body := make([]byte, 0, len(s.decisionText)+len(s.proofsText)+len(guarantees)+len(request)+256)
	body = append(append(body, `{"decision":`...), s.decisionText...)
	body = appendText(append(body, `,"decision_id":`...), d.id)
	body = append(append(body, `,"guarantees":`...), guarantees...)
	body = append(append(body, `,"proofs":`...), s.proofsText...)
	body = append(append(body, `,"request":`...), request...)
	body = append(append(append(body, `,"timestamp":`...), s.timestampText...), '}')
	s.hash = hashOf(body)
	s.trace = append(append(make([]byte, 0, len(body)+100), `{"hash":"`...), s.hash...)
	s.trace = append(append(s.trace, `",`...), body[1:]...)
	return s, nil
}

// answer is what a caller is answered: the decision, its proofs, and where its trace is.
func (s *sealed) answer() encoded {
	body := append(append(make([]byte, 0, len(s.trace)+256), `{"proofs":`...), s.proofsText...)
	body = appendText(append(body, `,"trace":{"decision_id":`...), s.decision.DecisionID)
	body = appendText(append(body, `,"hash":`...), s.hash)
	body = append(append(body, `,"timestamp":`...), s.timestampText...)
	return encoded{asJSON, append(append(body, `},`...), s.decisionText[1:]...)}
}

func hashOf(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// decide returns the decision without proofs.
func decide(d *draft) *caio.Decision {
	if len(d.request.Steps) == 0 {
		decision := d.picks[0].decide(d, stepsOf(d.request)[0])
		decision.DecisionID = d.id
		return &decision
	}
	chain := caio.Decision{DecisionID: d.id, Guarantees: guaranteesOfChain(compose(d.picks))}
	for i := range d.picks {
		chain.Steps = append(chain.Steps, d.picks[i].decide(d, d.request.Steps[i]))
	}
	first := chain.Steps[0]
	chain.ServiceID, chain.ServiceName, chain.BaseURL, chain.Endpoints = first.ServiceID, first.ServiceName, first.BaseURL, first.Endpoints
	chain.Reasons = []string{fmt.Sprintf("a chain of %d steps; each says why it goes to its service", len(chain.Steps))}
	return &chain
}

func (p *pick) decide(d *draft, step caio.Step) caio.Decision {
	return caio.Decision{
		ServiceID: p.contract.ID, ServiceName: p.contract.Name, Guarantees: p.summary.Guarantees,
		BaseURL: p.contract.API.BaseURL, Endpoints: p.endpoints, Candidates: p.candidates, Reasons: p.reasons(d, step),
	}
}

// reasons says in words why the service was chosen, with the figures that decided.
func (p *pick) reasons(d *draft, step caio.Step) []string {
	list := []string{"it meets every requirement"}
	if n := len(d.rules); n > 0 {
		list = append(list, fmt.Sprintf("it satisfies the policies that apply (%d of %d)", n, len(d.request.Policies)))
	}
	if p.considered == 1 {
		return append(list, "no other service has "+strings.Join(step.Capabilities, ", "))
	}
	if len(p.candidates) <= 1 {
		return append(list, fmt.Sprintf("none of the %d others with the capabilities qualifies", p.considered-1))
	}
	best, next := &p.candidates[0], &p.candidates[1]
	if best.Score == next.Score {
		return append(list, fmt.Sprintf("of %d with the capabilities it scores highest, %.4f, equal to %s, after which it comes first by id", p.considered, best.Score, next.ServiceID))
	}
	return append(list, fmt.Sprintf("of %d with the capabilities it scores highest, %.4f; next is %s, %.4f", p.considered, best.Score, next.ServiceID, next.Score))
}

// What proofs carry so that they can be recomputed, beside the request, which the trace has once.
type (
	matchingEvidence struct {
		Contract jsontext.Value `json:"contract"` // an excerpt, itself a contract
		Digest   string         `json:"digest"`   // of the whole contract
	}
	rulesEvidence struct {
		Policies int   `json:"policies"` // of the request
		Applied  []int `json:"applied"`  // which of them apply, from 0
	}
	selectionEvidence struct {
		Weights    Weights `json:"weights"`
		Considered int     `json:"considered"` // services with the capabilities
	}
	compositionEvidence struct {
		Services []string   `json:"services"`
		Composed []composed `json:"composed,omitempty"`
	}
)

// prove returns the proofs of each step, then that of the whole.
func prove(d *draft) []caio.Proof {
	steps := stepsOf(d.request)
	proofs := make([]caio.Proof, 0, 4*len(steps)+1)
	for i, step := range steps {
		number := 0
		if len(d.request.Steps) > 0 {
			number = i + 1
		}
		for _, proof := range d.picks[i].prove(d, step) {
			proof.Step = number
			proof.Valid = !slices.ContainsFunc(proof.Clauses, func(c caio.Clause) bool { return !c.Met })
			proofs = append(proofs, proof)
		}
	}
	return append(proofs, proveComposition(d))
}

func (p *pick) prove(d *draft, step caio.Step) [4]caio.Proof {
	applied := rulesEvidence{Policies: len(d.request.Policies), Applied: []int{}}
	var ruled []caio.Clause
	for i, policy := range d.request.Policies {
		if applies(policy, *d.request) {
			applied.Applied = append(applied.Applied, i)
			ruled = append(ruled, clauses(p.contract.Match(asRequirement(policy)).Clauses, true)...)
		}
	}
	authenticated := caio.Clause{Requirement: "authenticated", Met: true, Detail: d.security.Authentication}
	return [...]caio.Proof{{
		Type: proofMatching, Clauses: clauses(p.contract.Match(requirementsOf(step)).Clauses, true),
		Statement:    fmt.Sprintf("version %s of the contract of %s meets every requirement", p.contract.Version, p.contract.ID),
		Verification: "match the contract in the evidence against the requirements of the request",
		Evidence:     matchingEvidence{p.excerpt, p.digest},
	}, {
		Type: proofRules, Clauses: ruled,
		Statement:    fmt.Sprintf("%d of %d policies apply, and the contract satisfies them", len(applied.Applied), applied.Policies),
		Verification: "evaluate the conditions of the request's policies, then match those that apply against the contract",
		Evidence:     applied,
	}, {
		Type: proofSecurity, Clauses: append([]caio.Clause{authenticated}, securityClauses(p.contract, d.request)...),
		Statement:    "the caller may ask, and the service may be given the request",
		Verification: "compare trust level and sensitivity of the request with the contract",
		Evidence:     d.security,
	}, {
		Type:         proofSelection,
		Statement:    fmt.Sprintf("%s has the highest score, and of equals the first id", p.contract.ID),
		Verification: "compute the weighted score of each candidate of the decision from its figures, and sort",
		Evidence:     selectionEvidence{d.weights, p.considered},
	}}
}

func proveComposition(d *draft) caio.Proof {
	proof := caio.Proof{Type: proofComposition, Valid: true}
	var evidence compositionEvidence
	for _, p := range d.picks {
		evidence.Services = append(evidence.Services, p.contract.ID)
	}
	if len(d.request.Steps) == 0 {
		proof.Statement = "the guarantees are those of the service's contract"
		proof.Verification = "compare them with the contract"
	} else {
		evidence.Composed = compose(d.picks)
		proof.Statement = "over the chain accuracy is the weakest step's, latencies add up, and it is deterministic if each step is"
		proof.Verification = "compose the bounds of the steps' contracts"
	}
	proof.Evidence = evidence
	return proof
}

// clauses returns those that are met, and with all also the others.
func clauses(list []contract.Clause, all bool) []caio.Clause {
	var out []caio.Clause
	for _, c := range list {
		if all || !c.Met {
			out = append(out, caio.Clause{Requirement: c.Requirement, Met: c.Met, Detail: c.Detail})
		}
	}
	return out
}

// recordOf is what traces keep of a request, in the form of a request. Of intent and context, which may be large and
// private, only what policies depend on is kept.
func recordOf(req *caio.Request) map[string]any {
	record := map[string]any{}
	if len(req.Steps) == 0 {
		whole := stepRecord(wholeStep(*req))
		record["constraints"] = whole["constraints"]
		delete(whole, "constraints")
		record["requirements"] = whole
	} else {
		steps := make([]any, len(req.Steps))
		for i, step := range req.Steps {
			steps[i] = stepRecord(step)
		}
		record["steps"] = steps
	}
	if len(req.Policies) > 0 {
		record["policies"] = policiesRecord(req.Policies)
	}
	if req.TrustLevel != 0 {
		record["user"] = map[string]any{"trust_level": req.TrustLevel}
	}
	if req.Sensitive {
		record["sensitive"] = true
	}
	for _, p := range req.Policies {
		for path := range p.When {
			keepSubject(record, req, path)
		}
	}
	return record
}

func stepRecord(s caio.Step) map[string]any {
	guarantees := make(map[string]any, len(s.Guarantees))
	for property, bound := range s.Guarantees {
		guarantees[property] = wire.Bound(bound)
	}
	constraints := s.Constraints
	if constraints == nil {
		constraints = map[string]any{}
	}
	return map[string]any{"capabilities": s.Capabilities, "guarantees": guarantees, "constraints": constraints}
}

// policiesRecord spells out the bounds that Go callers may give.
func policiesRecord(policies []caio.Policy) []caio.Policy {
	policies = slices.Clone(policies)
	for i := range policies {
		if bound, ok := policies[i].Value.(contract.Bound); ok {
			policies[i].Value = wire.Bound(bound)
		}
	}
	return policies
}

// keepSubject copies the member of the request at a path into the record, under its whole path, which finds it again.
func keepSubject(record map[string]any, req *caio.Request, path string) {
	head, rest, nested := strings.Cut(path, ".")
	value, ok := subject(*req, path)
	if !ok || !nested || head == "user" {
		return
	}
	kept, _ := record[head].(map[string]any)
	if kept == nil {
		kept = map[string]any{}
		record[head] = kept
	}
	kept[rest] = value
}
