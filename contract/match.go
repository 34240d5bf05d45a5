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

	// Guarantees are bounds that the service must promise at least as strictly: a minimum at least as high, a maximum at
	// least as low. Keys are properties ("p95_latency_ms") or names of guarantees ("accuracy").
	Guarantees map[string]Bound

	// Constraints are members of the contract's constraints, privacy or alignment, by name ("requires_gpu") or with the
	// section in front ("privacy.gdpr_compliant"). false for requires_gpu and requires_internet means that the service must
	// not require it; numbers for max_concurrent_requests, max_context_tokens and rate limits ("rate_limit.per_minute")
	// mean at least that many; everything else must be equal.
	Constraints map[string]any
}

// A Match says whether a contract meets requirements, clause by clause.
type Match struct {
	OK      bool
	Clauses []Clause // one per requirement: capabilities as given, then guarantees and constraints by name
}

// A Clause is the answer to one requirement.
type Clause struct {
	Requirement string // for example "capabilities: code_review" or "guarantees.p95_latency_ms"
	Met         bool
	Detail      string // for example "promises p95_latency_ms <= 5000, <= 200 was required"
}

// Match reports whether c meets all of r.
func (c *Contract) Match(r Requirements) Match {
	m := Match{OK: true}
	add := func(requirement string, met bool, detail string) {
		m.OK = m.OK && met
		m.Clauses = append(m.Clauses, Clause{Requirement: requirement, Met: met, Detail: detail})
	}
	for _, typ := range r.Capabilities {
		met, detail := c.matchCapability(typ)
		add("capabilities: "+typ, met, detail)
	}
	for _, key := range slices.Sorted(maps.Keys(r.Guarantees)) {
		met, detail := c.matchGuarantee(key, r.Guarantees[key])
		add("guarantees."+key, met, detail)
	}
	for _, key := range slices.Sorted(maps.Keys(r.Constraints)) {
		met, detail := c.matchConstraint(key, r.Constraints[key])
		add("constraints."+key, met, detail)
	}
	return m
}

// Unmet returns the clauses that do not hold.
func (m Match) Unmet() []Clause {
	return slices.DeleteFunc(slices.Clone(m.Clauses), func(clause Clause) bool { return clause.Met })
}

