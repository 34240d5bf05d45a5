package registry

import (
	"cmp"
	"fmt"
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
	maxNearest   = 3   // services that an explanation names
	maxExplained = 300 // services that are looked at for it
)

// A nearMiss is a service that meets some of what is required.
type nearMiss struct {
	ServiceID string        `json:"service_id"`
	Failed    []caio.Clause `json:"failed"`

	gap float64 // from the bounds that it misses, in parts of them
}

// noMatch explains why no service qualifies for a step: which capabilities nobody has, and what the nearest services lack.
func (r *Registry) noMatch(d *draft, step int, required contract.Requirements) error {
	e := &caio.Error{Op: "route", Status: http.StatusBadRequest, Code: wire.NoMatchingService}
	in := ""
	if len(d.request.Steps) > 0 {
		in = fmt.Sprintf(" for step %d", step+1)
	}
	f := r.services.find(required)
	list, missing := f.offering, f.missing
	if len(missing) > 0 || len(list) == 0 {
		offered := r.services.capabilities()
		e.Message = fmt.Sprintf("no matching service%s: none has the capability %s; on offer: %s", in,
			wire.Clip(strings.Join(missing, ", "), 200), cmp.Or(wire.Clip(strings.Join(offered, ", "), 300), "nothing"))
		e.Details = map[string]any{"missing_capabilities": missing, "available_capabilities": offered[:min(len(offered), 50)]}
		return e
	}
	nearest := r.nearest(d, required)
	if len(nearest) == 0 { // one came meanwhile
		e.Message = fmt.Sprintf("no matching service%s; services are changing, try again", in)
		return e
	}
	first := nearest[0].Failed[0]
	e.Message = fmt.Sprintf("no matching service%s: of %d candidates none meets all requirements; the nearest, %s, fails %s: %s", in,
		len(list), nearest[0].ServiceID, first.Requirement, first.Detail)
	e.Details = map[string]any{"candidates": len(list), "nearest": nearest}
	return e
}

// nearest returns the candidates that fail the fewest clauses, of those with equally many the ones that are the least away
// from the bounds they miss. Of many candidates only the best are looked at.
func (r *Registry) nearest(d *draft, required contract.Requirements) []nearMiss {
	compare := func(a, b nearMiss) int {
		return cmp.Or(cmp.Compare(len(a.Failed), len(b.Failed)), cmp.Compare(a.gap, b.gap), strings.Compare(a.ServiceID, b.ServiceID))
	}
	list := r.services.ranked(required.Capabilities)
	var nearest []nearMiss
	for _, p := range list[:min(len(list), maxExplained)] {
		one := nearMiss{ServiceID: p.contract.ID, Failed: p.entry.failures(d, required), gap: gap(p.contract, required)}
		for _, rule := range d.rules {
			one.gap += gap(p.contract, rule)
		}
		if at, _ := slices.BinarySearchFunc(nearest, one, compare); at < maxNearest && len(one.Failed) > 0 {
			nearest = slices.Insert(nearest, at, one)[:min(len(nearest)+1, maxNearest)]
		}
	}
	return nearest
}

// gap returns how far the contract is from the bounds, in parts of them.
func gap(ct *contract.Contract, clause contract.Requirements) float64 {
	total := 0.0
	for _, key := range slices.Sorted(maps.Keys(clause.Guarantees)) {
		want := clause.Guarantees[key]
		least := 1e9 // for what it does not promise at all
		for _, g := range ct.Guarantees {
			if g.Property != key && g.Name != key {
				continue
			}
			if want.Max != nil && g.Bound.Max != nil {
				least = min(least, (*g.Bound.Max-*want.Max)/max(math.Abs(*want.Max), 1e-9))
			}
			if want.Min != nil && g.Bound.Min != nil {
				least = min(least, (*want.Min-*g.Bound.Min)/max(math.Abs(*want.Min), 1e-9))
			}
		}
		total += max(0, least)
	}
	return total
}

// failures words every clause that the service fails.
func (e *entry) failures(d *draft, required contract.Requirements) []caio.Clause {
	failed := clauses(e.contract.Match(required).Clauses, false)
	for _, rule := range d.rules {
		for _, c := range clauses(e.contract.Match(rule).Clauses, false) {
			failed = append(failed, caio.Clause{Requirement: "policies." + c.Requirement, Detail: c.Detail})
		}
	}
	for _, c := range securityClauses(e.contract, d.request) {
		if !c.Met {
			failed = append(failed, caio.Clause{Requirement: "security." + c.Requirement, Detail: c.Detail})
		}
	}
	if !e.routable() {
		failed = append(failed, caio.Clause{Requirement: "status", Detail: "it does not answer health checks"})
	}
	return failed
}
