package bridge

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// object is a JSON object.
type object = map[string]any

// An openAPI is an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1) in the making. Its schemas are the
// contract's own, which OpenAPI 3.1 takes as they are but for references: those are relative to the document.
type openAPI struct {
	secured    bool
	maxValues  int // that the schema engine checks
	paths      map[string]object
	schemas    object
	operations map[string]int // by name, to keep names unique
}

func newOpenAPI(c *contract.Contract, bindings []binding, secured bool, maxValues int) ([]byte, error) {
	doc := &openAPI{secured: secured, maxValues: maxValues, paths: map[string]object{}, schemas: object{"Problem": problemSchema}, operations: map[string]int{}}
	for i := range bindings {
		if err := doc.addCall(&bindings[i]); err != nil {
			return nil, err
		}
	}
	doc.addJobs()
	announcement := object{"type": "string", "description": "How the announcement to the orchestrator stands, if there is one. It does not count in status."}
	doc.addOwn("/health", "Health of the service, in detail", false, object{"type": "object", "required": []string{"status", "service"}, "properties": object{
		"status": object{"enum": []string{"healthy", "unhealthy"}}, "service": text, "service_id": text, "version": text,
		"uptime_seconds": object{"type": "integer"}, "calls_in_progress": object{"type": "integer"}, "announcement": announcement,
	}})
	checks := object{"type": "array", "description": "With ?verbose: what was checked.", "items": object{"type": "object", "required": []string{"name", "status"}, "properties": object{
		"name": object{"enum": []string{"shutdown", "provider", "store", "announcement"}}, "status": text, "detail": text,
	}}}
	status := object{"type": "object", "required": []string{"status"}, "properties": object{"status": text}}
	doc.addOwn("/livez", "Whether the process answers", false, status)
	doc.addOwn("/readyz", "Whether the service takes calls", false, object{"type": "object", "required": []string{"status"}, "properties": object{"status": text, "announcement": announcement, "checks": checks}})
	doc.addOwn("/contract", "The service contract", true, object{"type": "object"})
	doc.addOwn("/openapi.json", "This document", true, object{"type": "object"})

	components := object{"schemas": doc.schemas}
	if secured {
		components["securitySchemes"] = object{"bearer": object{"type": "http", "scheme": "bearer", "description": "A token from the operator, who may accept something else instead, such as a client certificate."}}
	}
	var tags []object
	for _, capability := range c.Capabilities {
		tag := object{"name": capability.Type, "description": "The capability " + capability.Type + "."}
		if !slices.ContainsFunc(tags, func(t object) bool { return t["name"] == capability.Type }) {
			tags = append(tags, tag)
		}
	}
	tags = append(tags, object{"name": serviceTag, "description": "About the service itself."})
	return encode(object{
		"openapi":    "3.1.0",
		"info":       info(c),
		"servers":    []object{{"url": "/", "description": "Where this document came from."}},
		"security":   []object{},
		"tags":       tags,
		"paths":      doc.paths,
		"components": components,
	})
}

func info(c *contract.Contract) object {
	info := object{"title": c.Name, "version": c.Version, "description": cmp.Or(c.Description, c.Name+", described by its service contract.")}
	contact := object{}
	if c.Metadata.Provider != "" {
		contact["name"] = c.Metadata.Provider
	}
	if c.Metadata.DocumentationURL != "" {
		contact["url"] = c.Metadata.DocumentationURL
	}
	if len(contact) > 0 {
		info["contact"] = contact
	}
	return info
}

const serviceTag = "service"

var text = object{"type": "string"}

