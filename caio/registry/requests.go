package registry

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// maxBody is somewhat more than the largest contract that package contract reads.
const maxBody = 256<<10 + 16<<10

// readBody returns the body and whether it is YAML; it is JSON otherwise.
func readBody(r *http.Request) (body []byte, isYAML bool, err error) {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case mediaType == "", mediaType == "application/json", strings.HasSuffix(mediaType, "+json"):
	case slices.Contains([]string{"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}, mediaType):
		isYAML = true
	default:
		return nil, false, &caio.Error{Status: http.StatusUnsupportedMediaType, Code: wire.UnsupportedMediaType,
			Message: fmt.Sprintf("Content-Type %s is not read: send application/json, or a contract as application/yaml", wire.Clip(mediaType, 60))}
	}
	body, err = io.ReadAll(r.Body)
	switch {
	case err != nil:
		return nil, false, unreadable(err)
	case len(body) == 0:
		return nil, false, invalidRequest("the request has no body")
	}
	return body, isYAML, nil
}

// readJSON decodes the body into value strictly: a name that appears twice, invalid UTF-8 and further text are faults.
func readJSON(r *http.Request, value any) error {
	body, isYAML, err := readBody(r)
	switch {
	case err != nil:
		return err
	case isYAML:
		return &caio.Error{Status: http.StatusUnsupportedMediaType, Code: wire.UnsupportedMediaType, Message: "only contracts may be YAML: send application/json"}
	}
	return decode(body, value, "")
}

// decode reports faults with the place where they are, below prefix.
func decode(data []byte, value any, prefix string, options ...json.Options) error {
	err := json.Unmarshal(data, value, options...)
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntactic):
		return invalidRequest(fmt.Sprintf("the request is not valid JSON, at byte %d: %v", syntactic.ByteOffset, wire.Clip(syntactic.Err.Error(), 200)))
	case errors.As(err, &semantic):
		problem := "unexpected JSON " + semantic.JSONKind.String()
		if semantic.Err != nil {
			problem = semantic.Err.Error()
		}
		return invalidRequest(fmt.Sprintf("%s: %s", wire.Clip(prefix+string(semantic.JSONPointer), 200), wire.Clip(problem, 200)))
	}
	return invalidRequest("the request is not what is expected here")
}

// readContract reads a contract in every form that CAIO takes: YAML, {"contract": {...}} or the contract itself as JSON.
// A "service_id" beside the contract, which CAIO documents for its open path, replaces the contract's own.
func readContract(r *http.Request) (*contract.Contract, error) {
	body, isYAML, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if !isYAML {
		if body, err = unwrapContract(body); err != nil {
			return nil, err
		}
	}
	return parseContract("contract", body)
}

func parseContract(name string, text []byte) (*contract.Contract, error) {
	ct, err := contract.Parse(name, text)
	if err != nil {
		return nil, invalidContract(err)
	}
	return ct, nil
}

// readUpload reads the first file of a form, which holds a contract in YAML.
func readUpload(r *http.Request) (*contract.Contract, error) {
	form, err := r.MultipartReader()
	if err != nil {
		return nil, &caio.Error{Status: http.StatusUnsupportedMediaType, Code: wire.UnsupportedMediaType, Message: "send the contract as a file in multipart/form-data"}
	}
	for {
		part, err := form.NextPart()
		switch {
		case err == io.EOF:
			return nil, invalidRequest("the form has no file")
		case err != nil:
			return nil, unreadable(err)
		case part.FileName() == "":
			continue
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, unreadable(err)
		}
		return parseContract(wire.Clip(part.FileName(), 100), text)
	}
}

// unreadable is the refusal of a body that could not be read to its end.
func unreadable(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &caio.Error{Status: http.StatusRequestEntityTooLarge, Code: wire.RequestTooLarge,
			Message: fmt.Sprintf("the request is larger than %d bytes", tooLarge.Limit)}
	}
	return invalidRequest("the request was cut off, or is not what its Content-Type says")
}

func unwrapContract(body []byte) ([]byte, error) {
	var members map[string]jsontext.Value
	if err := decode(body, &members, ""); err != nil {
		return nil, err
	}
	inner, wrapped := members["contract"]
	if !wrapped {
		return body, nil
	}
	override, ok := members["service_id"]
	if !ok || override.Kind() == 'n' {
		return inner, nil
	}
	if override.Kind() != '"' {
		return nil, invalidRequest("/service_id: must be a text")
	}
	var document map[string]stdjson.RawMessage
	if err := decode(inner, &document, "/contract"); err != nil {
		return nil, err
	}
	return withServiceID(document, stdjson.RawMessage(override))
}

// withServiceID returns the contract with another id, in the shape that it has: nested or flat.
func withServiceID(document map[string]stdjson.RawMessage, id stdjson.RawMessage) ([]byte, error) {
	nested, ok := document["service"]
	if !ok {
		document["service_id"] = id
		return stdjson.Marshal(document)
	}
	var service map[string]stdjson.RawMessage
	if err := decode(nested, &service, "/contract/service"); err != nil {
		return nil, err
	}
	service["id"] = id
	inner, err := stdjson.Marshal(service)
	if err != nil {
		return nil, err
	}
	document["service"] = inner
	return stdjson.Marshal(document)
}

// invalidContract keeps the faults, so that errors.As finds the [contract.Diagnostics] beside the [caio.Error].
func invalidContract(err error) error {
	refusal := &caio.Error{Op: "register", Status: http.StatusBadRequest, Code: wire.InvalidContract, Message: wire.Clip(err.Error(), 1000)}
	var faults contract.Diagnostics
	if !errors.As(err, &faults) || len(faults) == 0 {
		return refusal
	}
	refusal.Message = wire.Clip(describe(faults[0]), 800)
	if len(faults) > 1 {
		refusal.Message += fmt.Sprintf(" (and %d more)", len(faults)-1)
	}
	refusal.Details = map[string]any{"diagnostics": diagnosticsBody(faults)}
	return errors.Join(refusal, faults)
}

// describe is the diagnostic in one line: where, what, and what to write.
func describe(d contract.Diagnostic) string {
	line := d.Message
	if d.Path != "" {
		line = d.Path + ": " + line
	}
	if d.Fix != "" {
		line += "; " + d.Fix
	}
	return line
}

func diagnosticsBody(faults contract.Diagnostics) []map[string]any {
	list := make([]map[string]any, len(faults))
	for i, d := range faults {
		severity := "error"
		if d.Severity == contract.Warning {
			severity = "warning"
		}
		list[i] = map[string]any{"severity": severity, "code": d.Code, "path": d.Path, "line": d.Line, "column": d.Column, "message": d.Message, "fix": d.Fix}
	}
	return list
}

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
