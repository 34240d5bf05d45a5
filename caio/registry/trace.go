package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
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

// A sealed is a decision with its trace. The trace's text is never changed; its hash covers everything else in it.
type sealed struct {
	decision *caio.Decision
	trace    []byte

	hash, decisionText, idText, proofsText, timestampText []byte // parts of the trace, as JSON
}

const unhashed = `{"hash":"sha256:0000000000000000000000000000000000000000000000000000000000000000"`

// seal words the decision and makes its trace. It depends on nothing but d, so that [Verify] can repeat it.
func seal(d *draft) (*sealed, error) {
	s := &sealed{decision: decide(d)}
	proofs := prove(d)
	w := textWriter{text: append(make([]byte, 0, d.size()), unhashed...)}
	decision := w.member("decision", s.decision)
	id := w.member("decision_id", d.id)
	w.member("guarantees", s.decision.Guarantees)
	proved := w.member("proofs", proofs)
	if w.err != nil {
		return nil, fmt.Errorf("registry: the decision is not JSON: %w", w.err)
	}
	w.member("request", recordOf(d.request))
	if w.err != nil {
		return nil, invalidRequest("the request is not JSON: " + wire.Clip(w.err.Error(), 200))
	}
	timestamp := w.member("timestamp", d.at)
	s.trace = append(w.text, '}')
	s.decision.Proofs = proofs
	s.hash = s.trace[len(`{"hash":`):len(unhashed)]
	s.decisionText, s.idText, s.proofsText, s.timestampText = decision.of(s.trace), id.of(s.trace), proved.of(s.trace), timestamp.of(s.trace)
	sealHash(s.trace)
	return s, nil
}

// sealHash puts the hash of the rest of a trace into it.
func sealHash(trace []byte) {
	rest := trace[len(unhashed):]
	rest[0] = '{' // for the comma that follows the hash
	hash := hashOf(rest)
	rest[0] = ','
	copy(trace[len(`{"hash":"`):], hash)
}

// size is about that of the trace, so that it need not be moved while it grows.
func (d *draft) size() int {
	size := 1024
	for i := range d.picks {
		p := &d.picks[i]
		size += 4096 + len(p.excerpt)
	}
	return size
}

// A textWriter puts the members of an object one after the other, up to the first fault.
type textWriter struct {
	text []byte
	err  error
}

// A span is a part of a text.
type span struct{ from, to int }

func (s span) of(text []byte) []byte { return text[s.from:s.to:s.to] }

func (w *textWriter) member(name string, value any) (at span) {
	if w.err != nil {
		return at
	}
	var text jsontext.Value
	text, w.err = canonical(value)
	w.text = append(append(append(w.text, `,"`...), name...), `":`...)
	at.from = len(w.text)
	w.text = append(w.text, text...)
	at.to = len(w.text)
	return at
}

// A decided is what a caller is answered, in parts: the decision, its proofs, and where its trace is.
type decided [10][]byte

func (s *sealed) answer() decided {
	return decided{
		[]byte(`{"proofs":`), s.proofsText, []byte(`,"trace":{"decision_id":`), s.idText,
		[]byte(`,"hash":`), s.hash, []byte(`,"timestamp":`), s.timestampText, []byte(`},`), s.decisionText[1:],
	}
}

func (d decided) contentType() string { return asJSON }

func (d decided) length() (size int) {
	for _, part := range d {
		size += len(part)
	}
	return size
}

func (d decided) writeTo(w io.Writer) {
	for _, part := range d {
		w.Write(part)
	}
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
