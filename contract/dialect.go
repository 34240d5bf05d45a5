package contract

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// Contracts in the field are written in several dialects. The functions below spell the short forms out, so that
// everything after them knows one form. What they do not recognise they leave for the schema to refuse.

// spellOut returns the flat contract in full form.
func spellOut(flat *tree.Node, r *report) *tree.Node {
	flat = spellCost(flat)
	members := make([]tree.Member, 0, len(flat.Members))
	for _, m := range flat.Members {
		switch m.Key {
		case "capabilities":
			m.Value = spellCapabilities(shortened(m.Value))
		case "invariants":
			m.Value = shortened(m.Value)
		case "guarantees":
			m.Value = spellGuarantees(shortened(m.Value), r)
			if m.Value.Is(tree.Map) && len(m.Value.Members) == 0 {
				continue // {} and `determinism: false` alone promise nothing
			}
		case "api":
			m.Value = spellAPI(m.Value)
		}
		members = append(members, m)
	}
	return tree.NewMap(flat, members...)
}

// shortened cuts what is far longer than the schema allows, so that it takes no time to be refused.
func shortened(n *tree.Node) *tree.Node {
	const most = 1_000
	switch {
	case len(n.Items) > most:
		return tree.NewList(n, n.Items[:most]...)
	case len(n.Members) > most:
		return tree.NewMap(n, n.Members[:most]...)
	}
	return n
}

// spellCapabilities turns `- code_review` into `- type: code_review`.
func spellCapabilities(list *tree.Node) *tree.Node {
	if list.Kind != tree.List {
		return list
	}
	items := make([]*tree.Node, len(list.Items))
	for i, item := range list.Items {
		if item.Kind == tree.Text {
			item = tree.NewMap(item, tree.Member{Key: "type", Value: item})
		}
		items[i] = item
	}
	return tree.NewList(list, items...)
}

// spellAPI writes methods in capitals and the base URL without a slash at its end.
func spellAPI(api *tree.Node) *tree.Node {
	if base := api.Get("base_url"); strings.HasSuffix(base.Text(), "/") {
		api = api.With("base_url", tree.NewText(base, strings.TrimRight(base.Scalar, "/")))
	}
	endpoints := api.Get("endpoints")
	if !endpoints.Is(tree.List) {
		return api
	}
	endpoints = shortened(endpoints)
	items := make([]*tree.Node, len(endpoints.Items))
	for i, item := range endpoints.Items {
		if method := item.Get("method"); method.Is(tree.Text) && method.Scalar != strings.ToUpper(method.Scalar) {
			item = item.With("method", tree.NewText(method, strings.ToUpper(method.Scalar)))
		}
		items[i] = item
	}
	return api.With("endpoints", tree.NewList(endpoints, items...))
}

// spellCost turns {per_request, per_token} into {model, base_cost, token_cost}, and finds the cost that some contracts
// write below constraints.
func spellCost(flat *tree.Node) *tree.Node {
	cost := flat.Get("cost")
	if inner := flat.Find("constraints", "cost"); cost == nil && inner.Is(tree.Map) {
		cost = inner
		flat = flat.With("constraints", flat.Get("constraints").Without("cost")).With("cost", cost)
	}
	if !cost.Is(tree.Map) {
		return flat
	}
	full, model := cost, ""
	for _, price := range []struct{ short, long, model string }{{"per_request", "base_cost", "per_request"}, {"per_token", "token_cost", "per_token"}} {
		value := cost.Get(price.short)
		if !value.Is(tree.Number) || cost.Get(price.long) != nil {
			continue
		}
		full, model = full.Without(price.short).With(price.long, value), price.model
	}
	if model != "" && full.Get("model") == nil {
		full = full.With("model", tree.NewText(cost, model))
	}
	if full == cost && flat.Get("cost") == cost {
		return flat
	}
	return flat.With("cost", full)
}

// A metric says what a guarantee written as a mere number means.
type metric struct {
	property string
	lower    bool // the number is a minimum rather than a maximum
}

// metrics are the names of guarantees and of their members that tell what is measured.
var metrics = map[string]metric{
	"accuracy": {"classification_accuracy", true}, "classification_accuracy": {"classification_accuracy", true},
	"recall_accuracy": {"recall_accuracy", true}, "precision_accuracy": {"precision_accuracy", true},
	"latency": {"p95_latency_ms", false}, "latency_ms": {"p95_latency_ms", false},
	"p50_latency_ms": {"p50_latency_ms", false}, "p95_latency_ms": {"p95_latency_ms", false},
	"p99_latency_ms": {"p99_latency_ms", false}, "max_latency_ms": {"max_latency_ms", false},
	"throughput": {"requests_per_second", true}, "throughput_requests_per_sec": {"requests_per_second", true},
	"requests_per_second": {"requests_per_second", true}, "throughput_rps": {"requests_per_second", true},
	"throughput_tokens_per_sec": {"tokens_per_second", true}, "throughput_tokens_per_second": {"tokens_per_second", true},
	"tokens_per_second": {"tokens_per_second", true}, "tokens_per_sec": {"tokens_per_second", true},
	"availability": {"availability", true}, "uptime": {"availability", true},
	"conformance": {"schema_conformance", true}, "schema_conformance": {"schema_conformance", true},
	"deterministic_output": {"deterministic_output", true}, "determinism": {"deterministic_output", true},
}

