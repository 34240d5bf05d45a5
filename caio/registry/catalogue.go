package registry

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const statusActive = "active"

// An entry is one registered service, prepared for listing and routing. It is immutable.
type entry struct {
	contract     *contract.Contract
	capabilities []string
	guarantees   map[string]any
	endpoints    []caio.Endpoint

	accuracy map[string]float64 // promised minimum by capability; 0 if none is promised
	p95      float64            // promised milliseconds; +Inf if none are promised
	price    float64            // of a call of 1,000 tokens as the contract states it; +Inf if it does not
}

func newEntry(ct *contract.Contract) *entry {
	e := &entry{contract: ct, accuracy: make(map[string]float64), guarantees: guaranteesOf(ct), p95: math.Inf(1), price: priceOf(ct.Cost)}
	for _, c := range ct.Capabilities {
		promised := 0.0
		if c.Accuracy != nil && c.Accuracy.Min != nil {
			promised = *c.Accuracy.Min
		}
		if known, ok := e.accuracy[c.Type]; !ok || promised > known {
			e.accuracy[c.Type] = promised
		}
		if !slices.Contains(e.capabilities, c.Type) {
			e.capabilities = append(e.capabilities, c.Type)
		}
	}
	for _, g := range ct.Guarantees {
		if g.Property == "p95_latency_ms" && g.Bound.Max != nil {
			e.p95 = min(e.p95, *g.Bound.Max)
		}
	}
	for _, endpoint := range ct.API.Endpoints {
		e.endpoints = append(e.endpoints, caio.Endpoint{Method: endpoint.Method, Path: endpoint.Path})
	}
	return e
}

// guaranteesOf returns the guarantees in CAIO's form. Further ones of the same name go by their property.
func guaranteesOf(ct *contract.Contract) map[string]any {
	guarantees := make(map[string]any, len(ct.Guarantees))
	for _, g := range ct.Guarantees {
		object := map[string]any{"property": g.Property, "bound": wire.Bound(g.Bound)}
		if g.Invariant != "" {
			object["invariant"] = g.Invariant
		}
		name := g.Name
		if _, taken := guarantees[name]; taken {
			name = g.Property
		}
		guarantees[name] = object
	}
	return guarantees
}

func priceOf(cost *contract.Cost) float64 {
	switch {
	case cost == nil:
		return math.Inf(1)
	case cost.Model == "free":
		return 0
	case cost.BaseCost == nil && cost.TokenCost == nil:
		return math.Inf(1)
	}
	price := 0.0
	if cost.BaseCost != nil {
		price += *cost.BaseCost
	}
	if cost.TokenCost != nil {
		price += 1000 * *cost.TokenCost
	}
	return price
}

// summary is the entry as lists show it.
func (e *entry) summary() caio.Service {
	return caio.Service{
		ID: e.contract.ID, Name: e.contract.Name, Version: e.contract.Version,
		Capabilities: e.capabilities, Guarantees: e.guarantees, Status: statusActive,
	}
}

// offers reports whether the service has all of the capabilities.
func (e *entry) offers(capabilities []string) bool {
	for _, c := range capabilities {
		if _, ok := e.accuracy[c]; !ok {
			return false
		}
	}
	return true
}

// A rank is a service's place in the order of preference for some capabilities.
type rank struct {
	accuracy, p95, price float64
	id                   string
}

// rank returns the service's rank; its accuracy is that promised for the weakest of the capabilities.
func (e *entry) rank(capabilities ...string) rank {
	r := rank{math.Inf(1), e.p95, e.price, e.contract.ID}
	for _, c := range capabilities {
		r.accuracy = min(r.accuracy, e.accuracy[c])
	}
	return r
}

// compare is negative if a goes before b. It is the whole rule of choice: the higher promised accuracy, then the lower
// promised p95 latency, then the lower price, then the id.
func (a rank) compare(b rank) int {
	return cmp.Or(
		cmp.Compare(b.accuracy, a.accuracy),
		cmp.Compare(a.p95, b.p95),
		cmp.Compare(a.price, b.price),
		strings.Compare(a.id, b.id),
	)
}

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
	for _, capability := range e.capabilities {
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
	for _, capability := range e.capabilities {
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
func (c *catalogue) list(required contract.Requirements) []caio.Service {
	entries, _, _ := c.candidates(required.Capabilities)
	services := make([]caio.Service, 0, len(entries))
	free := len(required.Capabilities) <= 1 && len(required.Guarantees) == 0 && len(required.Constraints) == 0
	for _, e := range entries {
		if free || e.contract.Match(required).OK {
			services = append(services, e.summary())
		}
	}
	slices.SortFunc(services, func(a, b caio.Service) int { return strings.Compare(a.ID, b.ID) })
	return services
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
