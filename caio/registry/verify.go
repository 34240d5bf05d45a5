package registry

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const maxTrace = 8 << 20

// Verify recomputes a trace, as [caio.Trace].Raw has it: its hash (SHA-256 of the canonical JSON, RFC 8785, of all other
// members), and from the evidence every proof and the decision itself. The error says all that is wrong.
//
// The hash is not a signature. To know that the whole trace was not replaced by another, compare the hash with that in the
// answer to the request.
func Verify(trace []byte) error {
	if err := checkLength(trace); err != nil {
		return err
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(trace, &members); err != nil || members == nil {
		return fmt.Errorf("registry: the trace is not a JSON object: %w", err)
	}
	recorded, err := readTrace(members)
	if err != nil {
		return errors.Join(append(checkText(trace, members), err)...)
	}
	return verify(trace, members, recorded)
}

func checkLength(trace []byte) error {
	if len(trace) > maxTrace {
		return fmt.Errorf("registry: the trace is larger than %d bytes", maxTrace)
	}
	return nil
}

// checkText checks the hash, and that the text is the only one with it.
func checkText(trace []byte, members map[string]jsontext.Value) []error {
	faults := checkHash(members)
	if hasCapitalEscape(trace) {
		faults = append(faults, fault("hash: a text is not in canonical form: \\u is followed by capitals"))
	}
	return faults
}

// verify does what [Verify] does with a trace that readTrace has read.
func verify(trace []byte, members map[string]jsontext.Value, recorded *recordedTrace) error {
	if err := checkLength(trace); err != nil {
		return err
	}
	faults := append(checkText(trace, members), recorded.checkSelection()...)
	again, err := seal(&recorded.draft)
	if err != nil {
		return errors.Join(append(faults, fmt.Errorf("registry: the decision cannot be recomputed: %w", err))...)
	}
	return errors.Join(append(faults, recorded.compare(members, again)...)...)
}

func fault(format string, args ...any) error { return fmt.Errorf("registry: "+format, args...) }

// checkHash also refuses numbers that are not in canonical form: two texts of one number have one hash.
func checkHash(members map[string]jsontext.Value) []error {
	var hash string
	if err := json.Unmarshal(members["hash"], &hash); err != nil {
		return []error{fault("hash: the trace has none")}
	}
	rest := make(map[string]jsontext.Value, len(members))
	for name, value := range members {
		if name != "hash" {
			rest[name] = value
		}
	}
	text, err := json.Marshal(rest, json.Deterministic(true))
	sorted, exact := jsontext.Value(text), jsontext.Value(bytes.Clone(text))
	if err = errors.Join(err, sorted.Format(jsontext.ReorderRawObjects(true)), exact.Canonicalize()); err != nil {
		return []error{fault("hash: %w", err)}
	}
	var faults []error
	if !bytes.Equal(sorted, exact) {
		faults = append(faults, fault("hash: a number is not in canonical form"))
	}
	if got := hashOf(exact); got != hash {
		faults = append(faults, fault("hash: the trace says %s, its content has %s: it was altered", hash, got))
	}
	return faults
}

// hasCapitalEscape reports whether JSON has an escape like \u001F, which says the same as \u001f: the only two texts of one
// value, beside those of numbers, that are equally long.
func hasCapitalEscape(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++ // to what is escaped, which may be another backslash
		if rest := text[i:]; len(rest) > 4 && rest[0] == 'u' && bytes.ContainsAny(rest[1:5], "ABCDEF") {
			return true
		}
	}
	return false
}

// A recordedTrace is a trace read back as what it was made of.
type recordedTrace struct {
	draft
	proofs []recordedProof
}

type recordedProof struct {
	Type     string         `json:"proof_type"`
	Step     int            `json:"step"`
	Evidence jsontext.Value `json:"evidence"`
}

func readTrace(members map[string]jsontext.Value) (*recordedTrace, error) {
	var r recordedTrace
	var decision caio.Decision
	var at time.Time
	err := errors.Join(
		json.Unmarshal(members["decision_id"], &r.id), json.Unmarshal(members["timestamp"], &at),
		json.Unmarshal(members["proofs"], &r.proofs), json.Unmarshal(members["decision"], &decision))
	if err != nil {
		return nil, fault("the trace is not one of a registry: %w", err)
	}
	request, err := decodeRouting(members["request"])
	if err == nil {
		err = checkRequest(&request)
	}
	if err != nil {
		return nil, fault("request: %w", err)
	}
	r.at, r.request, r.rules = at, &request, rulesFor(request)
	steps := []caio.Decision{decision}
	if len(request.Steps) > 0 {
		steps = decision.Steps
	}
	if len(steps) != len(stepsOf(&request)) {
		return nil, fault("decision: it has %d steps, the request %d", len(steps), len(request.Steps))
	}
	for i, step := range steps {
		number := i + 1
		if len(request.Steps) == 0 {
			number = 0
		}
		p, err := r.readPick(number)
		if err != nil {
			return nil, err
		}
		p.candidates = step.Candidates
		r.picks = append(r.picks, p)
	}
	return &r, nil
}

