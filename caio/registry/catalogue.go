package registry

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A catalogue holds the entries. Its lists are replaced, never modified, so that readers may keep them without the lock.
type catalogue struct {
	capacity int

	mu           sync.RWMutex
	byID         map[string]*entry
	all          []*entry            // by id
	byCapability map[string][]*entry // each by rank for that capability
}

func newCatalogue(capacity int) *catalogue {
	return &catalogue{capacity: capacity, byID: make(map[string]*entry), byCapability: make(map[string][]*entry)}
}

// add reports whether the entry is new, and not a repetition of the one that is there.
func (c *catalogue) add(e *entry) (added bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := e.contract.ID
	if held, ok := c.byID[id]; ok {
		if held.contract.Equal(e.contract) {
			return false, nil
		}
		return false, &caio.Error{Op: "register", Status: http.StatusConflict, Code: wire.AlreadyRegistered,
			Message: fmt.Sprintf("Service %s is already registered with a different contract (version %s): unregister it first (DELETE /api/v1/services/%s) or choose another id",
				id, held.contract.Version, id),
			Details: map[string]any{"service_id": id, "version": held.contract.Version}}
	}
	if len(c.byID) >= c.capacity {
		return false, &caio.Error{Op: "register", Status: http.StatusInsufficientStorage, Code: wire.RegistryFull,
			Message: fmt.Sprintf("the registry is full: it holds %d services, the most it may; unregister one first", c.capacity)}
	}
	c.byID[id] = e
	c.all = inserted(c.all, e, byID)
	for _, capability := range e.summary.Capabilities {
		c.byCapability[capability] = inserted(c.byCapability[capability], e, byRank(capability))
	}
	return true, nil
}

func (c *catalogue) remove(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return false
	}
	delete(c.byID, id)
	c.all = removed(c.all, e, byID)
	for _, capability := range e.summary.Capabilities {
		rest := removed(c.byCapability[capability], e, byRank(capability))
		c.byCapability[capability] = rest
		if len(rest) == 0 {
			delete(c.byCapability, capability)
		}
	}
	return true
}

func (c *catalogue) get(id string) (*entry, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.byID[id]
	return e, ok
}

func (c *catalogue) count() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.byID)
}

// candidates returns the shortest list that holds every service with all of the capabilities, and the one capability by
// rank for which it is sorted; all services by id if there are none. missing are the capabilities that no service has.
func (c *catalogue) candidates(capabilities []string) (list []*entry, sortedFor string, missing []string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list = c.all
	for i, capability := range capabilities {
		entries, ok := c.byCapability[capability]
		if !ok {
			missing = append(missing, capability)
		}
		if i == 0 || len(entries) < len(list) {
			list, sortedFor = entries, capability
		}
	}
	return list, sortedFor, missing
}

// capabilities lists what is on offer, sorted.
func (c *catalogue) capabilities() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.byCapability))
}

// list returns every service that meets the requirements, sorted by id.
func (c *catalogue) list(required contract.Requirements) []*entry {
	candidates, _, _ := c.candidates(required.Capabilities)
	entries := make([]*entry, 0, len(candidates))
	met := len(required.Capabilities) <= 1 && len(required.Guarantees) == 0 && len(required.Constraints) == 0
	for _, e := range candidates {
		if met || e.contract.Match(required).OK {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, byID)
	return entries
}

func byID(a, b *entry) int { return strings.Compare(a.contract.ID, b.contract.ID) }

func byRank(capability string) func(a, b *entry) int {
	return func(a, b *entry) int { return a.rank(capability).compare(b.rank(capability)) }
}

// inserted returns a copy of the sorted list with e in its place.
func inserted(list []*entry, e *entry, order func(a, b *entry) int) []*entry {
	at, _ := slices.BinarySearchFunc(list, e, order)
	return slices.Concat(list[:at], []*entry{e}, list[at:])
}

// removed returns a copy of the sorted list without e.
func removed(list []*entry, e *entry, order func(a, b *entry) int) []*entry {
	at, found := slices.BinarySearchFunc(list, e, order)
	if !found {
		return list
	}
	return slices.Concat(list[:at], list[at+1:])
}
