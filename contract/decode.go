package contract

import (
	"slices"
	"strings"
	"unique"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// decode fills a Contract from a flat contract in full form. Values of the wrong type, which the schema has reported,
// are left out, so that the rules can be checked on the rest.
func decode(flat *tree.Node) *Contract {
	return &Contract{
		ID:           flat.Get("service_id").Text(),
		Name:         flat.Get("name").Text(),
		Version:      flat.Get("version").Text(),
		Description:  flat.Get("description").Text(),
		Capabilities: decodeCapabilities(flat.Get("capabilities")),
		Guarantees:   decodeGuarantees(flat.Get("guarantees")),
		Cost:         decodeCost(flat.Get("cost")),
		Privacy:      decodePrivacy(flat.Get("privacy")),
		Alignment:    decodeAlignment(flat.Get("alignment")),
		Constraints:  decodeConstraints(flat.Get("constraints")),
		API:          decodeAPI(flat.Get("api")),
		Invariants:   decodeInvariants(flat.Get("invariants")),
		Metadata:     decodeMetadata(flat.Get("metadata")),
		Extensions:   decodeExtensions(flat),
	}
}

func decodeCapabilities(list *tree.Node) []Capability {
	var capabilities []Capability
	for _, n := range items(list) {
		c := Capability{Type: shared(n.Get("type")), Capacity: object(n.Get("capacity")), Parameters: object(n.Get("parameters"))}
		if accuracy := n.Get("accuracy"); accuracy.Is(tree.Map) {
			c.Accuracy = &Accuracy{Min: accuracy.Get("min").Float(), Target: accuracy.Get("target").Float()}
		}
		capabilities = append(capabilities, c)
	}
	return capabilities
}

func decodeGuarantees(guarantees *tree.Node) []Guarantee {
	var list []Guarantee
	for name, n := range eachGuarantee(guarantees) {
		list = append(list, decodeGuarantee(name, n))
	}
	slices.SortStableFunc(list, compareGuarantees)
	return list
}

func compareGuarantees(a, b Guarantee) int {
	if d := strings.Compare(a.Name, b.Name); d != 0 {
		return d
	}
	return strings.Compare(a.Property, b.Property)
}

func decodeGuarantee(name string, n *tree.Node) Guarantee {
	bound := n.Get("bound")
	return Guarantee{Name: unique.Make(name).Value(), Property: shared(n.Get("property")), Invariant: n.Get("invariant").Text(), Bound: Bound{
		Min: bound.Get("min").Float(), Max: bound.Get("max").Float(), SeedRequired: bound.Get("seed_required").Bool(),
		Other: others(bound, "min", "max", "seed_required"),
	}}
}

// eachGuarantee yields every guarantee with its name, in the author's order.
func eachGuarantee(guarantees *tree.Node) func(yield func(string, *tree.Node) bool) {
	return func(yield func(string, *tree.Node) bool) {
		for _, m := range members(guarantees) {
			list := []*tree.Node{m.Value}
			if m.Value.Kind == tree.List {
				list = m.Value.Items
			}
			for _, n := range list {
				if n.Kind == tree.Map && !yield(m.Key, n) {
					return
				}
			}
		}
	}
}

func decodeCost(n *tree.Node) *Cost {
	if !n.Is(tree.Map) {
		return nil
	}
	return &Cost{Model: shared(n.Get("model")), BaseCost: n.Get("base_cost").Float(), TokenCost: n.Get("token_cost").Float(),
		Currency: shared(n.Get("currency")), Other: others(n, "model", "base_cost", "token_cost", "currency")}
}

func decodePrivacy(n *tree.Node) *Privacy {
	if !n.Is(tree.Map) {
		return nil
	}
	return &Privacy{
		DataLocality: shared(n.Get("data_locality")), Encryption: n.Get("encryption").Bool(), EncryptionType: shared(n.Get("encryption_type")),
		DataRetention: shared(n.Get("data_retention")), GDPRCompliant: n.Get("gdpr_compliant").Bool(), HIPAACompliant: n.Get("hipaa_compliant").Bool(),
		Other: others(n, "data_locality", "encryption", "encryption_type", "data_retention", "gdpr_compliant", "hipaa_compliant"),
	}
}

func decodeAlignment(n *tree.Node) *Alignment {
	if !n.Is(tree.Map) {
		return nil
	}
	return &Alignment{
		SafetyLevel: shared(n.Get("safety_level")), ContentFiltering: n.Get("content_filtering").Bool(),
		BiasMitigation: n.Get("bias_mitigation").Bool(), ToxicityFiltering: n.Get("toxicity_filtering").Bool(),
		Other: others(n, "safety_level", "content_filtering", "bias_mitigation", "toxicity_filtering"),
	}
}

func decodeConstraints(n *tree.Node) Constraints {
	rate, context := n.Get("rate_limit"), n.Get("context_length")
	c := Constraints{
		MaxConcurrentRequests: n.Get("max_concurrent_requests").Int(),
		RateLimit: RateLimit{PerSecond: rate.Get("per_second").Int(), PerMinute: rate.Get("per_minute").Int(),
			PerHour: rate.Get("per_hour").Int(), PerDay: rate.Get("per_day").Int()},
		MaxContextTokens: context.Get("max_tokens").Int(),
		RequiresInternet: n.Get("requires_internet").Bool(),
		RequiresGPU:      n.Get("requires_gpu").Bool(),
		Other:            others(n, "max_concurrent_requests", "rate_limit", "context_length", "requires_internet", "requires_gpu"),
	}
	// Members of the inner objects that we do not know are kept below the names of those.
	for name, inner := range map[string]map[string]any{
		"rate_limit":     others(rate, "per_second", "per_minute", "per_hour", "per_day"),
		"context_length": others(context, "max_tokens"),
	} {
		if inner != nil {
			if c.Other == nil {
				c.Other = map[string]any{}
			}
			c.Other[name] = inner
		}
	}
	return c
}

func decodeAPI(n *tree.Node) API {
	api := API{Protocol: shared(n.Get("protocol")), BaseURL: n.Get("base_url").Text()}
	for _, e := range items(n.Get("endpoints")) {
		api.Endpoints = append(api.Endpoints, Endpoint{
			Method: shared(e.Get("method")), Path: shared(e.Get("path")),
			InputFile: e.Get("input_schema").Text(), OutputFile: e.Get("output_schema").Text(),
		})
	}
	return api
}

func decodeInvariants(list *tree.Node) []Invariant {
	var invariants []Invariant
	for _, n := range items(list) {
		invariants = append(invariants, Invariant{
			ID: n.Get("id").Text(), Description: n.Get("description").Text(), Formula: n.Get("formula").Text(),
			Verification: n.Get("verification").Any(), Artifact: n.Get("artifact").Any(),
			Other: others(n, "id", "description", "formula", "verification", "artifact"),
		})
	}
	return invariants
}

func decodeMetadata(n *tree.Node) Metadata {
	m := Metadata{
		Category: n.Get("category").Text(), Provider: n.Get("provider").Text(), DocumentationURL: n.Get("documentation_url").Text(),
		APIVersion: n.Get("api_version").Text(), Other: others(n, "tags", "category", "provider", "documentation_url", "api_version"),
	}
	for _, tag := range items(n.Get("tags")) {
		m.Tags = append(m.Tags, tag.Text())
	}
	return m
}

func decodeExtensions(flat *tree.Node) map[string]any {
	var extensions map[string]any
	for _, m := range members(flat) {
		if strings.HasPrefix(m.Key, "x-") {
			if extensions == nil {
				extensions = map[string]any{}
			}
			extensions[m.Key] = m.Value.Any()
		}
	}
	return extensions
}

// shared returns a text that many contracts have, such as a property, which is then held once for all.
func shared(n *tree.Node) string { return unique.Make(n.Text()).Value() }

func items(n *tree.Node) []*tree.Node {
	if n == nil {
		return nil
	}
	return n.Items
}

func members(n *tree.Node) []tree.Member {
	if n == nil {
		return nil
	}
	return n.Members
}

// object returns a Map as decoded JSON, nil for anything else.
func object(n *tree.Node) map[string]any {
	if !n.Is(tree.Map) {
		return nil
	}
	return n.Any().(map[string]any)
}

// others returns the members of n but the known ones, nil if there are none.
func others(n *tree.Node, known ...string) map[string]any {
	var rest map[string]any
	for _, m := range members(n) {
		if slices.Contains(known, m.Key) {
			continue
		}
		if rest == nil {
			rest = map[string]any{}
		}
		rest[m.Key] = m.Value.Any()
	}
	return rest
}
