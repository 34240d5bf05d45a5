package contract

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// Requirements are what a caller asks of a service. The zero value is met by every contract.
type Requirements struct {
	// Capabilities are types of capabilities, all of which are required.
	Capabilities []string

	// AnyOf are types of capabilities, at least one of which is required if there are any.
	AnyOf []string

	// Guarantees are bounds that the service must promise at least as strictly: a minimum at least as high, a maximum at
	// least as low. Keys are properties ("p95_latency_ms") or names of guarantees ("accuracy").
	Guarantees map[string]Bound

	// Constraints are members of the contract's constraints, privacy or alignment, by name ("requires_gpu") or with the
	// section in front ("privacy.gdpr_compliant"). false for requires_gpu and requires_internet means that the service must
	// not require it; numbers for max_concurrent_requests, max_context_tokens and rate limits ("rate_limit.per_minute")
	// mean at least that many; everything else must be equal.
	Constraints map[string]any

	// TrustLevel is how far the caller is trusted. It must not be below the service's required_trust_level, a member of its
	// constraints, privacy or alignment. nil is not compared.
	TrustLevel *float64
}

// A Match says whether a contract meets requirements, clause by clause.
type Match struct {
	OK      bool
	Clauses []Clause // one per requirement: capabilities as given, then guarantees and constraints by name, then trust
}

// A Clause is the answer to one requirement. Its JSON form is that of CAIO's proofs.
type Clause struct {
	// Requirement names the requirement, for example "capabilities: code_review" or
	// "guarantees.p95_latency_ms".
	Requirement string `json:"requirement"`
	Met         bool   `json:"met"`
	// Detail compares, for example "promises p95_latency_ms <= 5000, <= 200 was required".
	Detail string `json:"detail,omitempty"`
}

// Match reports whether c meets all of r.
func (c *Contract) Match(r Requirements) Match {
	m := Match{OK: true}
	add := func(requirement string, met bool, detail string) {
		m.OK = m.OK && met
		m.Clauses = append(m.Clauses, Clause{Requirement: requirement, Met: met, Detail: detail})
	}
	for _, typ := range r.Capabilities {
		met := c.offers(typ)
		add("capabilities: "+typ, met, c.offerDetail(met, typ))
	}
	if len(r.AnyOf) > 0 {
		i := slices.IndexFunc(r.AnyOf, c.offers)
		detail := c.offerDetail(false, strings.Join(r.AnyOf, " or "))
		if i >= 0 {
			detail = c.offerDetail(true, r.AnyOf[i])
		}
		add("capabilities: any of "+strings.Join(r.AnyOf, ", "), i >= 0, detail)
	}
	for _, key := range slices.Sorted(maps.Keys(r.Guarantees)) {
		want := r.Guarantees[key]
		met, decisive := c.guarantees(key, &want)
		add("guarantees."+key, met, boundDetail(key, decisive, &want))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Constraints)) {
		d := newDemand(key, r.Constraints[key])
		have := c.term(d.section, d.name)
		met := d.heldBy(have)
		add("constraints."+key, met, demandDetail(&d, met, have))
	}
	if r.TrustLevel != nil {
		needed := c.term(anywhere, trustTerm)
		met := trusted(*r.TrustLevel, needed)
		detail := "trusts callers of level " + number(*r.TrustLevel)
		if !met {
			detail = fmt.Sprintf("requires trust level %s, the caller has %s", needed, number(*r.TrustLevel))
		}
		add("trust_level", met, detail)
	}
	return m
}

func (c *Contract) offers(typ string) bool {
	for i := range c.Capabilities {
		if c.Capabilities[i].Type == typ {
			return true
		}
	}
	return false
}

func (c *Contract) offerDetail(met bool, typ string) string {
	if met {
		return "offers " + typ
	}
	var offered []string
	for _, capability := range c.Capabilities {
		if !slices.Contains(offered, capability.Type) {
			offered = append(offered, capability.Type)
		}
	}
	if len(offered) > 8 {
		offered = append(offered[:8], "…")
	}
	return fmt.Sprintf("does not offer %s, offers %s", tree.Shorten(typ), strings.Join(offered, ", "))
}

