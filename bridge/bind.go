package bridge

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/bounds"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/fieldnames"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/parameters"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// An operation is a route and the endpoint of the contract that it serves.
type operation struct {
	Route
	bounds.Bounds
	endpoint   contract.Endpoint
	parameters parameters.Set // parameters of a request without a body
}

// builtinPaths belong to the bridge. The contract may list them with GET.
var builtinPaths = []string{"/contract", "/health", "/livez", "/openapi.json", "/readyz"}

// bind pairs routes and endpoints. Its error lists all parts of the contract without code, and all
// routes without an endpoint.
func bind(c *contract.Contract, p Provider, opts *Options) ([]operation, error) {
	var problems problems
	routes := bindRoutes(p.Routes(), opts, &problems)
	served := map[string]bool{}
	var operations []operation
	for _, e := range c.API.Endpoints {
		if isJobPath(e.Path) {
			problems.addf("endpoint %s: the bridge itself serves /jobs: choose another path", e)
			continue
		}
		if slices.Contains(builtinPaths, e.Path) {
			if e.InputFile != "" || e.OutputFile != "" || e.InputSchema != nil || e.OutputSchema != nil {
				problems.addf("endpoint %s: the bridge itself serves %s, and has a shape of its own for it: "+
					"remove input_schema and output_schema", e, e.Path)
			}
			if e.Method != http.MethodGet {
				problems.addf("endpoint %s: the bridge itself serves %s, with GET: write GET in the contract, "+
					"or choose another path", e, e.Path)
			}
			continue
		}
		r, ok := routes[e.String()]
		if !ok {
			problems.addf("endpoint %s of the contract has no route: add one to the provider's Routes, "+
				"or remove the endpoint%s", e, hint(" (routes: %s)", slices.Sorted(maps.Keys(routes))))
			continue
		}
		delete(routes, e.String())
		for _, capability := range r.serves {
			served[capability] = true
		}
		checkEndpoint(e, &problems)
		checkFieldNames(e, &r, &problems)
		var query parameters.Set
		var err error
		if !hasBody(e.Method) {
			query, err = parameters.New(e)
		}
		if err != nil {
			problems.addf("endpoint %s: input_schema: %w", e, err)
		}
		e.InputSchema, e.OutputSchema = withMaxValues(e.InputSchema, opts), withMaxValues(e.OutputSchema, opts)
		operations = append(operations, operation{r, boundsOf(c, &r, opts), e, query})
	}
	for _, pattern := range slices.Sorted(maps.Keys(routes)) {
		problems.addf("route %s has no endpoint in the contract: add it to api.endpoints, or remove the route", pattern)
	}
	checkCapabilities(c, served, operations, &problems)
	checkConstraints(c, p, &problems)
	return operations, problems.err(c)
}

// bindRoutes checks each route and returns them by pattern.
func bindRoutes(list []Route, opts *Options, problems *problems) map[string]Route {
	routes := map[string]Route{}
	for _, r := range list {
		method, path, ok := strings.Cut(r.pattern, " ")
		switch {
		case r.handle == nil:
			problems.addf("a route is the zero Route: make routes with bridge.Unary or bridge.Streaming")
			continue
		case !ok || method == "" || !strings.HasPrefix(path, "/"):
			problems.addf("route pattern %q: want a method and a path, such as \"POST /generate\"", r.pattern)
			continue
		case slices.Contains(builtinPaths, path), isJobPath(path):
			problems.addf("route %s: the bridge itself serves %s: choose another path", r.pattern, path)
			continue
		case strings.Contains(path, "{") && hasBody(method):
			problems.addf("route %s: a path with parameters is supported for methods without a body only: "+
				"pass the parameter in the body", r.pattern)
			continue
		}
		if _, ok := routes[r.pattern]; ok {
			problems.addf("route %s is there twice: remove one", r.pattern)
		}
		if r.timeout <= 0 {
			r.timeout = opts.Timeouts.Call
		}
		routes[r.pattern] = r
	}
	return routes
}

