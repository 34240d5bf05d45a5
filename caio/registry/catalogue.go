package registry

import (
	"cmp"
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
	weights  Weights
	index    contract.Index // answers requirements; changed with the lists

	mu           sync.RWMutex
	byID         map[string]*entry
	all          []posting // by id
	byCapability map[string]postings
}

// Postings are the services with a capability.
type postings struct {
	byID   []posting
	ranked []posting // by total, the highest first, then by id
}

// A posting is an entry in a list, with what is looked at for every one in it.
type posting struct {
	contract *contract.Contract
	entry    *entry
	total    float64 // of the score, for the list's capability: no less than for several
}

func newCatalogue(capacity int, weights Weights) *catalogue {
	return &catalogue{capacity: capacity, weights: weights, byID: make(map[string]*entry), byCapability: make(map[string]postings)}
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
		return nil, &caio.Error{Op: "register", Status: http.StatusInsufficientStorage, Code: wire.RegistryFull,
			Message: fmt.Sprintf("the registry is full: it holds %d services, the most it may; unregister one first", c.capacity)}
	}
	return nil, nil
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
	c.all = inserted(c.all, posting{contract: e.contract, entry: e}, byID)
	for _, o := range e.offers {
		all := e.parts
		all.guarantees = ratio(o.accuracy)
		p, list := posting{e.contract, e, c.weights.total(all)}, c.byCapability[o.capability]
		c.byCapability[o.capability] = postings{inserted(list.byID, p, byID), inserted(list.ranked, p, byTotal)}
	}
	c.index.Put(e.contract)
}

func (c *catalogue) remove(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, e.contract.ID)
	c.all = removed(c.all, e)
	for _, o := range e.offers {
		list := c.byCapability[o.capability]
		c.byCapability[o.capability] = postings{removed(list.byID, e), removed(list.ranked, e)}
		if len(list.byID) == 1 {
			delete(c.byCapability, o.capability)
		}
	}
	c.index.Remove(e.contract.ID)
}

func (c *catalogue) get(id string) (*entry, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.byID[id]
	return e, ok
}

func (c *catalogue) entries() []posting {
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

// A found is the services with some capabilities, and those of them that meet all that is required.
type found struct {
	offering []posting // the shortest list that has every service with all of the capabilities, by id
	met      []posting
	missing  []string // capabilities that no service has
}

// find returns what meets all of the requirements. The first must not lack the capabilities that all have in common, which
// are looked up; all services are looked at if there are none. The lists are sorted by id and must not be modified.
func (c *catalogue) find(required ...contract.Requirements) (f found) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	f.offering = c.all
	for i, capability := range required[0].Capabilities {
		list, ok := c.byCapability[capability]
		if !ok {
			f.missing = append(f.missing, capability)
		}
		if i == 0 || len(list.byID) < len(f.offering) {
			f.offering = list.byID
		}
	}
	f.met = f.offering
	for i, r := range required {
		if len(f.met) == 0 || i == 0 && plain(r) {
			continue
		}
		if i > 0 { // only services with the capabilities are in question
			r.Capabilities = slices.Concat(required[0].Capabilities, r.Capabilities)
		}
		f.met = intersection(f.met, c.index.Find(r))
	}
	return f
}

// ranked returns the shortest list that has every service with all of the capabilities, the best first.
func (c *catalogue) ranked(capabilities []string) []posting {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := c.byCapability[capabilities[0]].ranked
	for _, capability := range capabilities[1:] {
		if other := c.byCapability[capability].ranked; len(other) < len(list) {
			list = other
		}
	}
	return list
}

// plain reports whether everybody with the capability, if there is one, meets the requirements.
func plain(r contract.Requirements) bool {
	return len(r.Capabilities) <= 1 && len(r.Guarantees) == 0 && len(r.Constraints) == 0
}

// intersection returns those of the list that are among the contracts, both sorted by id.
func intersection(list []posting, contracts []*contract.Contract) []posting {
	met := make([]posting, 0, min(len(list), len(contracts)))
	for _, p := range list {
		for len(contracts) > 0 && contracts[0] != p.contract && contracts[0].ID < p.contract.ID {
			contracts = contracts[1:]
		}
		if len(contracts) == 0 {
			break
		}
		if contracts[0] == p.contract {
			met, contracts = append(met, p), contracts[1:]
		}
	}
	return met
}

func entriesOf(list []posting) []*entry {
	entries := make([]*entry, len(list))
	for i := range list {
		entries[i] = list[i].entry
	}
	return entries
}

func byID(a, b posting) int { return strings.Compare(a.contract.ID, b.contract.ID) }

func byTotal(a, b posting) int { return cmp.Or(cmp.Compare(b.total, a.total), byID(a, b)) }

// inserted returns a copy of the sorted list with p in its place.
func inserted(list []posting, p posting, order func(a, b posting) int) []posting {
	at, _ := slices.BinarySearchFunc(list, p, order)
	return slices.Concat(list[:at], []posting{p}, list[at:])
}

// removed returns a copy of the list without the service.
func removed(list []posting, e *entry) []posting {
	at := slices.IndexFunc(list, func(p posting) bool { return p.entry == e })
	if at < 0 {
		return list
	}
	return slices.Concat(list[:at], list[at+1:])
}
