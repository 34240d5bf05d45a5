package contract_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract"
)

const promises = plain + `
guarantees:
  accuracy: 0.9
  latency: {p95: 5000, p99: 9000}
  determinism: {seed_required: true}
  energy: {property: energy, bound: {type: equality}}
constraints: {max_concurrent_requests: 10, rate_limit: {per_minute: 60}, context_length: {max_tokens: 4096}, requires_gpu: true, zone: eu}
privacy: {gdpr_compliant: true, data_locality: local}
alignment: {safety_level: high}
`

func TestMatchSaysClauseByClause(t *testing.T) {
	t.Parallel()
	c := mustParse(t, promises)
	required := contract.Requirements{
		Capabilities: []string{"chat", "code_review"},
		Guarantees: map[string]contract.Bound{
			"accuracy":            {Min: new(0.95)},
			"p95_latency_ms":      {Max: new(200.0)},
			"p50_latency_ms":      {Max: new(5000.0)},
			"latency":             {Max: new(9000.0)},
			"throughput":          {Min: new(5.0)},
			"determinism":         {SeedRequired: new(false)},
			"requests_per_second": {Min: new(1.0)},
			"energy":              {Other: map[string]any{"type": "equality"}},
			"p99_latency_ms":      {Min: new(1.0)},
		},
		Constraints: map[string]any{
			"requires_gpu": false, "requires_internet": false, "max_concurrent_requests": 20, "rate_limit.per_minute": 60, "max_context_tokens": 4096.0,
			"rate_limit.per_hour": 100, "gdpr_compliant": true, "privacy.data_locality": "cloud", "safety_level": "high", "zone": "eu", "colour": "red",
		},
	}
	got := c.Match(required)
	want := contract.Match{Clauses: []contract.Clause{
		{Requirement: "capabilities: chat", Met: true, Detail: "offers chat"},
		{Requirement: "capabilities: code_review", Detail: "does not offer code_review, offers chat"},
		{Requirement: "guarantees.accuracy", Detail: "promises classification_accuracy >= 0.9, >= 0.95 was required"},
		{Requirement: "guarantees.determinism", Detail: "deterministic_output needs a seed, or does not say; none was required"},
		{Requirement: "guarantees.energy", Met: true, Detail: "promises energy"},
		{Requirement: "guarantees.latency", Met: true, Detail: "promises p95_latency_ms <= 5000"},
		{Requirement: "guarantees.p50_latency_ms", Met: true, Detail: "promises p95_latency_ms <= 5000"},
		{Requirement: "guarantees.p95_latency_ms", Detail: "promises p95_latency_ms <= 5000, <= 200 was required"},
		{Requirement: "guarantees.p99_latency_ms", Detail: "promises no bound >= on p99_latency_ms, >= 1 was required"},
		{Requirement: "guarantees.requests_per_second", Detail: "promises nothing about requests_per_second"},
		{Requirement: "guarantees.throughput", Detail: "promises nothing about throughput"},
		{Requirement: "constraints.colour", Detail: "does not state colour, red was required"},
		{Requirement: "constraints.gdpr_compliant", Met: true, Detail: "gdpr_compliant is true"},
		{Requirement: "constraints.max_concurrent_requests", Detail: "max_concurrent_requests is 10, at least 20 was required"},
		{Requirement: "constraints.max_context_tokens", Met: true, Detail: "max_context_tokens is 4096"},
		{Requirement: "constraints.privacy.data_locality", Detail: "privacy.data_locality is local, cloud was required"},
		{Requirement: "constraints.rate_limit.per_hour", Met: true, Detail: "rate_limit.per_hour is not limited"},
		{Requirement: "constraints.rate_limit.per_minute", Met: true, Detail: "rate_limit.per_minute is 60"},
		{Requirement: "constraints.requires_gpu", Detail: "requires_gpu is true, false was required"},
		{Requirement: "constraints.requires_internet", Met: true, Detail: "requires_internet is false"},
		{Requirement: "constraints.safety_level", Met: true, Detail: "safety_level is high"},
		{Requirement: "constraints.zone", Met: true, Detail: "zone is eu"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("match (-want +got):\n%s", diff)
	}
	met := map[string]bool{}
	for _, clause := range want.Clauses {
		met[clause.Requirement] = clause.Met
	}
	for _, one := range eachAlone(required) {
		if clause := c.Match(one).Clauses[0]; contract.NewMatcher(one).Matches(c) != met[clause.Requirement] {
			t.Errorf("a query for %s is met: %t", clause.Requirement, !met[clause.Requirement])
		}
	}
}

func eachAlone(r contract.Requirements) (list []contract.Requirements) {
	for _, typ := range r.Capabilities {
		list = append(list, contract.Requirements{Capabilities: []string{typ}})
	}
	for key, bound := range r.Guarantees {
		list = append(list, contract.Requirements{Guarantees: map[string]contract.Bound{key: bound}})
	}
	for key, value := range r.Constraints {
		list = append(list, contract.Requirements{Constraints: map[string]any{key: value}})
	}
	return list
}

func TestMatchOfNothingIsMet(t *testing.T) {
	t.Parallel()
	if got := mustParse(t, plain).Match(contract.Requirements{}); !got.OK || len(got.Clauses) > 0 {
		t.Errorf("%+v", got)
	}
	if got := mustParse(t, promises).Match(contract.Requirements{Capabilities: []string{"chat"}, Guarantees: map[string]contract.Bound{"p95_latency_ms": {Max: new(5000.0)}}}); !got.OK {
		t.Errorf("%+v", got)
	}
}

// Requirements come from strangers, too.
func TestMatchTakesAnyRequirement(t *testing.T) {
	t.Parallel()
	c := mustParse(t, promises)
	for _, value := range []any{nil, []any{1}, map[string]any{"a": 1}, "x", 1, true, 1e300} {
		for _, key := range []string{"requires_gpu", "max_concurrent_requests", "zone", "privacy.", ".", "", "rate_limit", "constraints.rate_limit.per_minute"} {
			got := c.Match(contract.Requirements{Constraints: map[string]any{key: value}})
			if met := contract.NewMatcher(contract.Requirements{Constraints: map[string]any{key: value}}).Matches(c); met != got.OK {
				t.Errorf("a query for %s: %v is met: %t", key, value, met)
			}
			if len(got.Clauses) != 1 || got.Clauses[0].Detail == "" || got.OK != got.Clauses[0].Met {
				t.Errorf("%s: %v gives %+v", key, value, got)
			}
		}
	}
}