// addCall describes an endpoint of the contract.
func (doc *openAPI) addCall(bound *binding) error {
	name := doc.operationName(bound.endpoint.Method, bound.endpoint.Path)
	operation := object{
		"operationId": name,
		"summary":     bound.endpoint.String(),
		"tags":        bound.serves,
		"responses":   doc.failures(hasBody(bound.endpoint.Method)),
	}
	if len(bound.serves) == 0 {
		operation["tags"] = []string{serviceTag}
		operation["description"] = "An operation of the service."
	} else {
		operation["description"] = "Serves " + strings.Join(bound.serves, ", ") + "."
	}
	if doc.secured {
		operation["security"] = []object{{"bearer": []string{}}}
	}
	input, err := doc.addSchema(name+"Request", bound.endpoint.InputSchema)
	if err != nil {
		return err
	}
	if hasBody(bound.endpoint.Method) {
		operation["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": input}},
			"description":         fmt.Sprintf("At most %d JSON values are checked, unless the schema uses common keywords only.", doc.maxValues),
			"x-max-schema-values": doc.maxValues}
		operation["parameters"] = []object{preferParameter, keyParameter, encodingParameter}
		operation["responses"].(object)["409"] = problemResponse("The first call with this Idempotency-Key is still in progress.")
	} else {
		operation["parameters"] = append(bound.parameters.describe(name+"Request"), preferParameter)
	}
	output, err := doc.addSchema(name+"Response", bound.endpoint.OutputSchema)
	if err != nil {
		return err
	}
	content := object{"application/json": object{"schema": output}}
	if bound.streams {
		content[eventStreamType] = object{"schema": object{"type": "string", "description": "Server-sent events: those of the operation, then one \"result\", whose data is the JSON answer, or one \"error\", whose data is problem details."}}
	}
	operation["responses"].(object)["200"] = object{"description": "The answer.", "content": content}
	operation["responses"].(object)["202"] = jobAccepted
	doc.add(bound.endpoint.Path, bound.endpoint.Method, operation)
	return nil
}

// addOwn describes what the bridge itself serves.
func (doc *openAPI) addOwn(path, summary string, guarded bool, schema object) {
	operation := object{
		"operationId": doc.operationName(http.MethodGet, path),
		"summary":     summary,
		"description": summary + ". It costs nothing: the wrapped service is not called.",
		"tags":        []string{serviceTag},
		"responses": object{
			"200": object{"description": summary + ".", "content": object{"application/json": object{"schema": schema}}},
			"400": problemResponse("The request has a body."),
			"403": problemResponse("The host or origin may not call."),
		},
	}
	responses := operation["responses"].(object)
	if path == "/contract" {
		responses["200"].(object)["content"].(object)["application/yaml"] = object{"schema": schema}
	}
	if path == "/readyz" || path == "/health" {
		if path == "/readyz" {
			operation["parameters"] = []object{{"name": "verbose", "in": "query", "allowEmptyValue": true, "schema": text, "description": "Whatever its value: tell what was checked, too."}}
		}
		responses["503"] = object{"description": "The service takes no calls.", "content": object{"application/json": object{"schema": schema}}}
	}
	if path == "/contract" || path == "/openapi.json" {
		responses["304"] = object{"description": "It is what the ETag in If-None-Match stands for."}
	}
	if guarded && doc.secured {
		operation["security"] = []object{{"bearer": []string{}}}
		responses["401"] = problemResponse("Credentials are missing or wrong.")
	}
	doc.add(path, http.MethodGet, operation)
}

func (doc *openAPI) add(path, method string, operation object) {
	if doc.paths[path] == nil {
		doc.paths[path] = object{}
	}
	doc.paths[path][strings.ToLower(method)] = operation
}

// operationName makes a name of a path: "/things/{id}" becomes "thingsId", the second one of that name gets its method.
func (doc *openAPI) operationName(method, path string) string {
	words := strings.FieldsFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	for i := range words[min(1, len(words)):] {
		words[i+1] = strings.ToUpper(words[i+1][:1]) + words[i+1][1:]
	}
	name := cmp.Or(strings.Join(words, ""), "root")
	if doc.operations[name]++; doc.operations[name] > 1 {
		name += strings.ToUpper(method[:1]) + strings.ToLower(method[1:])
	}
	return name
}

// addSchema puts a schema of the contract under components and returns a reference to it. No schema allows everything.
func (doc *openAPI) addSchema(name string, schema *contract.Schema) (object, error) {
	if schema == nil {
		return object{}, nil
	}
	body, err := schema.MarshalJSON()
	if err != nil {
		return nil, err
	}
	decoded, err := decode[any](body)
	if err != nil {
		return nil, err
	}
	place := schemaPlace(name)
	doc.schemas[strings.TrimPrefix(place, schemasPlace)] = moveReferences(decoded, place)
	return object{"$ref": place}, nil
}

const schemasPlace = "#/components/schemas/"

// schemaPlace is where addSchema puts a schema.
func schemaPlace(name string) string { return schemasPlace + strings.ToUpper(name[:1]) + name[1:] }

