package contract

import (
	"slices"
	"strconv"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// warnReaders looks for values that other readers of YAML take for something else.
func warnReaders(k *checker) {
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		if elsewhere := n.Elsewhere(); elsewhere != "" {
			fix := "put it in quotes"
			if n.Kind == tree.Number {
				fix = "write it with a point and a sign, such as 1.0e-5"
			}
			k.add(n, "file/read-differently", fix, "%s is %s to some YAML readers", tree.Shorten(n.Scalar), elsewhere)
		}
		for _, item := range n.Items {
			walk(item)
		}
		for _, m := range n.Members {
			walk(m.Value)
		}
	}
	walk(k.flat)
}

func warnCapabilities(k *checker) {
	var promised *float64
	for _, g := range k.guarantees {
		if p, known := knownProperty(g.value.Property); known && p.metric == "accuracy" && g.value.Bound.Min != nil {
			promised = g.value.Bound.Min
		}
	}
	named := map[string]bool{}
	var unnamed []*tree.Node
	for i, c := range k.contract.Capabilities {
		n := k.find("capabilities", strconv.Itoa(i))
		if c.Accuracy != nil && c.Accuracy.Min != nil && (promised == nil || *c.Accuracy.Min > *promised) {
			against := "the guarantees promise none"
			if promised != nil {
				against = "the guarantees promise " + number(*promised)
			}
			k.add(n.Find("accuracy", "min"), "capability/accuracy-not-guaranteed", "promise it under guarantees.accuracy",
				"%s states an accuracy of at least %s, but %s", c.Type, number(*c.Accuracy.Min), against)
		}
		if endpoint := n.Get("endpoint").Text(); endpoint != "" {
			named[endpoint] = true
		} else {
			unnamed = append(unnamed, n)
		}
	}
	if len(named) == 0 {
		return
	}
	for _, n := range unnamed {
		if len(k.contract.API.Endpoints) > 1 {
			k.addKey(n, "capability/no-endpoint", "add  endpoint: POST /…", "capability %q names no endpoint, but others do", tree.Shorten(n.Get("type").Text()))
		}
	}
	for i, e := range k.contract.API.Endpoints {
		n := k.find("api", "endpoints", strconv.Itoa(i))
		if e.Method != "GET" && len(unnamed) == 0 && !named[e.String()] && !named[e.Path] && !named[n.Get("id").Text()] {
			k.addKey(n, "endpoint/unused", "name it at a capability, or remove it", "no capability names %s", e)
		}
	}
}

// warnProperties looks at guarantees one by one.
func warnProperties(k *checker) {
	timeout := k.find("constraints", "timeout_ms").Float()
	for _, g := range k.guarantees {
		p, known := knownProperty(g.value.Property)
		bound := g.value.Bound
		switch {
		case !known && nearest(g.value.Property, propertyNames()) == "":
			k.add(g.node.Get("property"), "guarantee/unknown-property", "well-known are "+strings.Join(propertyNames(), ", "),
				"%q is not a well-known property", g.value.Property)
		case p.lower && bound.Min != nil && *bound.Min == 0:
			k.add(g.node.Find("bound", "min"), "guarantee/vacuous", "promise more than nothing, or remove the guarantee", "a minimum of 0 is always met")
		case p.metric == "latency" && bound.Max != nil && timeout != nil && *bound.Max > *timeout:
			k.add(g.node.Find("bound", "max"), "guarantee/latency-over-timeout", "promise less than the timeout",
				"calls end after %s ms (timeout_ms), so a latency of %s ms is never seen", number(*timeout), number(*bound.Max))
		}
		if bound.Min == nil && bound.Max == nil && bound.SeedRequired == nil && bound.Other["formula"] != nil {
			k.addKey(g.node.Find("bound", "formula"), "guarantee/formula-only", "add a min or max that can be measured",
				"guarantee %q cannot be verified from traffic", g.value.Name)
		}
	}
}