// trustTerm says which callers the service serves.
const trustTerm = "required_trust_level"

// trusted reports whether callers of a trust level are served if one is needed.
func trusted(level float64, needed term) bool {
	return needed.kind == absentTerm || needed.kind == numberTerm && needed.number <= level
}

// guarantees reports whether c promises a bound on a property, or by the guarantee of that name, and which guarantee
// decides; nil if none is about it.
//
// A guarantee of a higher quantile of latency implies the lower ones: what 99 % of calls stay below, 95 % do, too.
func (c *Contract) guarantees(key string, want *Bound) (met bool, decisive *Guarantee) {
	byProperty := false
	for i := range c.Guarantees {
		byProperty = byProperty || c.Guarantees[i].Property == key
	}
	for i := range c.Guarantees {
		g := &c.Guarantees[i]
		if byProperty && g.Property != key || !byProperty && g.Name != key {
			continue
		}
		if g.Bound.within(want) {
			return true, g
		}
		if decisive == nil {
			decisive = g
		}
	}
	for rank := latencyRank(key) + 1; rank > 0 && rank < len(latencies); rank++ {
		for i := range c.Guarantees {
			g := &c.Guarantees[i]
			if g.Property != latencies[rank] {
				continue
			}
			if g.Bound.within(want) {
				return true, g
			}
			if decisive == nil {
				decisive = g
			}
		}
	}
	return false, decisive
}

// latencies are the properties of latency; each bounds those before it.
var latencies = [...]string{"p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "max_latency_ms"}

// latencyRank returns the index in latencies, or -1.
func latencyRank(property string) int {
	if !strings.HasSuffix(property, "_latency_ms") {
		return -1
	}
	return slices.Index(latencies[:], property)
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
		if !equalJSON(b.Other[name], value) {
			return false
		}
	}
	return true
}

// boundDetail says what is promised, and what was required if that is more.
func boundDetail(key string, g *Guarantee, want *Bound) string {
	if g == nil {
		return "promises nothing about " + tree.Shorten(key)
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
		if have := g.Bound.Other[name]; unmet == "" && !equalJSON(have, want.Other[name]) {
			unmet = fmt.Sprintf("states %s %s for %s, %s was required", name, describe(have), g.Property, describe(want.Other[name]))
		}
	}
	return cmp.Or(unmet, strings.Join(promised, ", "), "promises "+g.Property)
}

// demandDetail says how a contract stands to a demand.
func demandDetail(d *demand, met bool, have term) string {
	switch {
	case !d.sound() && d.compare == forbids:
		return fmt.Sprintf("%s must be required as true or false, found %s", d.key, d.want)
	case !d.sound():
		return fmt.Sprintf("%s must be required as a number, found %s", d.key, d.want)
	case d.compare == forbids && !met:
		return fmt.Sprintf("%s is true, false was required", d.key)
	case d.compare == forbids:
		return fmt.Sprintf("%s is %t", d.key, have.truth)
	case d.compare == atLeast && have.kind == absentTerm:
		return fmt.Sprintf("%s is not limited", d.key)
	case d.compare == atLeast && !met:
		return fmt.Sprintf("%s is %s, at least %s was required", d.key, have, d.want)
	case have.kind == absentTerm:
		return fmt.Sprintf("does not state %s, %s was required", tree.Shorten(d.key), d.want)
	case !met:
		return fmt.Sprintf("%s is %s, %s was required", d.key, have, d.want)
	}
	return fmt.Sprintf("%s is %s", d.key, have)
}

// equalJSON compares values as JSON does: numbers by value.
func equalJSON(a, b any) bool {
	if x, ok := toFloat(a); ok {
		y, ok := toFloat(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}

// number writes 1000000 and 0.00001 as people do.
func number(f float64) string {
	if size := math.Abs(f); size >= 1e-6 && size < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// describe names a value for people, cut to 40 characters.
func describe(value any) string {
	if f, ok := toFloat(value); ok {
		return number(f)
	}
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		return tree.Shorten(v)
	}
	return tree.Shorten(fmt.Sprint(value))
}