// moveReferences rewrites references of a schema that has moved from the root of its document to place.
func moveReferences(schema any, place string) any {
	switch schema := schema.(type) {
	case []any:
		moved := make([]any, len(schema))
		for i, item := range schema {
			moved[i] = moveReferences(item, place)
		}
		return moved
	case object:
		moved := object{}
		for keyword, value := range schema {
			switch keyword {
			case "$schema": // the document says which dialect
			case "enum", "const", "default", "examples":
				moved[keyword] = value
			case "$ref":
				ref, _ := value.(string)
				moved[keyword] = place + strings.TrimPrefix(ref, "#")
			case "properties", "patternProperties", "dependentSchemas", "$defs", "definitions":
				members, _ := value.(object)
				named := object{}
				for name, member := range members {
					named[name] = moveReferences(member, place)
				}
				moved[keyword] = named
			default:
				moved[keyword] = moveReferences(value, place)
			}
		}
		return moved
	}
	return schema
}

// describe lists the parameters of a path and its query. The whole of the operation's schema, whose name is given, describes them.
func (p parameters) describe(name string) []object {
	list := []object{}
	for _, member := range slices.Sorted(maps.Keys(p)) {
		in := "query"
		if p[member].inPath {
			in = "path"
		}
		list = append(list, object{"name": member, "in": in, "required": p[member].required, "schema": moveReferences(p[member].schema, schemaPlace(name))})
	}
	return list
}

// failures describes every answer of a call but the good one.
func (doc *openAPI) failures(body bool) object {
	reasons := map[string]string{
		"400": "The query is not well-formed, or the request has a body.",
		"403": "The host or origin may not call.",
		"406": "The operation cannot answer in the form that Accept asks for.",
		"422": "The request does not fit the operation's schema or limits.",
		"429": "A limit of the contract, or of the wrapped service, is reached. Retry-After says when to try again.",
		"500": "The bridge failed.",
		"502": "The wrapped service failed, or answered what the contract does not promise.",
		"503": "The bridge takes no calls.",
		"504": "The wrapped service did not answer in time.",
	}
	if body {
		maps.Copy(reasons, map[string]string{
			"400": "The body is not well-formed JSON, or not compressed as it says.",
			"408": "The body did not arrive in time, or was the slowest of too many large ones.",
			"413": "The body is too large, compressed or not.",
			"415": "The body is not JSON, or Accept-Encoding names the one way in which it may be compressed.",
		})
	}
	if doc.secured {
		reasons["401"] = "Credentials are missing or wrong."
	}
	responses := object{}
	for status, reason := range reasons {
		responses[status] = problemResponse(reason)
	}
	responses["default"] = problemResponse("The wrapped service's own reasons; code names them.")
	for _, status := range []string{"429", "503"} {
		responses[status].(object)["headers"] = object{"Retry-After": retryAfterHeader}
	}
	return responses
}

var retryAfterHeader = object{"schema": object{"type": "integer"}, "description": "When to try again, in seconds, if that is known."}

func problemResponse(description string) object {
	return object{"description": description, "content": object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}}}}
}

// problemSchema describes [problem].
var problemSchema = object{
	"description": "Problem details (RFC 9457).",
	"type":        "object",
	"required":    []string{"type", "title", "status", "instance", "code", "request_id", "retryable", "error"},
	"properties": object{
		"type": text, "title": text, "status": object{"type": "integer"}, "detail": text, "instance": text,
		"code":        object{"type": "string", "description": "Stable, in snake case."},
		"request_id":  object{"type": "string", "description": "Also in the header X-Request-Id and in the service's log."},
		"retryable":   object{"type": "boolean", "description": "Whether the same request may succeed later."},
		"retry_after": object{"type": "integer", "description": "When, in seconds, if that is known. In an answer of its own it is the header Retry-After, too."},
		"errors": object{"type": "array", "items": object{"type": "object", "required": []string{"pointer", "detail"}, "properties": object{
			"pointer": object{"type": "string", "description": "Where in the request (RFC 6901)."}, "detail": text,
		}}},
		"contract_clause": object{"type": "string", "description": "The clause of the contract that refused."},
		"error": object{"type": "object", "description": "The same in CAIO's form.", "required": []string{"code", "message", "details"}, "properties": object{
			"code": text, "message": text, "details": object{"type": "object"},
		}},
	},
}
