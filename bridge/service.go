package bridge

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// A service is a contract and a provider bound to each other, and what follows from the two. Calls stay with the service
// that they began with, also when the bridge is reloaded.
type service struct {
	contract *contract.Contract
	provider *tenure
	guard    *guard
	health   *health
	mux      *http.ServeMux
	methods  map[string][]string // by path as the contract writes it, for 404
}

func (b *Bridge) newService(c *contract.Contract, p *tenure) (*service, error) {
	bindings, err := bind(c, p.Provider, &b.opts)
	if err != nil {
		return nil, err
	}
	s := &service{contract: c, provider: p, guard: newGuard(&b.opts, c.API.BaseURL), mux: http.NewServeMux(), methods: map[string][]string{}}
	s.health = &health{bridge: b, service: s}
	s.route(http.MethodGet, jobPattern, forOwner(b.showJob))
	s.route(http.MethodDelete, jobPattern, forOwner(b.endJob))
	s.routeOwn("/livez", s.health.live)
	s.routeOwn("/readyz", s.health.ready)
	s.routeOwn("/health", s.health.report)
	if err := b.routeDescription(s, bindings); err != nil {
		return nil, err
	}
	for _, bound := range bindings {
		if err := s.routeCall(&bound); err != nil {
			return nil, err
		}
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.unrouted(exchangeOf(r.Context())) })
	return s, nil
}

// routeOwn registers a health check: open to all who pass the guard, and not worth a line of the log while all is well.
func (s *service) routeOwn(path string, f func(*exchange)) {
	s.route(http.MethodGet, path, func(x *exchange) {
		x.quiet = true
		f(x)
	})
}

// routeCall registers a binding. [http.ServeMux] panics on patterns that conflict, which for patterns from a file is an
// error like any other.
func (s *service) routeCall(bound *binding) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bridge: endpoint %s: %v", bound.endpoint, p)
		}
	}()
	s.route(bound.endpoint.Method, bound.endpoint.Path, func(x *exchange) {
		if err := x.bridge.call(x, bound); err != nil {
			x.fail(err)
		}
	})
	return nil
}

func (s *service) route(method, path string, f func(*exchange)) {
	s.methods[path] = append(s.methods[path], method)
	s.mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		x.r, x.route = r, path
		f(x)
	})
}

// unrouted answers a request that no route took: 405 or 404, but nobody who may not call is told what there is.
func (s *service) unrouted(x *exchange) {
	var err error
	if x.principal, err = s.guard.checkCaller(x.r); err != nil {
		x.fail(err)
		return
	}
	allowed := s.methodsAt(x.r)
	if len(allowed) == 0 {
		x.fail(s.notFound(x.r))
		return
	}
	x.w.Header().Set("Allow", strings.Join(allowed, ", "))
	x.fail(&Error{Code: codeMethod, Detail: fmt.Sprintf("%s takes %s.", x.r.URL.Path, strings.Join(allowed, ", "))})
}

// methodsAt returns what the path of a request takes.
func (s *service) methodsAt(r *http.Request) (allowed []string) {
	if !isClean(r) {
		return nil
	}
	for _, method := range []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(probe); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// isClean reports whether the path is in the one form that routes have.
func isClean(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/") && r.URL.Path == path.Clean(r.URL.Path)
}

func (s *service) notFound(r *http.Request) error {
	var offers []string
	for path, methods := range s.methods {
		for _, method := range methods {
			offers = append(offers, method+" "+path)
		}
	}
	slices.Sort(offers)
	return &Error{Code: CodeNotFound, Detail: fmt.Sprintf("There is nothing at %q. This service has %s.", text.Clip(r.URL.Path), strings.Join(offers, ", "))}
}

// name is what /health reports.
func (s *service) name() string {
	if n, ok := s.provider.Provider.(Namer); ok && n.Name() != "" {
		return n.Name()
	}
	return s.contract.ID
}
