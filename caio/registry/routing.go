package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const (
	maxRequirements = 64   // capabilities, guarantees and constraints of a request, each
	maxExplained    = 1000 // services that are looked at to explain why none matches
	maxNearest      = 3    // services that the explanation names
)

// Route picks the service that meets req best: among those that meet all of its requirements the one with the highest
// promised accuracy for the required capabilities (with several, the accuracy of its weakest), then the lowest promised
// p95 latency, then the lowest price of a call of 1,000 tokens (currencies are not converted), then the first id. What a
// contract does not promise ranks last. The same services and requirements always give the same choice.
//
// It fails with [caio.ErrNoMatch] if no service meets the requirements; the error's Details say what the nearest ones lack.
func (r *Registry) Route(_ context.Context, req caio.Request) (*caio.Decision, error) {
	trace, err := r.route(req)
	if err != nil {
		return nil, err
	}
	return trace.Decision, nil
}

func (r *Registry) route(req caio.Request) (*caio.Trace, error) {
	if err := checkRequest(req); err != nil {
		return nil, err
	}
	required := requirementsOf(req)
	candidates, sortedFor, missing := r.services.candidates(required.Capabilities)
	best, match := choose(candidates, sortedFor, required)
	if best == nil {
		r.unmatched.Add(1)
		return nil, r.noMatch(candidates, missing, required)
	}
	decision := decide(best, match, len(candidates), required)
	trace := &caio.Trace{
		DecisionID: decision.DecisionID, Timestamp: time.Now().UTC(), Request: requirementsBody(required),
		Decision: decision, Proofs: decision.Proofs, Guarantees: decision.Guarantees,
	}
	r.traces.add(trace)
	r.decided.Add(1)
	return trace, nil
}

func checkRequest(req caio.Request) error {
	if len(req.Capabilities) == 0 {
		return invalidRequest(`the requirements name no capability: send for example {"requirements": ["code_generation"]}`)
	}
	return checkSize(req)
}

// checkSize bounds the work that one request can ask for.
func checkSize(req caio.Request) error {
	if most := max(len(req.Capabilities), len(req.Guarantees), len(req.Constraints)); most > maxRequirements {
		return invalidRequest(fmt.Sprintf("%d capabilities, guarantees or constraints are required, more than %d", most, maxRequirements))
	}
	return nil
}

func requirementsOf(req caio.Request) contract.Requirements {
	return contract.Requirements{Capabilities: req.Capabilities, Guarantees: req.Guarantees, Constraints: req.Constraints}
}

func invalidRequest(message string) *caio.Error {
	return &caio.Error{Op: "route", Status: http.StatusBadRequest, Code: wire.InvalidRequest, Message: message}
}

// choose returns the candidate of the highest rank that meets the requirements; nil if none does. A candidate's rank is at
// most that for the one capability by which the list is sorted, so the search ends, usually soon, where no later candidate
// can go before the best so far.
func choose(candidates []*entry, sortedFor string, required contract.Requirements) (best *entry, match contract.Match) {
	var highest rank
	for _, e := range candidates {
		if best != nil && highest.compare(e.rank(sortedFor)) < 0 {
			break
		}
		r := e.rank(required.Capabilities...)
		if best != nil && highest.compare(r) < 0 || !e.offers(required.Capabilities) {
			continue
		}
		if m := e.contract.Match(required); m.OK {
			best, highest, match = e, r, m
		}
	}
	return best, match
}

func decide(e *entry, match contract.Match, candidates int, required contract.Requirements) *caio.Decision {
	return &caio.Decision{
		DecisionID: "dec-" + strings.ToLower(rand.Text()),
		ServiceID:  e.contract.ID, ServiceName: e.contract.Name,
		Guarantees: e.summary.Guarantees, BaseURL: e.contract.API.BaseURL, Endpoints: e.endpoints,
		Reasons: reasons(e, candidates, required.Capabilities),
		Proofs: []caio.Proof{{
			Type: "contract_matching", Valid: match.OK, Clauses: clauses(match.Clauses, true),
			Statement: fmt.Sprintf("version %s of the contract of %s meets every requirement", e.contract.Version, e.contract.ID),
		}},
	}
}

// reasons says in words why e was chosen, with the figures that decided.
func reasons(e *entry, candidates int, capabilities []string) []string {
	list := []string{"it meets every requirement"}
	if candidates == 1 {
		return append(list, fmt.Sprintf("no other service has %s", strings.Join(capabilities, ", ")))
	}
	accuracy := "no accuracy"
	if promised := e.rank(capabilities...).accuracy; promised > 0 {
		accuracy = "accuracy >= " + figure(promised)
	}
	p95, price := "no p95 latency", "no price"
	if !math.IsInf(e.p95, 1) {
		p95 = "p95 latency <= " + figure(e.p95) + " ms"
	}
	if !math.IsInf(e.price, 1) {
		price = "a price of " + figure(e.price) + " per call of 1,000 tokens"
	}
	return append(list, fmt.Sprintf(
		"of %d candidates it goes first by accuracy, then p95 latency, then price, then id: it promises %s, %s and %s", candidates, accuracy, p95, price))
}

func figure(value float64) string { return strconv.FormatFloat(value, 'g', 6, 64) }

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

// requirementsBody is what traces keep of a request: not its context, which may be large and private.
func requirementsBody(required contract.Requirements) map[string]any {
	guarantees := make(map[string]any, len(required.Guarantees))
	for property, bound := range required.Guarantees {
		guarantees[property] = wire.Bound(bound)
	}
	return map[string]any{"requirements": map[string]any{"capabilities": required.Capabilities, "guarantees": guarantees}, "constraints": required.Constraints}
}

// A nearMiss is a service that meets some of the requirements.
type nearMiss struct {
	ServiceID string        `json:"service_id"`
	Failed    []caio.Clause `json:"failed"`
}

// noMatch explains why no service was chosen: which capabilities nobody has, and what the nearest services lack.
func (r *Registry) noMatch(candidates []*entry, missing []string, required contract.Requirements) error {
	e := &caio.Error{Op: "route", Status: http.StatusBadRequest, Code: wire.NoMatchingService}
	if len(missing) > 0 {
		offered := r.services.capabilities()
		e.Message = fmt.Sprintf("no matching service: none has the capability %s; on offer: %s",
			wire.Clip(strings.Join(missing, ", "), 200), cmp.Or(wire.Clip(strings.Join(offered, ", "), 300), "nothing"))
		e.Details = map[string]any{"missing_capabilities": missing, "available_capabilities": offered[:min(len(offered), 50)]}
		return e
	}
	nearest := nearMisses(candidates, required)
	first := nearest[0].Failed[0]
	e.Message = fmt.Sprintf("no matching service: of %d candidates none meets all requirements; the nearest, %s, fails %s: %s",
		len(candidates), nearest[0].ServiceID, first.Requirement, first.Detail)
	e.Details = map[string]any{"candidates": len(candidates), "nearest": nearest}
	return e
}

// nearMisses returns the candidates that fail the fewest clauses, with those clauses.
func nearMisses(candidates []*entry, required contract.Requirements) []nearMiss {
	misses := make([]nearMiss, 0, min(len(candidates), maxExplained))
	for _, e := range candidates[:cap(misses)] {
		misses = append(misses, nearMiss{e.contract.ID, clauses(e.contract.Match(required).Clauses, false)})
	}
	slices.SortFunc(misses, func(a, b nearMiss) int {
		return cmp.Or(cmp.Compare(len(a.Failed), len(b.Failed)), strings.Compare(a.ServiceID, b.ServiceID))
	})
	return misses[:min(len(misses), maxNearest)]
}
