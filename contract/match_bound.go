package contract

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
	"github.com/smarthaus/caio-bridge-go/internal/jsonvalue"
)

// A boundClause requires a bound on a property, or of the guarantee with that name.
type boundClause struct {
	key      string
	stronger []string // properties of latency whose bounds imply those of key
	want     Bound
}

func (k *boundClause) metBy(c *Contract) bool {
	g := k.decisive(c)
	return g != nil && g.Bound.within(&k.want)
}

func (k *boundClause) requirement() string { return "guarantees." + k.key }

// decisive returns the first guarantee that meets the clause, else the first on its subject, else
// nil. Guarantees of the property come before those of the name, and then those of higher quantiles
// of latency, which imply the lower ones: what 99 % of calls stay below, 95 % do, too.
func (k *boundClause) decisive(c *Contract) *Guarantee {
	byProperty := false
	for i := range c.Guarantees {
		byProperty = byProperty || c.Guarantees[i].Property == k.key
	}
	var first *Guarantee
	decides := func(g *Guarantee) bool {
		if first == nil {
			first = g
		}
		return g.Bound.within(&k.want)
	}
	for i := range c.Guarantees {
		g := &c.Guarantees[i]
		if (g.Property == k.key || !byProperty && g.Name == k.key) && decides(g) {
			return g
		}
	}
	for _, property := range k.stronger {
		for i := range c.Guarantees {
			if g := &c.Guarantees[i]; g.Property == property && decides(g) {
				return g
			}
		}
	}
	return first
}

// latencies are the properties of latency; each bounds those before it.
var latencies = [...]string{"p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "max_latency_ms"}

// strongerLatencies returns the properties that bound a property of latency, nil for other
// properties.
func strongerLatencies(property string) []string {
	if i := slices.Index(latencies[:], property); i >= 0 {
		return latencies[i+1:]
	}
	return nil
}

// within reports whether a promised bound is at least as strict as want.
func (b *Bound) within(want *Bound) bool {
	switch {
	case want.Min != nil && (b.Min == nil || *b.Min < *want.Min),
		want.Max != nil && (b.Max == nil || *b.Max > *want.Max),
		isFalse(want.SeedRequired) && !isFalse(b.SeedRequired):
		return false
	}
	for name, value := range want.Other {
		if !jsonvalue.Equal(b.Other[name], value) {
			return false
		}
	}
	return true
}

// detail words the promise, and the required bound if the promise is weaker.
func (k *boundClause) detail(c *Contract, _ bool) string {
	g, want := k.decisive(c), &k.want
	if g == nil {
		return "promises nothing about " + tree.Shorten(k.key)
	}
	var promised []string
	compare := func(have, limit *float64, sign string, enough bool) string {
		switch {
		case limit == nil:
			return ""
		case have == nil:
			return fmt.Sprintf("promises no bound %s on %s, %s %s was required", sign, g.Property, sign, number(*limit))
		case !enough:
			return fmt.Sprintf("promises %s %s %s, %s %s was required", g.Property, sign, number(*have), sign, number(*limit))
		}
		promised = append(promised, fmt.Sprintf("promises %s %s %s", g.Property, sign, number(*have)))
		return ""
	}
	unmet := cmp.Or(
		compare(g.Bound.Min, want.Min, ">=", g.Bound.within(&Bound{Min: want.Min})),
		compare(g.Bound.Max, want.Max, "<=", g.Bound.within(&Bound{Max: want.Max})))
	if unmet == "" && isFalse(want.SeedRequired) && !isFalse(g.Bound.SeedRequired) {
		unmet = fmt.Sprintf("%s needs a seed, or does not say; none was required", g.Property)
	}
	for _, name := range slices.Sorted(maps.Keys(want.Other)) {
		if have := g.Bound.Other[name]; unmet == "" && !jsonvalue.Equal(have, want.Other[name]) {
			unmet = fmt.Sprintf("states %s %s for %s, %s was required",
				name, describe(have), g.Property, describe(want.Other[name]))
		}
	}
	return cmp.Or(unmet, strings.Join(promised, ", "), "promises "+g.Property)
}
