package bridge

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// A binding is a route together with the endpoint of the contract that it serves.
type binding struct {
	Route
	bounds
	endpoint   contract.Endpoint
	parameters parameters
}

// ownPaths are served by the bridge itself, whatever the provider. The contract may list them with GET.
var ownPaths = []string{"/contract", "/health", "/livez", "/openapi.json", "/readyz"}

// bind pairs routes and endpoints, and reports every part of the contract that nothing stands behind, and every route
// that the contract does not know, all at once.
func bind(c *contract.Contract, p Provider, opts *Options) ([]binding, error) {
	var faults faults
	routes := bindRoutes(p.Routes(), opts, &faults)
	served := map[string]bool{}
	var bindings []binding
	for _, e := range c.API.Endpoints {
		if isJobPath(e.Path) {
			faults.addf("endpoint %s: the bridge itself serves /jobs: choose another path", e)
			continue
		}
		if slices.Contains(ownPaths, e.Path) {
			if e.InputFile != "" || e.OutputFile != "" || e.InputSchema != nil || e.OutputSchema != nil {
				faults.addf("endpoint %s: the bridge itself serves %s, and has a shape of its own for it: remove input_schema and output_schema", e, e.Path)
			}
			if e.Method != http.MethodGet {
				faults.addf("endpoint %s: the bridge itself serves %s, with GET: write GET in the contract, or choose another path", e, e.Path)
			}
			continue
		}
		r, ok := routes[e.String()]
		if !ok {
			faults.addf("endpoint %s of the contract has no route: add one to the provider's Routes, or remove the endpoint%s", e, hint(" (routes: %s)", slices.Sorted(maps.Keys(routes))))
			continue
		}
		delete(routes, e.String())
		for _, capability := range r.serves {
			served[capability] = true
		}
		checkEndpoint(e, &faults)
		checkMembers(e, &r, &faults)
		p, err := newParameters(e)
		if err != nil {
			faults.addf("endpoint %s: input_schema: %w", e, err)
		}
		e.InputSchema, e.OutputSchema = withMaxValues(e.InputSchema, opts), withMaxValues(e.OutputSchema, opts)
		bindings = append(bindings, binding{r, newBounds(c, &r, opts), e, p})
	}
	for _, pattern := range slices.Sorted(maps.Keys(routes)) {
		faults.addf("route %s has no endpoint in the contract: add it to api.endpoints, or remove the route", pattern)
	}
	checkCapabilities(c, served, bindings, &faults)
	checkConstraints(c, p, &faults)
	return bindings, faults.err(c)
}

// bindRoutes checks the routes for themselves and returns them by pattern.
func bindRoutes(list []Route, opts *Options, faults *faults) map[string]Route {
	routes := map[string]Route{}
	for _, r := range list {
		method, path, ok := strings.Cut(r.pattern, " ")
		switch {
		case r.handle == nil:
			faults.addf("a route is the zero Route: make routes with bridge.Unary or bridge.Streaming")
			continue
		case !ok || method == "" || !strings.HasPrefix(path, "/"):
			faults.addf("route pattern %q: want a method and a path, such as \"POST /generate\"", r.pattern)
			continue
		case slices.Contains(ownPaths, path), isJobPath(path):
			faults.addf("route %s: the bridge itself serves %s: choose another path", r.pattern, path)
			continue
		case strings.Contains(path, "{") && hasBody(method):
			faults.addf("route %s: a path with parameters is supported for methods without a body only: pass the parameter in the body", r.pattern)
			continue
		}
		if _, ok := routes[r.pattern]; ok {
			faults.addf("route %s is there twice: remove one", r.pattern)
		}
		if r.timeout <= 0 {
			r.timeout = opts.Timeout
		}
		routes[r.pattern] = r
	}
	return routes
}

func checkEndpoint(e contract.Endpoint, faults *faults) {
	for _, s := range []struct {
		member, file string
		schema       *contract.Schema
	}{
		{"input_schema", e.InputFile, e.InputSchema},
		{"output_schema", e.OutputFile, e.OutputSchema},
	} {
		if s.schema == nil && s.file != "" {
			faults.addf("endpoint %s: %s names %s, which was not read: load the contract with contract.Load or contract.LoadFile", e, s.member, s.file)
		}
		if s.schema != nil {
			if err := s.schema.Compile(); err != nil {
				faults.addf("endpoint %s: %s: %w", e, s.member, err)
			}
		}
	}
}

func checkCapabilities(c *contract.Contract, served map[string]bool, bindings []binding, faults *faults) {
	var declared []string
	for _, capability := range c.Capabilities {
		declared = append(declared, capability.Type)
		if !served[capability.Type] {
			faults.addf("capability %s is served by no route: add bridge.Serves(%q) to the route that serves it, or remove the capability", capability.Type, capability.Type)
		}
	}
	for _, b := range bindings {
		for _, capability := range b.serves {
			if !slices.Contains(declared, capability) {
				faults.addf("route %s serves %q, which is not a capability of the contract%s: add it there, or remove it from bridge.Serves", b.pattern, capability, hint(" (it has: %s)", declared))
			}
		}
	}
}

// checkConstraints refuses limits that nothing would enforce.
func checkConstraints(c *contract.Contract, p Provider, faults *faults) {
	if c.API.Protocol != "http" {
		faults.addf("api.protocol is %q: a bridge speaks http", c.API.Protocol)
	}
	if _, ok := p.(TokenCounter); c.Constraints.MaxContextTokens > 0 && !ok {
		faults.addf("constraints.context_length.max_tokens is %d, but the provider cannot count tokens: implement bridge.TokenCounter, or remove the limit", c.Constraints.MaxContextTokens)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Constraints.Other)) {
		if _, ok := contractBounds[name]; ok {
			checkBound(name, c.Constraints.Other[name], faults)
		} else if !strings.HasPrefix(name, "x-") {
			faults.addf("constraints.%s: nothing enforces it: remove it, or name it x-%s if it is a remark", name, name)
		}
	}
}

func hint(format string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(format, strings.Join(list, ", "))
}

// faults collects what is wrong, so that a start-up error tells all of it.
type faults []error

func (f *faults) addf(format string, args ...any) { *f = append(*f, fmt.Errorf("  "+format, args...)) }

func (f *faults) err(c *contract.Contract) error {
	if len(*f) == 0 {
		return nil
	}
	return fmt.Errorf("bridge: contract %s %s and the provider do not fit:\n%w", c.ID, c.Version, errors.Join(*f...))
}
