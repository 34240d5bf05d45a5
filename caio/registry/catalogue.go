package registry

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A catalogue holds the entries. Its lists are replaced, never modified, so that readers may keep them without the lock.
type catalogue struct {
	capacity int
	weights  Weights
	changes  atomic.Int64 // of the lists, of statuses and of leases' lengths

	seed maphash.Seed // of marks

	mu           sync.RWMutex
	byID         map[string]*entry
	all          []*entry // by id
	byCapability map[string]postings
}

// Postings are the services with a capability.
type postings struct {
	byID   []*entry
	ranked []posting // by total, the highest first, then by id
}

// A posting is an entry in a ranked list. What tells that most services do not qualify lies in the list itself: looking at
// an entry is mostly waiting for memory.
type posting struct {
	*entry
	total        float64 // of the score, for the list's capability: no less than for several
	mark         uint64  // has the bits of all its capabilities (a Bloom filter)
	trust        float64
	confidential bool
}

func newCatalogue(capacity int, weights Weights) *catalogue {
	return &catalogue{capacity: capacity, weights: weights, seed: maphash.MakeSeed(), byID: make(map[string]*entry), byCapability: make(map[string]postings)}
}

// check returns why e cannot be added, or the entry that is there already if e repeats it.
func (c *catalogue) check(e *entry) (held *entry, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	id := e.contract.ID
	if held, ok := c.byID[id]; ok {
		if held.digest == e.digest {
			return held, nil
		}
		return nil, alreadyRegistered(held.contract)
	}
	if len(c.byID) >= c.capacity {
		return nil, c.full()
	}
	return nil, nil
}

func (c *catalogue) full() error {
	return &caio.Error{Op: "register", Status: http.StatusInsufficientStorage, Code: wire.RegistryFull,
		Message: fmt.Sprintf("the registry is full: it holds %d services, the most it may; unregister one first", c.capacity)}
}

func alreadyRegistered(held *contract.Contract) error {
	return &caio.Error{Op: "register", Status: http.StatusConflict, Code: wire.AlreadyRegistered,
		Message: fmt.Sprintf("Service %s is already registered with a different contract (version %s): unregister it first (DELETE /api/v1/services/%[1]s) or choose another id",
			held.ID, held.Version),
		Details: map[string]any{"service_id": held.ID, "version": held.Version}}
}

// add adds an entry that passed check.
func (c *catalogue) add(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID[e.contract.ID] = e
	c.all = inserted(c.all, e, byID)
	for i := range e.offers {
		p, list := c.offer(e, i)
		c.byCapability[e.offers[i].capability] = postings{inserted(list.byID, e, byID), inserted(list.ranked, p, byTotal)}
	}
	c.changes.Add(1)
}

// fill adds entries of different ids that pass check, all at once.
func (c *catalogue) fill(entries []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		c.byID[e.contract.ID] = e
		c.all = append(c.all, e)
		for i := range e.offers {
			p, list := c.offer(e, i)
			c.byCapability[e.offers[i].capability] = postings{append(list.byID, e), append(list.ranked, p)}
		}
	}
	slices.SortFunc(c.all, byID)
	for _, list := range c.byCapability {
		slices.SortFunc(list.byID, byID)
		slices.SortFunc(list.ranked, byTotal)
	}
	c.changes.Add(1)
}

// offer returns the posting for an offer of e, and the lists where it belongs.
func (c *catalogue) offer(e *entry, i int) (posting, postings) {
	all := e.parts
	all.guarantees = ratio(e.offers[i].accuracy)
	p := posting{entry: e, total: c.weights.total(all), trust: e.trust, confidential: e.confidential}
	for _, o := range e.offers {
		p.mark |= c.mark(o.capability)
	}
	return p, c.byCapability[e.offers[i].capability]
}

// mark returns the bits that stand for the capabilities.
func (c *catalogue) mark(capabilities ...string) (mark uint64) {
	for _, capability := range capabilities {
		h := maphash.String(c.seed, capability)
		mark |= 1<<(h&63) | 1<<(h>>6&63)
	}
	return mark
}

// remove removes entries, in one go through each list: thousands of leases may end at once.
func (c *catalogue) remove(entries ...*entry) {
	isGone := make(map[*entry]bool, len(entries))
	c.mu.Lock()
	defer c.mu.Unlock()
	shorter := map[string]bool{}
	for _, e := range entries {
		isGone[e] = true
		delete(c.byID, e.contract.ID)
		for _, o := range e.offers {
			shorter[o.capability] = true
		}
	}
	c.all = without(c.all, func(e *entry) bool { return isGone[e] })
	for capability := range shorter {
		list := c.byCapability[capability]
		list.byID = without(list.byID, func(e *entry) bool { return isGone[e] })
		list.ranked = without(list.ranked, func(p posting) bool { return isGone[p.entry] })
		c.byCapability[capability] = list
		if len(list.byID) == 0 {
			delete(c.byCapability, capability)
		}
	}
	c.changes.Add(1)
}

func (c *catalogue) get(id string) (*entry, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.byID[id]
	return e, ok
}

func (c *catalogue) entries() []*entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.all
}

// capabilities lists what is on offer, sorted.
func (c *catalogue) capabilities() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.byCapability))
}

// having returns the shortest lists that hold every service with all of the capabilities, all services by id if there are
// none, and the capabilities that no service has. The lists must not be modified.
func (c *catalogue) having(capabilities []string) (shortest postings, missing []string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	shortest.byID = c.all
	for i, capability := range capabilities {
		list, ok := c.byCapability[capability]
		if !ok {
			missing = append(missing, capability)
		}
		if i == 0 || len(list.byID) < len(shortest.byID) {
			shortest = list
		}
	}
	return shortest, missing
}

func byID(a, b *entry) int { return strings.Compare(a.contract.ID, b.contract.ID) }

func byTotal(a, b posting) int { return cmp.Or(cmp.Compare(b.total, a.total), byID(a.entry, b.entry)) }

// inserted returns a copy of the sorted list with one in its place.
func inserted[T any](list []T, one T, order func(a, b T) int) []T {
	at, _ := slices.BinarySearchFunc(list, one, order)
	return slices.Concat(list[:at], []T{one}, list[at:])
}

// without returns a copy of the list without those that are gone.
func without[T any](list []T, isGone func(T) bool) []T {
	kept := make([]T, 0, len(list))
	for start := 0; start < len(list); { // runs are copied faster than ones
		end := start
		for end < len(list) && !isGone(list[end]) {
			end++
		}
		kept = append(kept, list[start:end]...)
		start = end + 1
	}
	return kept
}
