package registry

import (
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A composition says how guarantees of one family compose over a chain.
type composition struct {
	name string // of the guarantee that comes out
	rule string // in words
	of   func(property string) bool
	zero contract.Bound                                          // of a chain without steps
	join func(chain, next contract.Bound) (contract.Bound, bool) // false if the next does not promise what is composed
}

var compositions = [...]composition{
	{"accuracy", "the weakest step's", func(p string) bool { return strings.HasSuffix(p, "_accuracy") }, contract.Bound{Min: new(1.0)},
		func(chain, next contract.Bound) (contract.Bound, bool) {
			if next.Min == nil {
				return chain, false
			}
			return contract.Bound{Min: new(min(*chain.Min, *next.Min))}, true
		}},
	{"latency", "the sum", func(p string) bool { return strings.HasSuffix(p, "_latency_ms") }, contract.Bound{Max: new(0.0)},
		func(chain, next contract.Bound) (contract.Bound, bool) {
			if next.Max == nil {
				return chain, false
			}
			return contract.Bound{Max: new(*chain.Max + *next.Max)}, true
		}},
	{"determinism", "deterministic if each step is", func(p string) bool { return p == "deterministic_output" || p == "reproducible_output" }, contract.Bound{SeedRequired: new(false)},
		func(chain, next contract.Bound) (contract.Bound, bool) {
			if next.SeedRequired == nil {
				return chain, false
			}
			return contract.Bound{SeedRequired: new(*chain.SeedRequired || *next.SeedRequired)}, true
		}},
}

// A composed is one guarantee of a chain, with those that it comes from.
type composed struct {
	Name     string           `json:"name"`
	Property string           `json:"property"`
	Rule     string           `json:"rule"`
	Steps    []map[string]any `json:"steps"` // the bounds, in order
	Bound    map[string]any   `json:"bound"`
}

// compose returns the guarantees of a chain: those whose property every step promises.
//
// The sum of latencies is exact for max_latency_ms; of n quantiles it is a bound that a chain exceeds at most n times as
// often as one of its steps exceeds its own.
func compose(picks []pick) []composed {
	promised := make([]map[string]contract.Bound, len(picks)) // by property
	for i, p := range picks {
		promised[i] = make(map[string]contract.Bound, len(p.contract.Guarantees))
		for _, g := range p.contract.Guarantees {
			if _, repeated := promised[i][g.Property]; !repeated {
				promised[i][g.Property] = g.Bound
			}
		}
	}
	var list []composed
	for _, rule := range compositions {
		for _, property := range propertiesOf(picks[0].contract, rule.of) {
			if c, ok := rule.compose(promised, property); ok {
				list = append(list, c)
			}
		}
	}
	return list
}

func propertiesOf(ct *contract.Contract, of func(string) bool) []string {
	var properties []string
	for _, g := range ct.Guarantees {
		if of(g.Property) {
			properties = append(properties, g.Property)
		}
	}
	slices.Sort(properties)
	return slices.Compact(properties)
}

// compose composes the bounds on a property, step by step.
func (rule *composition) compose(promised []map[string]contract.Bound, property string) (composed, bool) {
	c := composed{Name: rule.name, Property: property, Rule: rule.rule}
	var chain contract.Bound
	for i := range promised {
		bound, ok := promised[i][property]
		if !ok {
			return c, false
		}
		if i == 0 {
			chain = rule.zero
		}
		if chain, ok = rule.join(chain, bound); !ok {
			return c, false
		}
		c.Steps = append(c.Steps, wire.Bound(bound))
	}
	c.Bound = wire.Bound(chain)
	return c, true
}

// guaranteesOfChain returns the guarantees in CAIO's form.
func guaranteesOfChain(list []composed) map[string]any {
	guarantees := make(map[string]any, len(list))
	for _, c := range list {
		name := c.Name
		if _, taken := guarantees[name]; taken {
			name = c.Property
		}
		guarantees[name] = map[string]any{"property": c.Property, "bound": c.Bound}
	}
	return guarantees
}