func checkEndpoint(e contract.Endpoint, problems *problems) {
	for _, s := range []struct {
		member, file string
		schema       *contract.Schema
	}{
		{"input_schema", e.InputFile, e.InputSchema},
		{"output_schema", e.OutputFile, e.OutputSchema},
	} {
		if s.schema == nil && s.file != "" {
			problems.addf("endpoint %s: %s names %s, which was not read: load the contract with contract.Load or "+
				"contract.LoadFile", e, s.member, s.file)
		}
		if s.schema != nil {
			if err := s.schema.Compile(); err != nil {
				problems.addf("endpoint %s: %s: %w", e, s.member, err)
			}
		}
	}
}

// checkFieldNames refuses fields that would never match the schemas.
func checkFieldNames(e contract.Endpoint, r *Route, problems *problems) {
	for _, side := range []struct {
		member string
		schema *contract.Schema
		typ    reflect.Type
	}{
		{"input_schema", e.InputSchema, r.request},
		{"output_schema", e.OutputSchema, r.result},
	} {
		for _, m := range fieldnames.Mismatches(side.schema, side.typ) {
			problems.addf("route %s: the field %s of %s is %q in JSON, but %s has %q: add the tag `json:%[6]q`",
				r.pattern, m.Field, side.typ, m.Name, side.member, m.Property)
		}
	}
}

func checkCapabilities(c *contract.Contract, served map[string]bool, operations []operation, problems *problems) {
	var declared []string
	for _, capability := range c.Capabilities {
		declared = append(declared, capability.Type)
		if !served[capability.Type] {
			problems.addf("capability %s is served by no route: add bridge.Serves(%[1]q) to the route that serves it, "+
				"or remove the capability", capability.Type)
		}
	}
	for _, op := range operations {
		for _, capability := range op.serves {
			if !slices.Contains(declared, capability) {
				problems.addf("route %s serves %q, which is not a capability of the contract%s: add it there, "+
					"or remove it from bridge.Serves", op.pattern, capability, hint(" (it has: %s)", declared))
			}
		}
	}
}

// checkConstraints refuses limits that no code enforces.
func checkConstraints(c *contract.Contract, p Provider, problems *problems) {
	if c.API.Protocol != "http" {
		problems.addf("api.protocol is %q: a bridge speaks http", c.API.Protocol)
	}
	if _, ok := p.(TokenCounter); c.Constraints.MaxContextTokens > 0 && !ok {
		problems.addf("constraints.context_length.max_tokens is %d, but the provider cannot count tokens: "+
			"implement bridge.TokenCounter, or remove the limit", c.Constraints.MaxContextTokens)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Constraints.Other)) {
		known, err := bounds.Check(name, c.Constraints.Other[name])
		if err != nil {
			problems.addf("%w", err)
		} else if !known && !strings.HasPrefix(name, "x-") {
			problems.addf("constraints.%s: nothing enforces it: remove it, or name it x-%s if it is a remark", name, name)
		}
	}
}

func hint(format string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(format, strings.Join(list, ", "))
}

// problems collects the parts of a start-up error.
type problems []error

func (f *problems) addf(format string, args ...any) {
	*f = append(*f, fmt.Errorf("  "+format, args...))
}

func (f *problems) err(c *contract.Contract) error {
	if len(*f) == 0 {
		return nil
	}
	return fmt.Errorf("bridge: contract %s %s and the provider do not fit:\n%w", c.ID, c.Version, errors.Join(*f...))
}

// boundsOf returns the bounds of an operation. The contract has precedence over the route, and the
// route over the options.
func boundsOf(c *contract.Contract, r *Route, opts *Options) bounds.Bounds {
	return bounds.New(c, bounds.Bounds{
		Total:       r.timeout,
		FirstEvent:  opts.Timeouts.FirstEvent,
		Idle:        opts.Timeouts.Idle,
		MaxRequest:  opts.MaxBodyBytes,
		MaxResponse: opts.MaxResponseBytes,
	})
}

// withMaxValues applies Options.MaxSchemaValues to a schema. It returns nil for nil.
func withMaxValues(schema *contract.Schema, opts *Options) *contract.Schema {
	if schema == nil {
		return nil
	}
	return schema.WithMaxValues(opts.MaxSchemaValues)
}

func limitsOf(c *contract.Contract) limits.Limits {
	return limits.Limits{
		MaxConcurrentRequests: c.Constraints.MaxConcurrentRequests,
		RateLimit:             c.Constraints.RateLimit,
	}
}
