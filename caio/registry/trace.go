package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// A sealed is a decision with its trace. Neither text is modified.
type sealed struct {
	decision *caio.Decision
	trace    []byte // its hash covers all other members
	answer   []byte // for the caller
}

// seal explains the decision and makes its trace. It depends on d only, so [Verify] can repeat it.
func seal(d *draft) (*sealed, error) {
	decision, proofs := decide(d), prove(d)
	var err error
	encode := func(value any) []byte {
		text, failed := canonical(value)
		err = errors.Join(err, failed)
		return text
	}
	request := encode(recordOf(d.request))
	if err != nil {
		return nil, invalidRequest("the request is not JSON: " + wire.Clip(err.Error(), 200))
	}
	chosen, id, guarantees := encode(decision), encode(d.id), encode(decision.Guarantees)
	proved, timestamp := encode(proofs), encode(d.at)
	if err != nil {
		return nil, fmt.Errorf("registry: the decision is not JSON: %w", err)
	}
	size := len(chosen) + len(guarantees) + len(proved) + len(request) + 256
	rest := fmt.Appendf(make([]byte, 0, size),
		`{"decision":%s,"decision_id":%s,"guarantees":%s,"proofs":%s,"request":%s,"timestamp":%s}`,
		chosen, id, guarantees, proved, request, timestamp)
	hash := hashOf(rest)
	decision.Proofs = proofs
	return &sealed{
		decision: decision,
		trace:    fmt.Appendf(make([]byte, 0, len(rest)+len(hash)+16), `{"hash":%q,%s`, hash, rest[1:]),
		answer: fmt.Appendf(make([]byte, 0, size), `{"proofs":%s,"trace":{"decision_id":%s,"hash":%q,"timestamp":%s},%s`,
			proved, id, hash, timestamp, chosen[1:]),
	}, nil
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
		ServiceID: p.contract.ID, ServiceName: p.contract.Name, Guarantees: guaranteesOf(p.contract),
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
			proof.Valid = !slices.ContainsFunc(proof.Clauses, func(c contract.Clause) bool { return !c.Met })
			proofs = append(proofs, proof)
		}
	}
	return append(proofs, proveComposition(d))
}

func (p *pick) prove(d *draft, step caio.Step) [4]caio.Proof {
	applied := rulesEvidence{Policies: len(d.request.Policies), Applied: []int{}}
	var ruled []contract.Clause
	for i, policy := range d.request.Policies {
		if applies(policy, *d.request) {
			applied.Applied = append(applied.Applied, i)
			ruled = append(ruled, p.contract.Match(asRequirement(policy)).Clauses...)
		}
	}
	authenticated := contract.Clause{Requirement: "authenticated", Met: true, Detail: d.security.Authentication}
	return [...]caio.Proof{{
		Type: proofMatching, Clauses: p.contract.Match(requirementsOf(step)).Clauses,
		Statement:    fmt.Sprintf("version %s of the contract of %s meets every requirement", p.contract.Version, p.contract.ID),
		Verification: "match the contract in the evidence against the requirements of the request",
		Evidence:     matchingEvidence{p.excerpt, p.digest},
	}, {
		Type: proofRules, Clauses: ruled,
		Statement:    fmt.Sprintf("%d of %d policies apply, and the contract satisfies them", len(applied.Applied), applied.Policies),
		Verification: "evaluate the conditions of the request's policies, then match those that apply against the contract",
		Evidence:     applied,
	}, {
		Type: proofSecurity, Clauses: append([]contract.Clause{authenticated}, securityClauses(p.contract, d.request)...),
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
