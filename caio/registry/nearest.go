package registry

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const (
	maxNearest = 3       // services that an explanation names
	maxNames   = 50      // capabilities that it lists
	maxChecks  = 100_000 // clauses that are held against services for it, some 5 ms
)

// A nearMiss is a service that meets some of the requirements.
type nearMiss struct {
	ServiceID string            `json:"service_id"`
	Failed    []contract.Clause `json:"failed"`
}

// noMatch explains why no service qualifies for a step: which capabilities nobody has, and what the nearest services lack.
func (r *Registry) noMatch(d *draft, step int, required contract.Requirements) *caio.Error {
	e := &caio.Error{Op: "route", Status: http.StatusBadRequest, Code: wire.NoMatchingService}
	in := ""
	if len(d.request.Steps) > 0 {
		in = fmt.Sprintf(" for step %d", step+1)
	}
	candidates, missing := r.services.having(required.Capabilities)
	if len(missing) > 0 {
		offered := r.services.capabilities(maxNames)
		e.Message = fmt.Sprintf("no matching service%s: none has the capability %s; on offer: %s", in,
			wire.Clip(strings.Join(missing, ", "), 200), cmp.Or(wire.Clip(strings.Join(offered, ", "), 300), "nothing"))
		e.Details = map[string]any{"missing_capabilities": missing, "available_capabilities": offered}
		return e
	}
	nearest, examined := misses(candidates, d, required, maxNearest)
	if len(nearest) == 0 { // one came meanwhile
		e.Message = fmt.Sprintf("no matching service%s; services are changing, try again", in)
		return e
	}
	first := nearest[0].Failed[0]
	e.Message = fmt.Sprintf("no matching service%s: of %d candidates none meets all requirements; the nearest, %s, fails %s: %s", in,
		candidates.count, nearest[0].ServiceID, first.Requirement, first.Detail)
	e.Details = map[string]any{"candidates": candidates.count, "examined": examined, "nearest": nearest}
	return e
}

// misses says what the services of the list fail that are nearest to what is required, and how many it looked at.
func misses(list postings, d *draft, required contract.Requirements, most int) (worded []nearMiss, examined int) {
	clauses := clausesOf(required, d.rules)
	examined = min(list.count, maxChecks/len(clauses))
	return wordMisses(nearest(list.ranked.first(examined), clauses, d.request, most), d, required), examined
}

// A clauseMatcher evaluates one requirement.
type clauseMatcher struct {
	*contract.Matcher
	property string // of a guarantee
	bound    contract.Bound
}

// clausesOf takes requirements and rules apart.
func clausesOf(required contract.Requirements, rules []contract.Requirements) (list []clauseMatcher) {
	for _, r := range append([]contract.Requirements{required}, rules...) {
		for _, capability := range r.Capabilities {
			list = append(list, clauseMatcher{Matcher: contract.NewMatcher(contract.Requirements{Capabilities: []string{capability}})})
		}
		for _, property := range slices.Sorted(maps.Keys(r.Guarantees)) {
			one := map[string]contract.Bound{property: r.Guarantees[property]}
			list = append(list, clauseMatcher{contract.NewMatcher(contract.Requirements{Guarantees: one}), property, r.Guarantees[property]})
		}
		for field, value := range r.Constraints {
			list = append(list, clauseMatcher{Matcher: contract.NewMatcher(contract.Requirements{Constraints: map[string]any{field: value}})})
		}
	}
	return list
}

// A miss is a service with how much it fails.
type miss struct {
	*entry
	failed int     // clauses
	gap    float64 // from the bounds that it misses, in parts of them
}

func (m miss) compare(other miss) int {
	if m.failed != other.failed {
		return m.failed - other.failed
	}
	return cmp.Or(cmp.Compare(m.gap, other.gap), strings.Compare(m.contract.ID, other.contract.ID))
}

// nearest returns the services that fail the fewest clauses, of those with equally many the ones that are the least away from
// the bounds they miss; at most so many.
func nearest(list iter.Seq[*posting], clauses []clauseMatcher, req *caio.Request, most int) []miss {
	best := make([]miss, 0, most+1)
	for at := range list {
		one := miss{entry: at.entry}
		one.failed = one.failsBeside(req)
		for j := 0; j < len(clauses) && !(len(best) == most && one.failed > best[most-1].failed); j++ {
			if c := &clauses[j]; !c.Matches(one.contract) {
				one.failed++
				one.gap += c.gap(one.contract)
			}
		}
		if one.failed == 0 || len(best) == most && best[most-1].compare(one) <= 0 {
			continue
		}
		place, _ := slices.BinarySearchFunc(best, one, miss.compare)
		best = slices.Insert(best, place, one)[:min(len(best)+1, most)]
	}
	return best
}

// failsBeside counts what the service fails beside its contract's clauses.
func (e *entry) failsBeside(req *caio.Request) (failed int) {
	for _, fails := range [...]bool{!e.routable(), e.trust > req.TrustLevel, req.Sensitive && !e.confidential} {
		if fails {
			failed++
		}
	}
	return failed
}

// gap returns how far the contract is from the bound that it misses, in parts of it.
func (c *clauseMatcher) gap(ct *contract.Contract) float64 {
	if c.property == "" {
		return 0
	}
	least := 1e9 // for what it does not promise at all
	for i := range ct.Guarantees {
		g := &ct.Guarantees[i]
		if g.Property != c.property && g.Name != c.property {
			continue
		}
		if want := c.bound.Max; want != nil && g.Bound.Max != nil {
			least = min(least, (*g.Bound.Max-*want)/max(math.Abs(*want), 1e-9))
		}
		if want := c.bound.Min; want != nil && g.Bound.Min != nil {
			least = min(least, (*want-*g.Bound.Min)/max(math.Abs(*want), 1e-9))
		}
	}
	return max(0, least)
}

// wordMisses explains each miss. It skips services that meet all requirements by now.
func wordMisses(list []miss, d *draft, required contract.Requirements) []nearMiss {
	var worded []nearMiss
	for _, m := range list {
		if failed := m.failures(d, required); len(failed) > 0 {
			worded = append(worded, nearMiss{m.contract.ID, failed})
		}
	}
	return worded
}

// failures words every clause that the service fails.
func (e *entry) failures(d *draft, required contract.Requirements) []contract.Clause {
	failed := unmet(e.contract.Match(required))
	for _, rule := range d.rules {
		for _, c := range unmet(e.contract.Match(rule)) {
			failed = append(failed, contract.Clause{Requirement: "policies." + c.Requirement, Detail: c.Detail})
		}
	}
	for _, c := range securityClauses(e.contract, d.request) {
		if !c.Met {
			failed = append(failed, contract.Clause{Requirement: "security." + c.Requirement, Detail: c.Detail})
		}
	}
	if !e.routable() {
		failed = append(failed, contract.Clause{Requirement: "status", Detail: "it does not answer health checks"})
	}
	return failed
}

// unmet returns the clauses that the contract does not meet.
func unmet(m contract.Match) []contract.Clause {
	return slices.DeleteFunc(m.Clauses, func(c contract.Clause) bool { return c.Met })
}
