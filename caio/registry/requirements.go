package registry

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A requirements reads all forms of requirements: a list of capabilities, or an object. Members of the object that are
// not known are refused: ignoring one could choose a service that does not meet it.
type requirements struct {
	Capability   *wire.Capability  `json:"capability"`
	Capabilities []wire.Capability `json:"capabilities"`
	Guarantees   map[string]any    `json:"guarantees"`
	Constraints  map[string]any    `json:"constraints"`
}

func readRequirements(value jsontext.Value, prefix string) (r requirements, err error) {
	switch value.Kind() {
	case '[':
		err = decode(value, &r.Capabilities, prefix)
	case '{':
		err = decode(value, &r, prefix, json.RejectUnknownMembers(true))
	case 'n', 0:
	default:
		err = invalidRequest(prefix + `: must be a list of capabilities or an object like {"capabilities": [...], "guarantees": {...}}`)
	}
	if r.Capability != nil {
		r.Capabilities = append(r.Capabilities, *r.Capability)
	}
	return r, err
}

// A routingBody is the body of orchestrate, and the "request" in it. Further members (intent, user) are not looked at.
type routingBody struct {
	Requirements jsontext.Value `json:"requirements"`
	Guarantees   map[string]any `json:"guarantees"`
	Constraints  map[string]any `json:"constraints"`
	Policies     []policy       `json:"policies"`
}

// A policy narrows the choice like a constraint.
type policy struct {
	Type  string `json:"type"`
	Field string `json:"field"`
	Value any    `json:"value"`
}

// readRouting reads the flat and the nested body of orchestrate. What stands in both places must hold from both.
func readRouting(r *http.Request) (caio.Request, error) {
	var outer struct {
		routingBody
		Request *routingBody `json:"request"`
	}
	if err := readJSON(r, &outer); err != nil {
		return caio.Request{}, err
	}
	required := newGathering()
	required.addBody(outer.routingBody, "")
	if outer.Request != nil {
		required.addBody(*outer.Request, "/request")
	}
	return required.request, required.err
}

// readDiscovery reads the body of discover-services, which may ask for anything or nothing.
func readDiscovery(r *http.Request) (contract.Requirements, error) {
	var body jsontext.Value
	if err := readJSON(r, &body); err != nil {
		return contract.Requirements{}, err
	}
	required := newGathering()
	required.addRequirements(body, "")
	if required.err == nil {
		required.err = checkSize(required.request)
	}
	return requirementsOf(required.request), required.err
}

// A gathering collects requirements from the places where a body may have them, up to the first fault.
type gathering struct {
	request caio.Request
	err     error
}

func newGathering() *gathering {
	return &gathering{request: caio.Request{Guarantees: map[string]contract.Bound{}, Constraints: map[string]any{}}}
}

func (g *gathering) addBody(b routingBody, prefix string) {
	g.addRequirements(b.Requirements, prefix+"/requirements")
	g.addGuarantees(b.Guarantees, prefix+"/guarantees")
	g.addConstraints(b.Constraints, prefix+"/constraints")
	for i, p := range b.Policies {
		if p.Type != "constraint" || p.Field == "" {
			g.fail(fmt.Sprintf(`%s/policies/%d: only policies like {"type": "constraint", "field": "requires_gpu", "value": false} are known`, prefix, i))
			return
		}
		g.addConstraints(map[string]any{p.Field: p.Value}, fmt.Sprintf("%s/policies/%d", prefix, i))
	}
}

func (g *gathering) addRequirements(value jsontext.Value, prefix string) {
	if g.err != nil {
		return
	}
	r, err := readRequirements(value, prefix)
	if err == nil {
		err = checkSize(caio.Request{Capabilities: wire.Names(r.Capabilities)})
	}
	if err != nil {
		g.err = err
		return
	}
	for _, name := range wire.Names(r.Capabilities) {
		if !slices.Contains(g.request.Capabilities, name) {
			g.request.Capabilities = append(g.request.Capabilities, name)
		}
	}
	g.addGuarantees(r.Guarantees, prefix+"/guarantees")
	g.addConstraints(r.Constraints, prefix+"/constraints")
}

func (g *gathering) addGuarantees(guarantees map[string]any, prefix string) {
	for _, property := range slices.Sorted(maps.Keys(guarantees)) {
		bound, err := wire.ParseBound(guarantees[property])
		if err != nil {
			g.fail(fmt.Sprintf("%s/%s: %v", prefix, wire.Clip(property, 100), err))
			return
		}
		if held, ok := g.request.Guarantees[property]; ok && !reflect.DeepEqual(held, bound) {
			g.fail(fmt.Sprintf("%s/%s: is required elsewhere with another bound", prefix, wire.Clip(property, 100)))
			return
		}
		g.request.Guarantees[property] = bound
	}
}

func (g *gathering) addConstraints(constraints map[string]any, prefix string) {
	for _, field := range slices.Sorted(maps.Keys(constraints)) {
		if held, ok := g.request.Constraints[field]; ok && !reflect.DeepEqual(held, constraints[field]) {
			g.fail(fmt.Sprintf("%s: %s is required elsewhere with another value", prefix, wire.Clip(field, 100)))
			return
		}
		g.request.Constraints[field] = constraints[field]
	}
}

func (g *gathering) fail(message string) {
	if g.err == nil {
		g.err = invalidRequest(message)
	}
}
