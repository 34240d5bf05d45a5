package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const (
	statusActive    = "active"
	statusUnhealthy = "unhealthy"
	endOfListed     = `"}`

	maxExcerpt       = 256 << 10 // as much as package contract reads
	maxDocumentation = 2000      // bytes of a URL
)

// An entry is one registered service, prepared for listing and routing. All but its presence is immutable.
type entry struct {
	contract      *contract.Contract // without the members that [routingPart] leaves out
	documentation string             // URL, from the contract's metadata
	size          int64              // bytes of memory, as [entry.bytes] estimates them
	presence      presence
	trust         float64 // least trust level of users
	confidential  bool    // sensitive data may go there

	digest    string
	excerpt   jsontext.Value // of the contract: what routing looks at; canonical JSON, itself a contract
	listed    []byte         // the summary as JSON, up to the status at its end
	endpoints []caio.Endpoint

	offers       []offer
	mark         uint64   // of the offers, see [catalogue.mark]; set when the entry is added
	p95          *float64 // promised milliseconds
	price        *float64 // of a call of 1,000 tokens as the contract states it
	availability *float64 // promised ratio
	parts        parts    // of the score, but for the accuracy
}

// An offer is a capability with the accuracy that is promised for it.
type offer struct {
	capability string
	accuracy   *float64
}

func (e *entry) routable() bool { return !e.presence.unhealthy.Load() }

func (e *entry) status() string {
	if e.routable() {
		return statusActive
	}
	return statusUnhealthy
}

func newEntry(ct *contract.Contract) (*entry, error) {
	e := &entry{contract: routingPart(ct), digest: ct.Digest(), price: priceOf(ct.Cost), trust: trustFor(ct), confidential: confidential(ct)}
	if link := ct.Metadata.DocumentationURL; len(link) <= maxDocumentation {
		e.documentation = link
	}
	for _, c := range ct.Capabilities {
		e.addOffer(c)
	}
	for _, g := range ct.Guarantees {
		switch g.Property {
		case "p95_latency_ms":
			e.p95 = stricter(e.p95, g.Bound.Max, func(a, b float64) bool { return a < b })
		case "availability":
			e.availability = stricter(e.availability, g.Bound.Min, func(a, b float64) bool { return a > b })
		}
	}
	e.endpoints = make([]caio.Endpoint, len(ct.API.Endpoints))
	for i, endpoint := range ct.API.Endpoints {
		e.endpoints[i] = caio.Endpoint{Method: endpoint.Method, Path: endpoint.Path}
	}
	e.parts = parts{performance: performance(e.p95), cost: cost(e.price), reliability: ratio(e.availability)}
	text, err := ct.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if e.excerpt, err = excerptOf(text); err != nil {
		return nil, err
	}
	if len(e.excerpt) > maxExcerpt {
		return nil, invalidContract(fmt.Errorf("with all digits of its numbers the contract has %d bytes, at most %d are kept", len(e.excerpt), maxExcerpt))
	}
	listed, err := json.Marshal(e.service())
	e.listed = bytes.Clone(bytes.TrimSuffix(listed, []byte(statusActive+endOfListed)))
	e.size = e.bytes(len(text))
	return e, err
}

// routingPart returns a copy of the contract for matching. The copy lacks schemas, parameters, capacities, cost (the
// entry has the price), invariants, metadata and extensions: decoded, free members take up to 50 times their text. It
// still has the whole text, as JSON.
func routingPart(whole *contract.Contract) *contract.Contract {
	ct := *whole
	ct.Description, ct.Cost, ct.Invariants, ct.Extensions, ct.Metadata = "", nil, nil, nil, contract.Metadata{}
	ct.API.Endpoints = nil // entry.endpoints has them
	ct.Capabilities = make([]contract.Capability, len(whole.Capabilities))
	for i, c := range whole.Capabilities {
		ct.Capabilities[i] = contract.Capability{Type: c.Type, Accuracy: c.Accuracy}
	}
	return &ct
}

// wholeContract reads the contract again from its text.
func (e *entry) wholeContract() (*contract.Contract, error) {
	text, err := e.contract.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return contract.Parse(e.contract.ID, text)
}

// service returns what lists show while the service is active.
func (e *entry) service() *caio.Service {
	return &caio.Service{
		ID: e.contract.ID, Name: e.contract.Name, Version: e.contract.Version, Capabilities: e.capabilities(),
		Guarantees: guaranteesOf(e.contract), Status: statusActive,
	}
}

