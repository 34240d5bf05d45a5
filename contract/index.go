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
	all      []entry            // sorted by id
	offering map[string][]entry // by type of capability, each sorted by id
}

// An entry is a contract with a mark in which bits are set for each type of capability (a Bloom filter), so that most
// contracts that lack a type are passed over without being touched.
type entry struct {
	contract *Contract
	facts    *facts
	mark     uint64
}

// markOf returns the two bits that stand for a type.
func markOf(typ string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	h := uint64(offset)
	for i := range len(typ) {
		h = (h ^ uint64(typ[i])) * prime
	}
	return 1<<(h>>32&63) | 1<<(h>>48&63)
}

func newEntry(c *Contract) entry {
	e := entry{contract: c, facts: factsOf(c)}
	for i := range c.Capabilities {
		e.mark |= markOf(c.Capabilities[i].Type)
	}
	return e
}

var empty snapshot

func (x *Index) snapshot() *snapshot {
	if s := x.current.Load(); s != nil {
		return s
	}
	return &empty
}

// Put adds contracts; each replaces the one of the same id if there is one. One call for many is far cheaper than many.
func (x *Index) Put(contracts ...*Contract) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(contracts) == 1 {
		x.current.Store(x.snapshot().with(contracts[0]))
		return
	}
	byID := map[string]*Contract{}
	for _, e := range x.snapshot().all {
		byID[e.contract.ID] = e.contract
	}
	for _, c := range contracts {
		byID[c.ID] = c
	}
	next := &snapshot{offering: map[string][]entry{}}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		e := newEntry(byID[id])
		next.all = append(next.all, e)
		for _, typ := range typesOf(e.contract) {
			next.offering[typ] = append(next.offering[typ], e)
		}
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
		return all[i].contract, true
	}
	return nil, false
}

// All returns all contracts, sorted by id.
func (x *Index) All() []*Contract {
	all := x.snapshot().all
	contracts := make([]*Contract, len(all))
	for i, e := range all {
		contracts[i] = e.contract
	}
	return contracts
}

// Find returns the contracts that meet r, sorted by id.
func (x *Index) Find(r Requirements) []*Contract {
	candidates, rest := x.snapshot().candidates(r)
	q := NewQuery(rest)
	var found []*Contract
	for _, e := range candidates {
		if q.mayBeMetBy(e.mark) && q.metBy(e.facts) {
			found = append(found, e.contract)
		}
	}
	return found
}

// candidates returns the shortest list that holds all contracts with the capabilities, and the requirements that are
// left to be checked.
func (s *snapshot) candidates(r Requirements) (list []entry, rest Requirements) {
	list = s.all
	rarest := -1
	for i, typ := range r.Capabilities {
		if offering := s.offering[typ]; rarest < 0 || len(offering) < len(list) {
			list, rarest = offering, i
		}
	}
	if rarest >= 0 {
		rest = r
		rest.Capabilities = slices.Concat(r.Capabilities[:rarest], r.Capabilities[rarest+1:])
		return list, rest
	}
	if len(r.AnyOf) == 1 {
		list, r.AnyOf = s.offering[r.AnyOf[0]], nil
	}
	return list, r
}

// with returns a copy of s that has c.
func (s *snapshot) with(c *Contract) *snapshot {
	next := s.without(c.ID)
	e := newEntry(c)
	next.all = inserted(next.all, e)
	for _, typ := range typesOf(c) {
		next.offering[typ] = inserted(next.offering[typ], e)
	}
	return next
}

// without returns a copy of s that lacks the contract with an id and whose map may be modified.
func (s *snapshot) without(id string) *snapshot {
	next := &snapshot{all: s.all, offering: maps.Clone(s.offering)}
	if next.offering == nil {
		next.offering = map[string][]entry{}
	}
	i, found := position(s.all, id)
	if !found {
		return next
	}
	next.all = removed(s.all, id)
	for _, typ := range typesOf(s.all[i].contract) {
		next.offering[typ] = removed(next.offering[typ], id)
		if len(next.offering[typ]) == 0 {
			delete(next.offering, typ)
		}
	}
	return next
}

func position(list []entry, id string) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(e entry, id string) int { return strings.Compare(e.contract.ID, id) })
}

// inserted and removed return changed copies.
func inserted(list []entry, e entry) []entry {
	i, _ := position(list, e.contract.ID)
	changed := make([]entry, 0, len(list)+1)
	return append(append(append(changed, list[:i]...), e), list[i:]...)
}

func removed(list []entry, id string) []entry {
	i, found := position(list, id)
	if !found {
		return list
	}
	changed := make([]entry, 0, len(list)-1)
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
