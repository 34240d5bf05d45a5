package contract

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A property is something that guarantees are made about.
type property struct {
	name   string
	metric string // "latency", "accuracy" and so on
	lower  bool   // a guarantee needs a minimum rather than a maximum
}

// properties are those that we know; authors may use others.
var properties = []property{
	{"classification_accuracy", "accuracy", true}, {"recall_accuracy", "accuracy", true}, {"precision_accuracy", "accuracy", true},
	{"p50_latency_ms", "latency", false}, {"p95_latency_ms", "latency", false}, {"p99_latency_ms", "latency", false}, {"max_latency_ms", "latency", false},
	{"requests_per_second", "throughput", true}, {"tokens_per_second", "throughput", true},
	{"availability", "availability", true}, {"schema_conformance", "conformance", true},
	{"deterministic_output", "determinism", true}, {"reproducible_output", "determinism", true},
}

func knownProperty(name string) (property, bool) {
	i := slices.IndexFunc(properties, func(p property) bool { return p.name == name })
	if i < 0 {
		return property{}, false
	}
	return properties[i], true
}

func propertyNames() []string {
	names := make([]string, len(properties))
	for i, p := range properties {
		names[i] = p.name
	}
	return names
}

// checkBounds looks at each bound alone.
func checkBounds(k *checker) {
	for _, g := range k.guarantees {
		bound, low, high := g.value.Bound, g.node.Find("bound", "min"), g.node.Find("bound", "max")
		if bound.Min != nil && bound.Max != nil && *bound.Min > *bound.Max {
			k.add(low, "guarantee/empty-bound", "min must not be above max", "no value can satisfy min %s and max %s", number(*bound.Min), number(*bound.Max))
			continue
		}
		p, known := knownProperty(g.value.Property)
		if !known {
			continue
		}
		switch {
		case p.metric == "determinism":
		case p.lower && bound.Min == nil && bound.Max != nil:
			k.addKey(high, "guarantee/bound-direction", "write  min: …", "%s needs a minimum: a maximum promises nothing", p.name)
		case !p.lower && bound.Max == nil && bound.Min != nil:
			k.addKey(low, "guarantee/bound-direction", "write  max: …", "%s needs a maximum: a minimum promises nothing", p.name)
		case p.metric == "latency" && bound.Max != nil && *bound.Max <= 0:
			k.add(high, "guarantee/non-positive", "write milliseconds above 0", "a latency of %s ms cannot be met", number(*bound.Max))
		}
		if slices.Contains([]string{"accuracy", "availability", "conformance"}, p.metric) {
			k.ratio(low, "guarantee/ratio-range", p.name)
			k.ratio(high, "guarantee/ratio-range", p.name)
		}
		if unit := g.node.Find("bound", "unit").Text(); p.metric == "latency" && unit != "" && unit != "ms" && unit != "milliseconds" {
			k.add(g.node.Find("bound", "unit"), "guarantee/unit", "convert the bound to milliseconds and remove the unit",
				"%s is in milliseconds, found the unit %q", p.name, unit)
		}
	}
}

// checkGuaranteeNames looks for misspelt and repeated properties.
func checkGuaranteeNames(k *checker) {
	property := func(g located[Guarantee]) string { return g.value.Property }
	for later, earlier := range duplicates(k.guarantees, property) {
		first := k.guarantees[earlier]
		k.addKey(k.guarantees[later].node, "guarantee/duplicate-property", "keep one of the two",
			"%s is guaranteed twice, first by %q on line %d", first.value.Property, first.value.Name, first.node.Label().Line)
	}
	for _, g := range k.guarantees {
		if _, known := knownProperty(g.value.Property); known || g.value.Property == "" {
			continue
		}
		if near := nearest(g.value.Property, propertyNames()); near != "" {
			k.add(g.node.Get("property"), "guarantee/misspelt-property", fmt.Sprintf("did you mean %q?", near),
				"%q is nearly, but not, the name of a known property", g.value.Property)
		}
	}
}

// checkQuantiles demands p50 <= p95 <= p99 <= max.
func checkQuantiles(k *checker) {
	order := []string{"p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "max_latency_ms"}
	var below *located[Guarantee]
	for _, name := range order {
		i := slices.IndexFunc(k.guarantees, func(g located[Guarantee]) bool { return g.value.Property == name && g.value.Bound.Max != nil })
		if i < 0 {
			continue
		}
		g := &k.guarantees[i]
		if below != nil && *g.value.Bound.Max < *below.value.Bound.Max {
			k.add(g.node.Find("bound", "max"), "guarantee/quantile-order", "a higher quantile cannot be lower: p50 <= p95 <= p99 <= max",
				"%s <= %s contradicts %s <= %s", name, number(*g.value.Bound.Max), below.value.Property, number(*below.value.Bound.Max))
		}
		below = g
	}
}

// perSecond returns the sustained number of calls per second that a rate limit admits, and the clause that says so; 0 if
// there is no limit.
func (r RateLimit) perSecond() (rate float64, clause string) {
	windows := []struct {
		limit   int
		seconds float64
		clause  string
	}{{r.PerSecond, 1, "per_second"}, {r.PerMinute, 60, "per_minute"}, {r.PerHour, 3600, "per_hour"}, {r.PerDay, 86400, "per_day"}}
	for _, w := range windows {
		if own := float64(w.limit) / w.seconds; w.limit > 0 && (clause == "" || own < rate) {
			rate, clause = own, fmt.Sprintf("%s %d", w.clause, w.limit)
		}
	}
	return rate, clause
}

// checkThroughput compares what is promised per second with what the rate limit admits.
func checkThroughput(k *checker) {
	limit, clause := k.contract.Constraints.RateLimit.perSecond()
	if clause == "" {
		return
	}
	for _, g := range k.guarantees {
		promised := g.value.Bound.Min
		if g.value.Property == "requests_per_second" && promised != nil && *promised > limit {
			k.add(g.node.Find("bound", "min"), "guarantee/throughput-over-rate-limit", "lower the promise or raise the limit",
				"%s requests per second are promised, but the rate limit (%s) admits %.3g", number(*promised), clause, limit)
		}
	}
}

func checkGuaranteeInvariants(k *checker) {
	var ids []string
	for _, invariant := range k.invariants {
		ids = append(ids, invariant.value.ID)
	}
	for _, g := range k.guarantees {
		id := g.value.Invariant
		if id == "" || slices.Contains(ids, id) {
			continue
		}
		defined := cmp.Or(strings.Join(ids[:min(len(ids), 8)], ", "), "none")
		fix := "defined: " + defined
		if near := nearest(id, ids); near != "" {
			fix = fmt.Sprintf("did you mean %q? (%s)", near, fix)
		}
		k.add(g.node.Get("invariant"), "guarantee/unknown-invariant", fix,
			"guarantee %q points at invariant %s, which is not defined", g.value.Name, id)
	}
}
