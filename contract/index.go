package contract

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// An Index finds, among many contracts, those that meet requirements. Its answers are those of [Contract.Match], without
// the details. The zero Index is empty and ready to use. It is safe for concurrent use; finding never waits for changes.
type Index struct {
	mu      sync.Mutex // held by those who change
	current atomic.Pointer[snapshot]
}

// A snapshot is the content of an index at one time. It is not modified.
type snapshot struct {
	all      []*Contract            // sorted by id
	offering map[string][]*Contract // by type of capability, each sorted by id
}

var empty snapshot

func (x *Index) snapshot() *snapshot {
	if s := x.current.Load(); s != nil {
		return s
	}
	return &empty
}

// Put adds c, and replaces the contract of the same id if there is one.
func (x *Index) Put(c *Contract) {
	x.mu.Lock()
	defer x.mu.Unlock()
	next := x.snapshot().without(c.ID)
	next.all = inserted(next.all, c)
	for _, typ := range typesOf(c) {
		next.offering[typ] = inserted(next.offering[typ], c)
	}
	x.current.Store(next)
}

// Remove removes the contract with the id and reports whether there was one.
func (x *Index) Remove(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, found := x.Get(id); !found {
		return false
	}
	x.current.Store(x.snapshot().without(id))
	return true
}

// Get returns the contract with the id.
func (x *Index) Get(id string) (*Contract, bool) {
	all := x.snapshot().all
	if i, found := position(all, id); found {
		return all[i], true
	}
	return nil, false
}

// All returns all contracts, sorted by id.
func (x *Index) All() []*Contract { return slices.Clone(x.snapshot().all) }

// Find returns the contracts that meet r, sorted by id.
func (x *Index) Find(r Requirements) []*Contract {
	q := newQuery(r)
	var found []*Contract
	for _, c := range x.snapshot().candidates(r) {
		if q.metBy(c) {
			found = append(found, c)
		}
	}
	return found
}

// candidates returns the shortest list that holds all contracts with the capabilities.
func (s *snapshot) candidates(r Requirements) []*Contract {
	shortest := s.all
	for _, typ := range r.Capabilities {
		if offering := s.offering[typ]; len(offering) < len(shortest) {
			shortest = offering
		}
	}
	if len(r.AnyOf) == 1 && len(s.offering[r.AnyOf[0]]) < len(shortest) {
		shortest = s.offering[r.AnyOf[0]]
	}
	return shortest
}

// without returns a copy of s that lacks the contract with an id and whose map may be modified.
func (s *snapshot) without(id string) *snapshot {
	next := &snapshot{all: s.all, offering: maps.Clone(s.offering)}
	if next.offering == nil {
		next.offering = map[string][]*Contract{}
	}
	i, found := position(s.all, id)
	if !found {
		return next
	}
	next.all = removed(s.all, id)
	for _, typ := range typesOf(s.all[i]) {
		next.offering[typ] = removed(next.offering[typ], id)
		if len(next.offering[typ]) == 0 {
			delete(next.offering, typ)
		}
	}
	return next
}

func position(list []*Contract, id string) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(c *Contract, id string) int { return strings.Compare(c.ID, id) })
}

// inserted and removed return changed copies.
func inserted(list []*Contract, c *Contract) []*Contract {
	i, _ := position(list, c.ID)
	changed := make([]*Contract, 0, len(list)+1)
	return append(append(append(changed, list[:i]...), c), list[i:]...)
}

func removed(list []*Contract, id string) []*Contract {
	i, found := position(list, id)
	if !found {
		return list
	}
	changed := make([]*Contract, 0, len(list)-1)
	return append(append(changed, list[:i]...), list[i+1:]...)
}

// typesOf returns the types of c's capabilities, each once.
func typesOf(c *Contract) []string {
	types := make([]string, len(c.Capabilities))
	for i, capability := range c.Capabilities {
		types[i] = capability.Type
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// A query is Requirements made ready to be held against many contracts.
type query struct {
	Requirements
	bounds  []namedBound
	demands []demand
}

type namedBound struct {
	key   string
	bound Bound
}

func newQuery(r Requirements) *query {
	q := &query{Requirements: r}
	for key, bound := range r.Guarantees {
		q.bounds = append(q.bounds, namedBound{key, bound})
	}
	for key, want := range r.Constraints {
		q.demands = append(q.demands, newDemand(key, want))
	}
	return q
}

// metBy reports what c.Match would, without allocating.
func (q *query) metBy(c *Contract) bool {
	for _, typ := range q.Capabilities {
		if !c.offers(typ) {
			return false
		}
	}
	if len(q.AnyOf) > 0 && !slices.ContainsFunc(q.AnyOf, c.offers) {
		return false
	}
	for i := range q.bounds {
		if met, _ := c.guarantees(q.bounds[i].key, &q.bounds[i].bound); !met {
			return false
		}
	}
	for i := range q.demands {
		if met, _ := q.demands[i].heldBy(c); !met {
			return false
		}
	}
	if q.TrustLevel != nil {
		met, _ := c.trusts(*q.TrustLevel)
		return met
	}
	return true
}
