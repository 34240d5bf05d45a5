// Package openapi describes a bridge as an OpenAPI 3.1 document
// (https://spec.openapis.org/oas/v3.1.1).
package openapi

import (
	"bytes"
	"cmp"
	_ "embed" // openapi_base.json
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// baseDocument is a complete document of a bridge with authentication. Its path /operation is the
// template of the contract's endpoints: "post" for methods with a body, "get" for the others.
//
//go:embed openapi_base.json
var baseDocument []byte

const (
	templatePath = "/operation"
	schemasPath  = "#/components/schemas/"
	eventStream  = "text/event-stream"
)

// object is a JSON object.
type object = map[string]any

// An Endpoint is one endpoint of the contract and the route that serves it.
type Endpoint struct {
	contract.Endpoint
	Capabilities []string    // capabilities that the route serves
	Streams      bool        // reports if the route sends events
	HasBody      bool        // reports if the method has a body
	Parameters   []Parameter // parameters of a request without a body
}

// A Parameter is one parameter of a request without a body.
type Parameter struct {
	Name     string
	InPath   bool // true for the path, false for the query
	Required bool
	Schema   any // JSON Schema of the value; its references are relative to the endpoint's input_schema
}

// Options describe the bridge that serves the document.
type Options struct {
	Secured         bool // reports if callers need credentials
	Jobs            bool // reports if calls can become jobs
	MaxSchemaValues int  // JSON values of a body that the schema engine checks; 0 for none
}

// Document returns the OpenAPI document of a bridge as JSON. It fails only for a schema that cannot
// be encoded.
func Document(c *contract.Contract, endpoints []Endpoint, opts Options) ([]byte, error) {
	d := &document{opts: opts, operations: map[string]int{}}
	if err := json.Unmarshal(baseDocument, &d.root); err != nil {
		return nil, err
	}
	d.paths = d.root["paths"].(object)
	d.schemas = d.root["components"].(object)["schemas"].(object)
	template := d.paths[templatePath].(object)
	delete(d.paths, templatePath)
	for _, item := range d.paths {
		for _, operation := range item.(object) {
			d.operations[operation.(object)["operationId"].(string)]++
		}
	}
	for _, e := range endpoints {
		if err := d.addEndpoint(e, template); err != nil {
			return nil, err
		}
	}
	if !opts.Secured {
		d.removeSecurity()
	}
	if !opts.Jobs {
		d.removeJobs()
	}
	d.root["info"] = info(c)
	d.root["tags"] = append(tags(c), d.root["tags"].([]any)...)
	return encode(d.root)
}

type document struct {
	opts       Options
	root       object
	paths      object
	schemas    object
	operations map[string]int // uses of each operation name; names must be unique
}

func info(c *contract.Contract) object {
	info := object{
		"title":       c.Name,
		"version":     c.Version,
		"description": cmp.Or(c.Description, c.Name+", described by its service contract."),
	}
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

// tags returns one tag for each capability.
func tags(c *contract.Contract) (tags []any) {
	var seen []string
	for _, capability := range c.Capabilities {
		if !slices.Contains(seen, capability.Type) {
			seen = append(seen, capability.Type)
			tags = append(tags, object{"name": capability.Type, "description": "The capability " + capability.Type + "."})
		}
	}
	return tags
}

// addEndpoint adds an operation made from the template.
func (d *document) addEndpoint(e Endpoint, template object) error {
	method := "get"
	if e.HasBody {
		method = "post"
	}
	operation := clone(template[method]).(object)
	name := d.operationName(e.Method, e.Path)
	operation["operationId"] = name
	operation["summary"] = e.String()
	if len(e.Capabilities) > 0 {
		operation["tags"] = e.Capabilities
		operation["description"] = "Serves " + strings.Join(e.Capabilities, ", ") + "."
	}
	input, err := d.addSchema(name+"Request", e.InputSchema)
	if err != nil {
		return err
	}
	if e.HasBody {
		body := operation["requestBody"].(object)
		body["x-max-schema-values"] = d.opts.MaxSchemaValues
		body["description"] = fmt.Sprintf("At most %d JSON values are checked, unless the schema uses common keywords only.",
			d.opts.MaxSchemaValues)
		body["content"].(object)["application/json"].(object)["schema"] = input
	} else {
		parameters := describe(e.Parameters, schemaPath(name+"Request"))
		operation["parameters"] = append(parameters, operation["parameters"].([]any)...)
	}
	output, err := d.addSchema(name+"Response", e.OutputSchema)
	if err != nil {
		return err
	}
	content := operation["responses"].(object)["200"].(object)["content"].(object)
	content["application/json"].(object)["schema"] = output
	if !e.Streams {
		delete(content, eventStream)
	}
	if d.paths[e.Path] == nil {
		d.paths[e.Path] = object{}
	}
	d.paths[e.Path].(object)[strings.ToLower(e.Method)] = operation
	return nil
}

// describe lists parameters. Their references are relative to the schema at path.
func describe(parameters []Parameter, path string) []any {
	list := []any{}
	for _, p := range parameters {
		in := "query"
		if p.InPath {
			in = "path"
		}
		schema := moveReferences(p.Schema, path)
		list = append(list, object{"name": p.Name, "in": in, "required": p.Required, "schema": schema})
	}
	return list
}

// operationName makes a name of a path, such as "thingsId" of "/things/{id}". It appends the method
// if an earlier operation has the name.
func (d *document) operationName(method, path string) string {
	words := strings.FieldsFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	for i := range words[min(1, len(words)):] {
		words[i+1] = strings.ToUpper(words[i+1][:1]) + words[i+1][1:]
	}
	name := cmp.Or(strings.Join(words, ""), "root")
	if d.operations[name]++; d.operations[name] > 1 {
		name += strings.ToUpper(method[:1]) + strings.ToLower(method[1:])
	}
	return name
}

// addSchema adds a schema to the components and returns a reference to it. Nil allows every value.
func (d *document) addSchema(name string, schema *contract.Schema) (object, error) {
	if schema == nil {
		return object{}, nil
	}
	body, err := schema.MarshalJSON()
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		return nil, err
	}
	path := schemaPath(name)
	d.schemas[strings.TrimPrefix(path, schemasPath)] = moveReferences(decoded, path)
	return object{"$ref": path}, nil
}

func schemaPath(name string) string { return schemasPath + strings.ToUpper(name[:1]) + name[1:] }

// moveReferences rewrites the references of a schema that moves from the root of its document to
// path.
func moveReferences(schema any, path string) any {
	switch schema := schema.(type) {
	case []any:
		moved := make([]any, len(schema))
		for i, item := range schema {
			moved[i] = moveReferences(item, path)
		}
		return moved
	case object:
		moved := object{}
		for keyword, value := range schema {
			switch keyword {
			case "$schema": // OpenAPI 3.1 states the dialect
			case "enum", "const", "default", "examples":
				moved[keyword] = value
			case "$ref":
				ref, _ := value.(string)
				moved[keyword] = path + strings.TrimPrefix(ref, "#")
			case "properties", "patternProperties", "dependentSchemas", "$defs", "definitions":
				members, _ := value.(object)
				named := object{}
				for name, member := range members {
					named[name] = moveReferences(member, path)
				}
				moved[keyword] = named
			default:
				moved[keyword] = moveReferences(value, path)
			}
		}
		return moved
	}
	return schema
}

// removeSecurity removes all mention of credentials.
func (d *document) removeSecurity() {
	delete(d.root["components"].(object), "securitySchemes")
	for _, item := range d.paths {
		for _, operation := range item.(object) {
			delete(operation.(object), "security")
			delete(operation.(object)["responses"].(object), "401")
		}
	}
}

// removeJobs removes jobs and the Idempotency-Key.
func (d *document) removeJobs() {
	delete(d.paths, "/jobs/{id}")
	delete(d.schemas, "Job")
	for _, item := range d.paths {
		for _, operation := range item.(object) {
			operation := operation.(object)
			delete(operation["responses"].(object), "202")
			delete(operation["responses"].(object), "409")
			if parameters, ok := operation["parameters"].([]any); ok {
				operation["parameters"] = withoutJobs(parameters)
			}
		}
	}
}

func withoutJobs(parameters []any) (list []any) {
	for _, p := range parameters {
		switch p := p.(object); p["name"] {
		case "Idempotency-Key":
			continue
		case "Prefer":
			p["description"] = "RFC 7240. With wait=SECONDS the call is given up (504) after that time."
		}
		list = append(list, p)
	}
	return list
}

// clone copies decoded JSON.
func clone(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = clone(item)
		}
		return list
	case object:
		members := object{}
		for name, member := range v {
			members[name] = clone(member)
		}
		return members
	}
	return v
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