// readPick reads what was picked for a step from the evidence of the step's proofs.
func (r *recordedTrace) readPick(step int) (p pick, err error) {
	var matching matchingEvidence
	var selection selectionEvidence
	for _, part := range []struct {
		proof    string
		evidence any
	}{{proofMatching, &matching}, {proofSelection, &selection}, {proofSecurity, &r.security}} {
		i := slices.IndexFunc(r.proofs, func(p recordedProof) bool { return p.Type == part.proof && p.Step == step })
		if i < 0 {
			return p, fault("proofs: there is no %s", part.proof)
		}
		if err := json.Unmarshal(r.proofs[i].Evidence, part.evidence); err != nil {
			return p, fault("proof %d (%s): the evidence is unreadable: %w", i+1, part.proof, err)
		}
	}
	text := bytes.ReplaceAll(matching.Contract, []byte("\x7f"), []byte(`\u007f`)) // canonical is the one, contracts have the other
	ct, err := contract.Parse("evidence", text)
	if err != nil {
		return p, fault("%s: the contract in the evidence is not valid: %w", proofMatching, err)
	}
	if p.entry, err = newEntry(ct); err != nil {
		return p, fault("%s: the contract in the evidence: %w", proofMatching, err)
	}
	p.excerpt, p.digest, p.considered = matching.Contract, matching.Digest, selection.Considered
	if err := selection.Weights.check(); err != nil {
		return p, fault("%s: %w", proofSelection, err)
	}
	r.weights = selection.Weights
	return p, nil
}

// checkSelection checks that each choice is the best of its candidates, by scores that follow from their figures.
func (r *recordedTrace) checkSelection() (faults []error) {
	for i, step := range stepsOf(r.request) {
		p := &r.picks[i]
		if len(p.candidates) == 0 || len(p.candidates) > min(maxCandidates, p.considered) {
			faults = append(faults, fault("%s: %d candidates of %d considered", proofSelection, len(p.candidates), p.considered))
			continue
		}
		own := r.weights.candidate(p.entry, step.Capabilities)
		if first := p.candidates[0]; first.ServiceID != own.ServiceID || first.Score != own.Score {
			faults = append(faults, fault("%s: the contract of %s scores %v, the first candidate is %s with %v", proofSelection, own.ServiceID, own.Score, first.ServiceID, first.Score))
		}
		for j := range p.candidates {
			c := &p.candidates[j]
			if score := r.weights.score(c); score != c.Score || math.IsNaN(score) {
				faults = append(faults, fault("%s: the figures of %s give the score %v, not %v", proofSelection, c.ServiceID, score, c.Score))
			}
			if j > 0 && !before(&p.candidates[j-1], c) {
				faults = append(faults, fault("%s: %s comes after %s, to which it is preferred", proofSelection, c.ServiceID, p.candidates[j-1].ServiceID))
			}
		}
	}
	return faults
}

// compare holds the recorded members against the recomputed ones.
func (r *recordedTrace) compare(members map[string]jsontext.Value, again *sealed) (faults []error) {
	var recomputed map[string]jsontext.Value
	if err := json.Unmarshal(again.trace, &recomputed); err != nil {
		return []error{fault("the decision cannot be recomputed: %w", err)}
	}
	for _, name := range []string{"decision", "guarantees", "request", "timestamp"} {
		if !equalText(members[name], recomputed[name]) {
			faults = append(faults, fault("%s: it does not follow from request and evidence", name))
		}
	}
	var was, is []jsontext.Value
	if err := errors.Join(json.Unmarshal(members["proofs"], &was), json.Unmarshal(recomputed["proofs"], &is)); err != nil || len(was) != len(is) {
		return append(faults, fault("proofs: there are %d, must be %d", len(was), len(is)))
	}
	for i, proof := range again.decision.Proofs {
		if !equalText(was[i], is[i]) {
			faults = append(faults, fault("proof %d (%s): it does not follow from request and evidence", i+1, proof.Type))
		}
		for _, clause := range proof.Clauses {
			if !clause.Met {
				faults = append(faults, fault("proof %d (%s): %s fails: %s", i+1, proof.Type, clause.Requirement, clause.Detail))
			}
		}
	}
	return faults
}

func equalText(a, b jsontext.Value) bool {
	a, b = a.Clone(), b.Clone()
	return a.Canonicalize() == nil && b.Canonicalize() == nil && bytes.Equal(a, b)
}
