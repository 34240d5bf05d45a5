package contract

import (
	"slices"
	"unique"
)

// A Query is [Requirements] made ready to be held against many contracts. It answers what [Contract.Match] does, without
// words: much faster, and without allocating. It is safe for concurrent use.
type Query struct {
	all, any []offered
	bounds   []bounding
	demands  []asked
	trust    *trusting // nil if it is not compared
}

// An offered is a type of capability, with its bits in marks.
type offered struct {
	typ  name
	mark uint64
}

// A bounding is one entry of [Requirements.Guarantees].
type bounding struct {
	key  name
	rank int8 // of a latency, else -1
	want promise
}

// An asked is one entry of [Requirements.Constraints].
type asked struct {
	key name
	demand
}

// A trusting is [Requirements.TrustLevel], with the name of the term that it is compared to.
type trusting struct {
	key   name
	level float64
}

// NewQuery prepares r, whose values must not be modified afterwards.
func NewQuery(r Requirements) *Query {
	q := new(Query)
	for _, typ := range r.Capabilities {
		q.all = append(q.all, offered{unique.Make(typ), markOf(typ)})
	}
	for _, typ := range r.AnyOf {
		q.any = append(q.any, offered{unique.Make(typ), markOf(typ)})
	}
	for key, bound := range r.Guarantees {
		q.bounds = append(q.bounds, bounding{unique.Make(key), int8(latencyRank(key)), newPromise(&Guarantee{Bound: bound})})
	}
	for key, want := range r.Constraints {
		d := newDemand(key, want)
		d.want = d.want.interned()
		q.demands = append(q.demands, asked{unique.Make(d.name), d})
	}
	if r.TrustLevel != nil {
		q.trust = &trusting{unique.Make(trustTerm), *r.TrustLevel}
	}
	return q
}

// MetBy reports whether c meets all requirements.
func (q *Query) MetBy(c *Contract) bool { return q.metBy(factsOf(c)) }

func (q *Query) metBy(f *facts) bool {
	for i := range q.all {
		if !f.offer(q.all[i].typ) {
			return false
		}
	}
	if len(q.any) > 0 && !slices.ContainsFunc(q.any, func(one offered) bool { return f.offer(one.typ) }) {
		return false
	}
	for i := range q.bounds {
		if !q.bounds[i].heldBy(f.promises) {
			return false
		}
	}
	for i := range q.demands {
		if d := &q.demands[i]; !d.heldBy(f.term(d.section, d.key)) {
			return false
		}
	}
	return q.trust == nil || trusted(q.trust.level, f.term(anywhere, q.trust.key))
}

// mayBeMetBy reports whether a contract with the mark can have the capabilities.
func (q *Query) mayBeMetBy(mark uint64) bool {
	for _, one := range q.all {
		if mark&one.mark != one.mark {
			return false
		}
	}
	return len(q.any) == 0 || slices.ContainsFunc(q.any, func(one offered) bool { return mark&one.mark == one.mark })
}

// heldBy reports what [Contract.guarantees] does.
func (b *bounding) heldBy(promises []promise) bool {
	byProperty, byName := false, false
	for i := range promises {
		p := &promises[i]
		switch {
		case p.property == b.key:
			byProperty = true
		case p.name == b.key:
		case b.rank < 0 || p.rank <= b.rank:
			continue
		}
		if !p.within(&b.want) {
			continue
		}
		if p.property == b.key || b.rank >= 0 && p.rank > b.rank {
			return true
		}
		byName = true
	}
	return byName && !byProperty
}

// within reports what [Bound.within] does.
func (p *promise) within(want *promise) bool {
	switch {
	case want.limits&^p.limits != 0,
		want.limits&limitsMin != 0 && p.min < want.min,
		want.limits&limitsMax != 0 && p.max > want.max:
		return false
	}
	for name, value := range want.other {
		if !equalJSON(p.other[name], value) {
			return false
		}
	}
	return true
}
