package registry

import (
	"cmp"
	"encoding/json"
	"math"
	"strings"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const statusActive = "active"

// An entry is one registered service, prepared for listing and routing. It is immutable.
type entry struct {
	contract  *contract.Contract
	summary   caio.Service // as lists show it
	listed    []byte       // the summary as JSON
	endpoints []caio.Endpoint

	accuracy map[string]float64 // promised minimum by capability; 0 if none is promised
	p95      float64            // promised milliseconds; +Inf if none are promised
	price    float64            // of a call of 1,000 tokens as the contract states it; +Inf if it does not
}

func newEntry(ct *contract.Contract) (*entry, error) {
	e := &entry{contract: ct, accuracy: make(map[string]float64), p95: math.Inf(1), price: priceOf(ct.Cost)}
	e.summary = caio.Service{ID: ct.ID, Name: ct.Name, Version: ct.Version, Guarantees: guaranteesOf(ct), Status: statusActive}
	for _, c := range ct.Capabilities {
		promised := 0.0
		if c.Accuracy != nil && c.Accuracy.Min != nil {
			promised = *c.Accuracy.Min
		}
		known, ok := e.accuracy[c.Type]
		if !ok {
			e.summary.Capabilities = append(e.summary.Capabilities, c.Type)
		}
		e.accuracy[c.Type] = max(known, promised)
	}
	for _, g := range ct.Guarantees {
		if g.Property == "p95_latency_ms" && g.Bound.Max != nil {
			e.p95 = min(e.p95, *g.Bound.Max)
		}
	}
	for _, endpoint := range ct.API.Endpoints {
		e.endpoints = append(e.endpoints, caio.Endpoint{Method: endpoint.Method, Path: endpoint.Path})
	}
	var err error
	e.listed, err = json.Marshal(e.summary)
	return e, err
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