// warnSeed looks for a seed in the input schemas if determinism needs one.
func warnSeed(k *checker) {
	for _, g := range k.guarantees {
		if !isTrue(g.value.Bound.SeedRequired) {
			continue
		}
		seen, found := false, false
		for _, e := range k.contract.API.Endpoints {
			seen = seen || e.InputSchema != nil
			found = found || e.InputSchema != nil && e.InputSchema.mentions("seed")
		}
		if seen && !found {
			k.add(g.node.Find("bound", "seed_required"), "guarantee/seed-not-in-input", "add  seed  to the input schema",
				"a seed is required, but no input schema has one")
		}
	}
}

// mentions reports whether the schema has a property of that name at any level.
func (s *Schema) mentions(property string) bool {
	var search func(value any) bool
	search = func(value any) bool {
		switch v := value.(type) {
		case []any:
			return slices.ContainsFunc(v, search)
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok && properties[property] != nil {
				return true
			}
			for _, inner := range v {
				if search(inner) {
					return true
				}
			}
		}
		return false
	}
	return search(s.inner.Document())
}

// samples is how many calls without a miss it takes to show with 99 % confidence that a quantile is kept
// (the exact binomial bound: log 0.01 / log q).
var samples = map[string]int{"p50_latency_ms": 7, "p95_latency_ms": 90, "p99_latency_ms": 459}

func warnUnverifiable(k *checker) {
	rate, clause := k.contract.Constraints.RateLimit.perSecond()
	if clause == "" {
		return
	}
	const day = 86400
	for _, g := range k.guarantees {
		if needed := samples[g.value.Property]; rate*day < float64(needed) {
			k.addKey(g.node, "guarantee/unverifiable", "promise a lower quantile, or raise the limit",
				"verifying %s takes %d calls, the rate limit (%s) admits %.0f a day", g.value.Property, needed, clause, rate*day)
		}
	}
}

// warnLittle applies Little's law: calls in progress = calls per second * seconds per call.
func warnLittle(k *checker) {
	slots := k.contract.Constraints.MaxConcurrentRequests
	var throughput, latency *located[Guarantee]
	for i, g := range k.guarantees {
		switch {
		case g.value.Property == "requests_per_second" && g.value.Bound.Min != nil:
			throughput = &k.guarantees[i]
		case g.value.Property == "p95_latency_ms" && g.value.Bound.Max != nil:
			latency = &k.guarantees[i]
		}
	}
	if slots == 0 || throughput == nil || latency == nil || *latency.value.Bound.Max <= 0 {
		return
	}
	if most := float64(slots) / (*latency.value.Bound.Max / 1000); *throughput.value.Bound.Min > most {
		k.add(throughput.node.Find("bound", "min"), "guarantee/little", "raise max_concurrent_requests, or lower one of the promises",
			"with %d calls in progress that take %s ms each, %.3g calls per second are served, not %s",
			slots, number(*latency.value.Bound.Max), most, number(*throughput.value.Bound.Min))
	}
}

func warnInvariants(k *checker) {
	for _, invariant := range k.invariants {
		i := slices.IndexFunc(k.guarantees, func(g located[Guarantee]) bool { return g.value.Invariant == invariant.value.ID })
		if i < 0 {
			if len(k.guarantees) > 0 {
				k.add(invariant.node.Get("id"), "invariant/unused", "name it at the guarantee that it states, or remove it",
					"no guarantee uses invariant %s", invariant.value.ID)
			}
			continue
		}
		g := k.guarantees[i].value
		for _, side := range []struct {
			name  string
			bound *float64
		}{{"min", g.Bound.Min}, {"max", g.Bound.Max}} {
			threshold := invariant.node.Find("threshold", side.name)
			if value := threshold.Float(); value != nil && side.bound != nil && *value != *side.bound {
				k.add(threshold, "invariant/threshold-differs", "write "+number(*side.bound)+", or correct the guarantee",
					"the threshold %s %s differs from that of guarantee %q, %s", side.name, number(*value), g.Name, number(*side.bound))
			}
		}
	}
}