// quantiles are the members by which `latency: {p95: 500}` names what is measured.
var quantiles = map[string]string{
	"p50": "p50_latency_ms", "p50_ms": "p50_latency_ms", "p95": "p95_latency_ms", "p95_ms": "p95_latency_ms",
	"p99": "p99_latency_ms", "p99_ms": "p99_latency_ms", "max_ms": "max_latency_ms",
	"p50_latency_ms": "p50_latency_ms", "p95_latency_ms": "p95_latency_ms", "p99_latency_ms": "p99_latency_ms", "max_latency_ms": "max_latency_ms",
}

// spellGuarantees gives every guarantee a property and a bound. A name that promises several things becomes a list.
func spellGuarantees(guarantees *tree.Node, r *report) *tree.Node {
	if guarantees.Kind != tree.Map {
		return guarantees
	}
	members := make([]tree.Member, 0, len(guarantees.Members))
	for _, m := range guarantees.Members {
		value, ok := spellGuarantee(m.Key, m.Value)
		if !ok {
			r.addKey(m.Value, "guarantee/form", "write  property: …  and  bound: {min: …}  or  bound: {max: …}",
				"it is not clear what guarantee %q promises", tree.Shorten(m.Key))
			continue
		}
		if value != nil {
			members = append(members, tree.Member{Key: m.Key, Value: value})
		}
	}
	return tree.NewMap(guarantees, members...)
}

// spellGuarantee returns nil for one that promises nothing, and not ok for one whose meaning is unknown.
func spellGuarantee(name string, value *tree.Node) (full *tree.Node, ok bool) {
	m, known := metrics[name]
	switch {
	case value.Kind == tree.Number && known && m.property != "deterministic_output":
		return guarantee(value, value, m, scale(m, value)), true
	case value.Kind == tree.Bool && m.property == "deterministic_output":
		if value.Scalar == "false" {
			return nil, true
		}
		bound := tree.NewMap(value, tree.Member{Key: "seed_required", Value: tree.NewBool(value, false)})
		return tree.NewMap(value, tree.Member{Key: "property", Value: tree.NewText(value, m.property)}, tree.Member{Key: "bound", Value: bound}), true
	case value.Kind == tree.Number || value.Kind == tree.Bool:
		return nil, false
	case value.Kind != tree.Map || value.Get("property") != nil || value.Get("bound") != nil:
		return value, true
	}
	return spellMembers(name, m, known, value)
}

// spellMembers spells out guarantees such as {p95_ms: 500, p99_ms: 900}, {min: 0.9} and {target: 99.9}.
func spellMembers(name string, m metric, known bool, value *tree.Node) (full *tree.Node, ok bool) {
	var list []*tree.Node
	bound := tree.NewMap(value)
	rest := value
	for _, member := range value.Members {
		if property, named := quantiles[member.Key]; named && member.Value.Kind == tree.Number {
			list = append(list, guarantee(value, member.Value, metric{property, false}, member.Value))
			rest = rest.Without(member.Key)
			continue
		}
		if inner, named := metrics[member.Key]; named && member.Value.Kind == tree.Number {
			list = append(list, guarantee(value, member.Value, inner, scale(inner, member.Value)))
			rest = rest.Without(member.Key)
			continue
		}
		switch member.Key {
		case "min", "max", "target", "seed_required":
			bound = bound.With(member.Key, scale(m, member.Value))
			rest = rest.Without(member.Key)
		}
	}
	if len(bound.Members) > 0 {
		if !known {
			return nil, false
		}
		list = append(list, plainBound(value, m, bound))
	}
	// A member of the full form that is misspelt is the schema's to report.
	misspelt := slices.ContainsFunc(rest.Members, func(member tree.Member) bool {
		return nearest(member.Key, []string{"property", "bound"}) != ""
	})
	switch {
	case len(list) == 0 && misspelt:
		return value, true
	case len(list) == 0:
		return nil, false
	}
	for i, item := range list {
		list[i] = tree.NewMap(item, slices.Concat(item.Members, rest.Members)...)
	}
	if len(list) == 1 {
		return list[0], true
	}
	return tree.NewList(value, list...), true
}

// plainBound makes a guarantee of members that stand where the bound should. A target alone is taken for the promise.
func plainBound(value *tree.Node, m metric, bound *tree.Node) *tree.Node {
	if target := bound.Get("target"); target != nil && bound.Get("min") == nil && bound.Get("max") == nil {
		bound = bound.Without("target").With(side(m), target)
	}
	if m.property == "p95_latency_ms" && bound.Get("max") != nil {
		m.property = "max_latency_ms" // latency: {max: 500}
	}
	return tree.NewMap(value, tree.Member{Key: "property", Value: tree.NewText(value, m.property)}, tree.Member{Key: "bound", Value: bound})
}

func guarantee(origin, at *tree.Node, m metric, value *tree.Node) *tree.Node {
	bound := tree.NewMap(at, tree.Member{Key: side(m), Value: value})
	return tree.NewMap(origin, tree.Member{Key: "property", Value: tree.NewText(at, m.property)}, tree.Member{Key: "bound", Value: bound})
}

func side(m metric) string {
	if m.lower {
		return "min"
	}
	return "max"
}

// scale turns the percentages that short forms of availability are written in into ratios.
func scale(m metric, value *tree.Node) *tree.Node {
	if f := value.Float(); m.property == "availability" && f != nil && *f > 1 && *f <= 100 {
		return tree.NewNumber(value, hundredth(value.Scalar))
	}
	return value
}

// hundredth divides in decimal: 99.9 becomes 0.999, not 0.9990000000000001.
func hundredth(number string) float64 {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	shift, err := strconv.Atoi(cmp.Or(exponent, "0"))
	if err != nil {
		return 0
	}
	value, _ := strconv.ParseFloat(mantissa+"e"+strconv.Itoa(shift-2), 64) // in range: at most 100
	return value
}