func (e *entry) capabilities() []string {
	list := make([]string, len(e.offers))
	for i := range e.offers {
		list[i] = e.offers[i].capability
	}
	return list
}

func (e *entry) addOffer(c contract.Capability) {
	o := offer{capability: c.Type}
	if c.Accuracy != nil {
		o.accuracy = c.Accuracy.Min
	}
	i := slices.IndexFunc(e.offers, func(known offer) bool { return known.capability == c.Type })
	if i < 0 {
		e.offers = append(e.offers, o)
		return
	}
	e.offers[i].accuracy = stricter(e.offers[i].accuracy, o.accuracy, func(a, b float64) bool { return a > b })
}

// stricter returns the stricter of two bounds. Nil is no bound.
func stricter(a, b *float64, than func(a, b float64) bool) *float64 {
	if a == nil || b != nil && than(*b, *a) {
		return b
	}
	return a
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

func priceOf(cost *contract.Cost) *float64 {
	switch {
	case cost == nil:
		return nil
	case cost.Model == "free":
		return new(float64)
	case cost.BaseCost == nil && cost.TokenCost == nil:
		return nil
	}
	price := 0.0
	if cost.BaseCost != nil {
		price += *cost.BaseCost
	}
	if cost.TokenCost != nil {
		price += 1000 * *cost.TokenCost
	}
	return &price
}

// trustFor returns the least trust level that the contract serves, as [contract.Contract.Match] compares it.
func trustFor(ct *contract.Contract) float64 {
	sections := []map[string]any{ct.Constraints.Other}
	if ct.Privacy != nil {
		sections = append(sections, ct.Privacy.Other)
	}
	if ct.Alignment != nil {
		sections = append(sections, ct.Alignment.Other)
	}
	for _, section := range sections {
		if level, ok := section["required_trust_level"].(float64); ok {
			return level
		}
		if _, ok := section["required_trust_level"]; ok && !ct.Match(contract.Requirements{TrustLevel: new(math.MaxFloat64)}).OK {
			return math.Inf(1)
		}
	}
	return math.Inf(-1)
}

// confidential reports whether sensitive data may go to the service: it stays on the device or local, or is encrypted.
func confidential(ct *contract.Contract) bool {
	p := ct.Privacy
	return p != nil && (p.DataLocality == "on_device" || p.DataLocality == "local" || p.Encryption != nil && *p.Encryption)
}

// excerptOf returns what routing looks at of a contract: the document without remarks and schemas. It is a valid contract,
// because all that it lacks is optional and nothing else in a contract refers to it.
func excerptOf(text []byte) (jsontext.Value, error) {
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	body := document
	if inner, nested := document["service"].(map[string]any); nested {
		body = inner
		document = map[string]any{"service": inner}
	}
	for name := range body {
		if name == "metadata" || name == "description" || strings.HasPrefix(name, "x-") {
			delete(body, name)
		}
	}
	api, _ := body["api"].(map[string]any)
	endpoints, _ := api["endpoints"].([]any)
	for _, item := range endpoints {
		if endpoint, ok := item.(map[string]any); ok {
			delete(endpoint, "input_schema")
			delete(endpoint, "output_schema")
		}
	}
	excerpt, err := canonical(document)
	return bytes.Clone(excerpt), err // without spare capacity
}

// meets reports whether the service meets all of the requirements.
func (e *entry) meets(required []*contract.Matcher) bool {
	for _, q := range required {
		if !q.Matches(e.contract) {
			return false
		}
	}
	return true
}

// promised returns the accuracy promised for the weakest of the capabilities, nil if none is for one of them.
func (e *entry) promised(capabilities []string) *float64 {
	var weakest *float64
	for i, capability := range capabilities {
		at := e.offering(capability)
		if at < 0 || e.offers[at].accuracy == nil {
			return nil
		}
		if i == 0 || *e.offers[at].accuracy < *weakest {
			weakest = e.offers[at].accuracy
		}
	}
	return weakest
}

// offering returns the place of a capability in the offers, -1 if it is not there.
func (e *entry) offering(capability string) int {
	for i := range e.offers {
		if e.offers[i].capability == capability {
			return i
		}
	}
	return -1
}
