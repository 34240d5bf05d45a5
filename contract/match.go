package contract

import (
	"maps"
	"slices"
)

// Requirements are demands of a caller on a service. Every contract meets the zero value.
type Requirements struct {
	// Capabilities are types of capabilities, all of which are required.
	Capabilities []string

	// AnyOf are types of capabilities, at least one of which is required if there are any.
	AnyOf []string

	// Guarantees are bounds that the service must promise at least as strictly: a minimum at least as
	// high, a maximum at least as low. Keys are properties ("p95_latency_ms") or names of guarantees
	// ("accuracy").
	Guarantees map[string]Bound

	// Constraints are members of the contract's constraints, privacy or alignment, by name
	// ("requires_gpu") or with the section in front ("privacy.gdpr_compliant"). false for requires_gpu
	// and requires_internet means that the service must not require it; numbers for
	// max_concurrent_requests, max_context_tokens and rate limits ("rate_limit.per_minute") mean at
	// least that many; everything else must be equal.
	Constraints map[string]any

	// TrustLevel is how far the caller is trusted. It must not be below the service's
	// required_trust_level, a member of its constraints, privacy or alignment. nil is not compared.
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

// Match reports whether c meets all of r, and words the answer to each requirement.
func (c *Contract) Match(r Requirements) Match {
	m := Match{OK: true}
	for _, one := range NewMatcher(r).clauses {
		met := one.metBy(c)
		m.OK = m.OK && met
		m.Clauses = append(m.Clauses, Clause{Requirement: one.requirement(), Met: met, Detail: one.detail(c, met)})
	}
	return m
}

// A Matcher is [Requirements] prepared for many contracts. It answers as [Contract.Match] does, but
// words nothing, which is much faster. It is safe for concurrent use.
type Matcher struct {
	clauses []clause
}

// A clause is one requirement. metBy alone decides; the other methods word the answer.
type clause interface {
	metBy(c *Contract) bool
	requirement() string
	detail(c *Contract, met bool) string
}

// NewMatcher prepares r. The caller must not modify the values of r afterwards.
func NewMatcher(r Requirements) *Matcher {
	m := new(Matcher)
	for _, capability := range r.Capabilities {
		m.clauses = append(m.clauses, capabilityClause(capability))
	}
	if len(r.AnyOf) > 0 {
		m.clauses = append(m.clauses, anyOfClause(r.AnyOf))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Guarantees)) {
		m.clauses = append(m.clauses, &boundClause{key: key, stronger: strongerLatencies(key), want: r.Guarantees[key]})
	}
	for _, key := range slices.Sorted(maps.Keys(r.Constraints)) {
		m.clauses = append(m.clauses, newConstraintClause(key, r.Constraints[key]))
	}
	if r.TrustLevel != nil {
		m.clauses = append(m.clauses, trustClause(*r.TrustLevel))
	}
	return m
}

// Matches reports whether c meets all requirements.
func (m *Matcher) Matches(c *Contract) bool {
	for _, one := range m.clauses {
		if !one.metBy(c) {
			return false
		}
	}
	return true
}
