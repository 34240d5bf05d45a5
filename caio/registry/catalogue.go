package registry

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// Limits bound what a catalogue holds.
type limits struct {
	services     int
	capabilities int   // distinct names
	bytes        int64 // of memory, as [entry.bytes] estimates them
}

// A catalogue holds the entries. Its lists are replaced, never modified, so that readers may keep them without the lock.
type catalogue struct {
	limits  limits
	weights Weights
	changes atomic.Int64 // of the lists, of statuses and of leases' lengths

	seed maphash.Seed // of marks

	mu           sync.RWMutex
	byID         map[string]*entry
	all          []*entry // by id
	byCapability map[string]postings
	names        []string // keys of byCapability, sorted; modified in place
	bytes        int64    // sum of the entries' sizes, without the names
}

// Postings are the services with a capability.
type postings struct {
	byID   sortedList[*entry]
	ranked sortedList[posting] // by total, the highest first, then by id
	count  int
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

func newCatalogue(most limits, weights Weights) *catalogue {
	return &catalogue{
		limits: most, weights: weights, seed: maphash.MakeSeed(), byID: make(map[string]*entry), byCapability: make(map[string]postings),
	}
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
	return nil, c.checkRoom(e)
}

// checkRoom returns an error if e would exceed a limit. c.mu is held.
func (c *catalogue) checkRoom(e *entry) error {
	if len(c.byID) >= c.limits.services {
		return registryFull("it holds %d services, the most it may (Options.MaxServices)", c.limits.services)
	}
	unknown := 0
	for i := range e.offers {
		if _, known := c.byCapability[e.offers[i].capability]; !known {
			unknown++
		}
	}
	size, taken := e.size+int64(unknown)*capabilityOverhead, c.takenBytes()
	if taken+size > c.limits.bytes {
		return registryFull("the service would take about %d bytes of memory, and %d of at most %d are taken (Options.MaxBytes)",
			size, taken, c.limits.bytes)
	}
	if len(c.byCapability)+unknown > c.limits.capabilities {
		return registryFull("%d of the service's capabilities are not offered yet, and %d of at most %d are (Options.MaxCapabilities)",
			unknown, len(c.byCapability), c.limits.capabilities)
	}
	return nil
}

// takenBytes estimates the memory of all services. c.mu is held.
func (c *catalogue) takenBytes() int64 {
	return c.bytes + int64(len(c.byCapability))*capabilityOverhead
}

func registryFull(format string, args ...any) error {
	return &caio.Error{Op: "register", Status: http.StatusInsufficientStorage, Code: wire.RegistryFull,
		Message: "the registry is full: " + fmt.Sprintf(format, args...) + "; unregister a service first"}
}

func alreadyRegistered(held *contract.Contract) error {
	return &caio.Error{Op: "register", Status: http.StatusConflict, Code: wire.AlreadyRegistered,
		Message: fmt.Sprintf("Service %s is already registered with a different contract (version %s): unregister it first (DELETE /api/v1/services/%[1]s) or choose another id",
			held.ID, held.Version),
		Details: map[string]any{"service_id": held.ID, "version": held.Version}}
}

// A refusedEntry is an entry that would exceed a limit.
type refusedEntry struct {
	*entry
	err error
}

// add adds entries with new, different ids, and returns the entries without room.
func (c *catalogue) add(entries ...*entry) (refused []refusedEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var added []*entry
	var names []string
	for _, e := range entries {
		if err := c.checkRoom(e); err != nil {
			refused = append(refused, refusedEntry{e, err})
			continue
		}
		added = append(added, e)
		c.byID[e.contract.ID] = e
		c.bytes += e.size
		e.mark = c.mark(e.capabilities()...)
		for i := range e.offers {
			name := e.offers[i].capability
			list, known := c.byCapability[name]
			if !known {
				name = strings.Clone(name) // it may outlast the entry
				names = append(names, name)
			}
			c.byCapability[name] = postings{list.byID.with(e, byID), list.ranked.with(c.offer(e, i), byTotal), list.count + 1}
		}
	}
	if len(added) == 1 {
		c.all = inserted(c.all, added[0], byID)
	} else {
		c.all = slices.Concat(c.all, added)
		slices.SortFunc(c.all, byID)
	}
	slices.Sort(names)
	c.names = merged(c.names, names)
	c.changes.Add(1)
	return refused
}

// offer returns the posting for an offer of e.
func (c *catalogue) offer(e *entry, i int) posting {
	all := e.parts
	all.guarantees = ratio(e.offers[i].accuracy)
	return posting{entry: e, total: c.weights.total(all), mark: e.mark, trust: e.trust, confidential: e.confidential}
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
	if len(entries) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	isGone := make(map[*entry]bool, len(entries))
	gone := make(map[string][]posting)
	for _, e := range slices.SortedFunc(slices.Values(entries), byID) {
		isGone[e] = true
		delete(c.byID, e.contract.ID)
		c.bytes -= e.size
		for i := range e.offers {
			name := e.offers[i].capability
			gone[name] = append(gone[name], c.offer(e, i))
		}
	}
	c.all = slices.DeleteFunc(slices.Clone(c.all), func(e *entry) bool { return isGone[e] })
	var names []string
	for name, offers := range gone {
		list := c.byCapability[name]
		if list.count == len(offers) {
			delete(c.byCapability, name)
			names = append(names, name)
			continue
		}
		list.byID = list.byID.without(entriesOf(offers), byID)
		slices.SortFunc(offers, byTotal)
		list.ranked = list.ranked.without(offers, byTotal)
		list.count -= len(offers)
		c.byCapability[name] = list
	}
	slices.Sort(names)
	c.names = separated(c.names, names)
	c.changes.Add(1)
}

func entriesOf(offers []posting) []*entry {
	list := make([]*entry, len(offers))
	for i := range offers {
		list[i] = offers[i].entry
	}
	return list
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

// capabilities returns the first names of capabilities that services offer, at most so many, sorted.
func (c *catalogue) capabilities(most int) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.names[:min(len(c.names), most)])
}

// usage returns how much of the limits is used.
func (c *catalogue) usage() limits {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return limits{services: len(c.byID), capabilities: len(c.names), bytes: c.takenBytes()}
}

// having returns the shortest lists that hold every service with all of the capabilities, and the capabilities
// without a service. There is at least one capability.
func (c *catalogue) having(capabilities []string) (shortest postings, missing []string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i, capability := range capabilities {
		list, ok := c.byCapability[capability]
		if !ok {
			missing = append(missing, capability)
		}
		if i == 0 || list.count < shortest.count {
			shortest = list
		}
	}
	return shortest, missing
}

func byID(a, b *entry) int { return strings.Compare(a.contract.ID, b.contract.ID) }

func byTotal(a, b posting) int { return cmp.Or(cmp.Compare(b.total, a.total), byID(a.entry, b.entry)) }