func (c *Contract) matchCapability(typ string) (met bool, detail string) {
	if _, ok := c.Capability(typ); ok {
		return true, "offers " + typ
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
	return false, fmt.Sprintf("does not offer %s, offers %s", tree.Shorten(typ), strings.Join(offered, ", "))
}

// matchGuarantee looks for a guarantee of that property, or of that name, whose bound is at least as strict.
func (c *Contract) matchGuarantee(key string, want Bound) (met bool, detail string) {
	var candidates []Guarantee
	for _, g := range c.Guarantees {
		if g.Property == key {
			candidates = append(candidates, g)
		}
	}
	if candidates == nil {
		for _, g := range c.Guarantees {
			if g.Name == key {
				candidates = append(candidates, g)
			}
		}
	}
	candidates = append(candidates, c.implied(key)...)
	if len(candidates) == 0 {
		return false, "promises nothing about " + tree.Shorten(key)
	}
	for _, g := range candidates {
		if met, detail := matchBound(g, want); met {
			return true, detail
		}
	}
	_, detail = matchBound(candidates[0], want)
	return false, detail
}

// implied returns guarantees of higher latency quantiles: what 99 % of calls stay below, 95 % do, too.
func (c *Contract) implied(property string) []Guarantee {
	order := []string{"p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "max_latency_ms"}
	i := slices.Index(order, property)
	if i < 0 {
		return nil
	}
	var list []Guarantee
	for _, higher := range order[i+1:] {
		for _, g := range c.Guarantees {
			if g.Property == higher {
				list = append(list, g)
			}
		}
	}
	return list
}

// matchBound compares a promise with a bound, member by member. The detail is about the first that is not met.
func matchBound(g Guarantee, want Bound) (met bool, detail string) {
	var promised []string
	compare := func(have, limit *float64, sign string, enough func(have, limit float64) bool) string {
		if limit == nil {
			return ""
		}
		required := fmt.Sprintf("%s %s was required", sign, number(*limit))
		if have == nil {
			return fmt.Sprintf("promises no bound %s on %s, %s", sign, g.Property, required)
		}
		promised = append(promised, fmt.Sprintf("promises %s %s %s", g.Property, sign, number(*have)))
		if !enough(*have, *limit) {
			return promised[len(promised)-1] + ", " + required
		}
		return ""
	}
	atLeast := func(have, limit float64) bool { return have >= limit }
	atMost := func(have, limit float64) bool { return have <= limit }
	unmet := cmp.Or(compare(g.Bound.Min, want.Min, ">=", atLeast), compare(g.Bound.Max, want.Max, "<=", atMost))
	if unmet == "" && isFalse(want.SeedRequired) && !isFalse(g.Bound.SeedRequired) {
		unmet = fmt.Sprintf("%s needs a seed, or does not say; none was required", g.Property)
	}
	for _, name := range slices.Sorted(maps.Keys(want.Other)) {
		if have := g.Bound.Other[name]; unmet == "" && !equalJSON(have, want.Other[name]) {
			unmet = fmt.Sprintf("states %s %s for %s, %s was required", name, describe(have), g.Property, describe(want.Other[name]))
		}
	}
	if unmet != "" {
		return false, unmet
	}
	return true, cmp.Or(strings.Join(promised, ", "), "promises "+g.Property)
}

// matchConstraint compares one member of constraints, privacy or alignment.
func (c *Contract) matchConstraint(key string, want any) (met bool, detail string) {
	have, known := c.term(key)
	name := key[strings.LastIndexByte(key, '.')+1:]
	switch name {
	case "requires_gpu", "requires_internet":
		required, ok := want.(bool)
		if !ok {
			return false, fmt.Sprintf("%s must be required as true or false, found %s", key, describe(want))
		}
		does := have == true
		if does && !required {
			return false, fmt.Sprintf("%s is true, false was required", key)
		}
		return true, fmt.Sprintf("%s is %t", key, does)
	case "max_concurrent_requests", "max_context_tokens", "max_tokens", "per_second", "per_minute", "per_hour", "per_day":
		limit, ok := toFloat(want)
		if !ok {
			return false, fmt.Sprintf("%s must be required as a number, found %s", key, describe(want))
		}
		if !known {
			return true, fmt.Sprintf("%s is not limited", key)
		}
		admitted, _ := toFloat(have)
		if admitted < limit {
			return false, fmt.Sprintf("%s is %s, at least %s was required", key, describe(have), number(limit))
		}
		return true, fmt.Sprintf("%s is %s", key, describe(have))
	}
	switch {
	case !known:
		return false, fmt.Sprintf("does not state %s, %s was required", tree.Shorten(key), describe(want))
	case !equalJSON(have, want):
		return false, fmt.Sprintf("%s is %s, %s was required", key, describe(have), describe(want))
	}
	return true, fmt.Sprintf("%s is %s", key, describe(have))
}

// term returns a member of constraints, privacy or alignment by its name, with or without the section in front.
func (c *Contract) term(key string) (value any, known bool) {
	section, name, qualified := strings.Cut(key, ".")
	switch {
	case qualified && section == "constraints":
		return lookup(c.constraintTerms(), name)
	case qualified && section == "privacy":
		return lookup(c.privacyTerms(), name)
	case qualified && section == "alignment":
		return lookup(c.alignmentTerms(), name)
	}
	for _, terms := range []map[string]any{c.constraintTerms(), c.privacyTerms(), c.alignmentTerms()} {
		if value, known := lookup(terms, key); known {
			return value, true
		}
	}
	return nil, false
}

func lookup(terms map[string]any, name string) (value any, known bool) {
	value, known = terms[name]
	return value, known
}

func (c *Contract) constraintTerms() map[string]any {
	terms := maps.Clone(c.Constraints.Other)
	if terms == nil {
		terms = map[string]any{}
	}
	r := c.Constraints.RateLimit
	for name, limit := range map[string]int{
		"max_concurrent_requests": c.Constraints.MaxConcurrentRequests,
		"max_context_tokens":      c.Constraints.MaxContextTokens, "context_length.max_tokens": c.Constraints.MaxContextTokens,
		"rate_limit.per_second": r.PerSecond, "rate_limit.per_minute": r.PerMinute, "rate_limit.per_hour": r.PerHour, "rate_limit.per_day": r.PerDay,
	} {
		if limit > 0 {
			terms[name] = limit
		}
	}
	putBool(terms, "requires_internet", c.Constraints.RequiresInternet)
	putBool(terms, "requires_gpu", c.Constraints.RequiresGPU)
	return terms
}

func (c *Contract) privacyTerms() map[string]any {
	if c.Privacy == nil {
		return nil
	}
	terms := map[string]any{}
	maps.Copy(terms, c.Privacy.Other)
	putText(terms, "data_locality", c.Privacy.DataLocality)
	putText(terms, "encryption_type", c.Privacy.EncryptionType)
	putText(terms, "data_retention", c.Privacy.DataRetention)
	putBool(terms, "encryption", c.Privacy.Encryption)
	putBool(terms, "gdpr_compliant", c.Privacy.GDPRCompliant)
	putBool(terms, "hipaa_compliant", c.Privacy.HIPAACompliant)
	return terms
}

func (c *Contract) alignmentTerms() map[string]any {
	if c.Alignment == nil {
		return nil
	}
	terms := map[string]any{}
	maps.Copy(terms, c.Alignment.Other)
	putText(terms, "safety_level", c.Alignment.SafetyLevel)
	putBool(terms, "content_filtering", c.Alignment.ContentFiltering)
	putBool(terms, "bias_mitigation", c.Alignment.BiasMitigation)
	putBool(terms, "toxicity_filtering", c.Alignment.ToxicityFiltering)
	return terms
}

func putBool(terms map[string]any, name string, value *bool) {
	if value != nil {
		terms[name] = *value
	}
}

func putText(terms map[string]any, name, value string) {
	if value != "" {
		terms[name] = value
	}
}

// equalJSON compares values as JSON does: all numbers by value.
func equalJSON(a, b any) bool {
	if x, ok := toFloat(a); ok {
		y, ok := toFloat(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}

func toFloat(value any) (float64, bool) {
	switch v := reflect.ValueOf(value); {
	case !v.IsValid():
		return 0, false
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), !math.IsNaN(v.Float())
	}
	return 0, false
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// describe names a term for people, cut to 40 characters.
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
