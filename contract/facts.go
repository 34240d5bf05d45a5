package contract

import (
	"iter"
	"maps"
	"slices"
	"unique"
)

// Facts are what a [Query] looks at of a contract, close together: holding thousands of contracts against requirements is
// mostly waiting for memory. Names are interned, so that comparing them compares pointers.
type facts struct {
	names    []name         // types of capabilities, then names of terms, section by section
	ends     [sections]uint // in names: of the capabilities, of the constraints and so on
	terms    []term         // of the names after the capabilities
	promises []promise
}

type name = unique.Handle[string]

// A promise is a [Guarantee] without pointers to its bounds.
type promise struct {
	property, name name
	rank           int8 // of a latency, else -1
	limits         limits
	min, max       float64 // if limits has them
	other          map[string]any
}

type limits uint8

const (
	limitsMin limits = 1 << iota
	limitsMax
	needsNoSeed
)

// factsOf returns those of the loader, or makes them for a contract that does not come from it.
func factsOf(c *Contract) *facts {
	if c.facts.names != nil {
		return &c.facts
	}
	f := newFacts(c)
	return &f
}

func newFacts(c *Contract) facts {
	var f facts
	for i := range c.Capabilities {
		f.names = append(f.names, unique.Make(c.Capabilities[i].Type))
	}
	f.ends[anywhere] = uint(len(f.names))
	f.add(inConstraints, c.Constraints.term, constraintFields[:], c.Constraints.Other)
	if p := c.Privacy; p != nil {
		f.add(inPrivacy, p.term, privacyFields[:], p.Other)
	}
	f.ends[inPrivacy] = uint(len(f.names))
	if a := c.Alignment; a != nil {
		f.add(inAlignment, a.term, alignmentFields[:], a.Other)
	}
	f.ends[inAlignment] = uint(len(f.names))
	for i := range c.Guarantees {
		f.promises = append(f.promises, newPromise(&c.Guarantees[i]))
	}
	f.names, f.terms, f.promises = slices.Clip(f.names), slices.Clip(f.terms), slices.Clip(f.promises)
	return f
}

// add adds the terms of a section: its fields, then its other members.
func (f *facts) add(s section, termOf func(string) term, fields []string, others map[string]any) {
	for _, keys := range [...]iter.Seq[string]{slices.Values(fields), maps.Keys(others)} {
		for key := range keys {
			if t := termOf(key); t.kind != absentTerm {
				f.names, f.terms = append(f.names, unique.Make(key)), append(f.terms, t.interned())
			}
		}
	}
	f.ends[s] = uint(len(f.names))
}

func newPromise(g *Guarantee) promise {
	p := promise{property: unique.Make(g.Property), name: unique.Make(g.Name), rank: int8(latencyRank(g.Property)), other: g.Bound.Other}
	if g.Bound.Min != nil {
		p.limits, p.min = p.limits|limitsMin, *g.Bound.Min
	}
	if g.Bound.Max != nil {
		p.limits, p.max = p.limits|limitsMax, *g.Bound.Max
	}
	if isFalse(g.Bound.SeedRequired) {
		p.limits |= needsNoSeed
	}
	return p
}

func (f *facts) offer(typ name) bool { return slices.Contains(f.names[:f.ends[anywhere]], typ) }

// term returns what [Contract.term] does.
func (f *facts) term(s section, key name) term {
	from, to := f.ends[anywhere], uint(len(f.names))
	if s != anywhere {
		from, to = f.ends[s-1], f.ends[s]
	}
	if i := slices.Index(f.names[from:to], key); i >= 0 {
		return f.terms[from+uint(i)-f.ends[anywhere]]
	}
	return term{}
}
