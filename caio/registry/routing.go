package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const (
	maxRequirements = 64 // capabilities, guarantees, constraints and policies of a request, each
	maxSteps        = 16
	maxCandidates   = 5 // that a decision lists
)

// Route picks the service that meets req best, for each step if it asks for a chain:
//
//  1. Matching: the service has all capabilities and promises at least what is required, as [contract.Contract.Match] says.
//  2. Rules: every policy that applies to the request holds for its contract.
//  3. Security: it serves users of the request's trust level, and may be given sensitive data if the request has such.
//  4. Choice: the highest score by [Options].Weights; of equal scores the first id.
//  5. Composition: over a chain, accuracy is that of the weakest step, latencies add up, and the chain is deterministic if
//     each step is.
//
// Each has a [caio.Proof], and the whole is recorded in a trace that [Verify] can recompute. Services that health checks
// found unhealthy are left out. The same services, request and weights always give the same choice.
//
// Route fails with [caio.ErrNoMatch] if no service qualifies; the error's Details say what the nearest ones lack.
func (r *Registry) Route(ctx context.Context, req caio.Request) (*caio.Decision, error) {
	s, err := r.route(ctx, req)
	if err != nil {
		return nil, err
	}
	return s.decision, nil
}

func (r *Registry) route(ctx context.Context, req caio.Request) (*sealed, error) {
	if err := checkRequest(&req); err != nil {
		return nil, err
	}
	r.sweep()
	steps := stepsOf(&req)
	d := draft{
		id: "dec-" + strings.ToLower(rand.Text()), at: time.Now().UTC(), request: &req, rules: rulesFor(req),
		security: secured{authenticationOf(ctx)}, weights: r.weights, picks: make([]pick, len(steps)),
	}
	rules := make([]*contract.Matcher, len(d.rules))
	for i := range rules {
		rules[i] = contract.NewMatcher(d.rules[i])
	}
	for i := range steps {
		var ok bool
		if d.picks[i], ok = r.choose(&d, requirementsOf(steps[i]), rules); !ok {
			err := r.noMatch(&d, i, requirementsOf(steps[i]))
			r.refusals.add(&d, err)
			r.unmatched.Add(1)
			return nil, err
		}
	}
	s, err := seal(&d)
	if err != nil {
		return nil, err
	}
	r.traces.add(s.decision.DecisionID, s.trace)
	r.decided.Add(1)
	return s, nil
}

// A draft is all that a decision consists of, before it is worded.
type draft struct {
	id       string
	at       time.Time
	request  *caio.Request
	rules    []contract.Requirements // of the policies that apply
	security secured
	weights  Weights
	picks    []pick // one per step
}

// A pick is the choice for one step.
type pick struct {
	*entry
	considered int              // services with the capabilities
	candidates []caio.Candidate // the best of those that qualify
}

// choose returns the best service that meets the requirements and the policies. It looks at the services with the
// capabilities from the best on, and no further than one can be among the candidates.
func (r *Registry) choose(d *draft, required contract.Requirements, rules []*contract.Matcher) (p pick, ok bool) {
	list, _ := r.services.having(required.Capabilities)
	all := append([]*contract.Matcher{contract.NewMatcher(required)}, rules...)
	p.considered = list.count
	sum, mark := d.weights.sum(), r.services.mark(required.Capabilities...)
ranked:
	for _, chunk := range list.ranked {
		for i := range chunk {
			at := &chunk[i]
			if len(p.candidates) == maxCandidates && at.total/sum < p.candidates[maxCandidates-1].Score {
				break ranked // a total for one capability is no less than for several
			}
			if at.mark&mark != mark || !at.mayReceive(d.request) {
				continue
			}
			if e := at.entry; e.routable() && e.meets(all) {
				p.add(e, d.weights.candidate(e, required.Capabilities))
			}
		}
	}
	return p, p.entry != nil
}

// add keeps c, which is e, if it is one of the best.
func (p *pick) add(e *entry, c caio.Candidate) {
	if p.candidates == nil {
		p.candidates = make([]caio.Candidate, 0, maxCandidates)
	}
	at := len(p.candidates)
	for at > 0 && before(&c, &p.candidates[at-1]) {
		at--
	}
	if at == maxCandidates {
		return
	}
	if len(p.candidates) < maxCandidates {
		p.candidates = append(p.candidates, caio.Candidate{})
	}
	copy(p.candidates[at+1:], p.candidates[at:])
	p.candidates[at] = c
	if at == 0 {
		p.entry = e
	}
}

func checkRequest(req *caio.Request) error {
	if len(req.Steps) > 0 && len(req.Capabilities)+len(req.Guarantees)+len(req.Constraints) > 0 {
		return invalidRequest("the request has both steps and requirements of its own: move the requirements into the steps")
	}
	if len(req.Steps) > maxSteps {
		return invalidRequest(fmt.Sprintf("%d steps are required, more than %d", len(req.Steps), maxSteps))
	}
	if math.IsNaN(req.TrustLevel) || math.IsInf(req.TrustLevel, 0) {
		return invalidRequest("the trust level is not a number")
	}
	if len(req.Policies) > maxRequirements {
		return invalidRequest(fmt.Sprintf("%d policies are given, more than %d", len(req.Policies), maxRequirements))
	}
	for i, p := range req.Policies {
		if err := checkPolicy(p, fmt.Sprintf("/policies/%d", i)); err != nil {
			return err
		}
	}
	for _, step := range stepsOf(req) {
		if len(step.Capabilities) == 0 {
			return invalidRequest(`the requirements name no capability: send for example {"requirements": ["code_generation"]}`)
		}
		if err := checkSize(step); err != nil {
			return err
		}
	}
	return nil
}

// checkSize bounds the work that one step can ask for.
func checkSize(step caio.Step) error {
	if most := max(len(step.Capabilities), len(step.Guarantees), len(step.Constraints)); most > maxRequirements {
		return invalidRequest(fmt.Sprintf("%d capabilities, guarantees or constraints are required, more than %d", most, maxRequirements))
	}
	return nil
}

// stepsOf returns the steps of a chain, or the one of a request for a single service.
func stepsOf(req *caio.Request) []caio.Step {
	if len(req.Steps) > 0 {
		return req.Steps
	}
	return []caio.Step{wholeStep(*req)}
}

func wholeStep(req caio.Request) caio.Step {
	return caio.Step{Capabilities: req.Capabilities, Guarantees: req.Guarantees, Constraints: req.Constraints}
}

func requirementsOf(step caio.Step) contract.Requirements {
	return contract.Requirements{Capabilities: step.Capabilities, Guarantees: step.Guarantees, Constraints: step.Constraints}
}
