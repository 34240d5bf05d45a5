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

// A routingBody is the body of orchestrate, and the "request" in it. Further members are not looked at.
type routingBody struct {
	Requirements jsontext.Value   `json:"requirements"`
	Guarantees   map[string]any   `json:"guarantees"`
	Constraints  map[string]any   `json:"constraints"`
	Steps        []jsontext.Value `json:"steps"`
	Policies     []jsontext.Value `json:"policies"`
	User         struct {
		TrustLevel *float64 `json:"trust_level"`
	} `json:"user"`
	Sensitive *bool          `json:"sensitive"`
	Intent    jsontext.Value `json:"intent"`
	Context   jsontext.Value `json:"context"`
}

// readRouting reads the flat and the nested body of orchestrate. What stands in both places must hold from both.
func readRouting(r *http.Request) (caio.Request, error) {
	body, isYAML, err := readBody(r)
	switch {
	case err != nil:
		return caio.Request{}, err
	case isYAML:
		return caio.Request{}, onlyContractsAreYAML()
	}
	return decodeRouting(body)
}

func decodeRouting(body []byte) (caio.Request, error) {
	var outer struct {
		routingBody
		Request *routingBody `json:"request"`
	}
	if err := decode(body, &outer, ""); err != nil {
		return caio.Request{}, err
	}
	required := newGathering()
	required.addBody(outer.routingBody, "")
	if outer.Request != nil {
		required.addBody(*outer.Request, "/request")
	}
	required.addSubject(outer.routingBody, outer.Request)
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
		required.err = checkSize(wholeStep(required.request))
	}
	return requirementsOf(wholeStep(required.request)), required.err
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
	g.addSteps(b.Steps, prefix+"/steps")
	g.addPolicies(b.Policies, prefix+"/policies")
	if level := b.User.TrustLevel; level != nil {
		g.request.TrustLevel = *level // the outer body comes first: the request's own user counts
	}
	g.request.Sensitive = g.request.Sensitive || b.Sensitive != nil && *b.Sensitive
}

func (g *gathering) addSteps(steps []jsontext.Value, prefix string) {
	if len(steps) > maxSteps {
		g.fail(fmt.Sprintf("%s: there are %d steps, more than %d", prefix, len(steps), maxSteps))
	}
	for i, value := range steps {
		if g.err != nil {
			return
		}
		step := newGathering()
		step.addRequirements(value, fmt.Sprintf("%s/%d", prefix, i))
		g.err = step.err
		g.request.Steps = append(g.request.Steps, wholeStep(step.request))
	}
}

func (g *gathering) addPolicies(policies []jsontext.Value, prefix string) {
	for i, value := range policies {
		at := fmt.Sprintf("%s/%d", prefix, i)
		var p caio.Policy
		if g.err == nil {
			g.err = decode(value, &p, at, json.RejectUnknownMembers(true))
		}
		if g.err == nil {
			g.err = checkPolicy(p, at)
		}
		if g.err != nil {
			return
		}
		g.request.Policies = append(g.request.Policies, p)
	}
}

// addSubject reads what the request is about. It may be large, so of intent and context only what policies depend on is
// decoded, and whether the context calls itself sensitive.
func (g *gathering) addSubject(outer routingBody, inner *routingBody) {
	bodies := []routingBody{outer}
	if inner != nil {
		bodies = append(bodies, *inner)
	}
	for _, b := range bodies {
		var context struct {
			Sensitive jsontext.Value `json:"sensitive"`
		}
		if b.Context.Kind() == '{' && json.Unmarshal(b.Context, &context) == nil {
			g.request.Sensitive = g.request.Sensitive || context.Sensitive.Kind() == 't'
		}
		if !slices.ContainsFunc(g.request.Policies, func(p caio.Policy) bool { return len(p.When) > 0 }) {
			continue
		}
		g.decodeSubject(b.Intent, &g.request.Intent)
		g.decodeSubject(b.Context, &g.request.Context)
	}
}

func (g *gathering) decodeSubject(value jsontext.Value, to *map[string]any) {
	if value.Kind() != '{' || g.err != nil {
		return
	}
	members := map[string]any{}
	g.err = decode(value, &members, "")
	if *to == nil {
		*to = members
		return
	}
	maps.Copy(*to, members)
}

func (g *gathering) addRequirements(value jsontext.Value, prefix string) {
	if g.err != nil {
		return
	}
	r, err := readRequirements(value, prefix)
	if err == nil {
		err = checkSize(caio.Step{Capabilities: wire.Names(r.Capabilities)})
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
