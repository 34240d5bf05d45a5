package bridge

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
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
	if err := s.routeDescription(bindings); err != nil {
		return nil, err
	}
	for _, bound := range bindings {
		if err := s.routeCall(&bound); err != nil {
			return nil, err
		}
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { exchangeOf(r.Context()).fail(s.unrouted(r)) })
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

// unrouted words 405 and 404 for a request that no route took.
func (s *service) unrouted(r *http.Request) error {
	var allowed []string
	for _, method := range []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(probe); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return s.notFound(r)
	}
	exchangeOf(r.Context()).w.Header().Set("Allow", strings.Join(allowed, ", "))
	return &Error{Code: codeMethod, Detail: fmt.Sprintf("%s takes %s.", r.URL.Path, strings.Join(allowed, ", "))}
}

func (s *service) notFound(r *http.Request) error {
	var offers []string
	for path, methods := range s.methods {
		for _, method := range methods {
			offers = append(offers, method+" "+path)
		}
	}
	slices.Sort(offers)
	return &Error{Code: CodeNotFound, Detail: fmt.Sprintf("There is nothing at %q. This service has %s.", shorten(r.URL.Path), strings.Join(offers, ", "))}
}

func shorten(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:80], "") + "…"
}

// name is what /health reports.
func (s *service) name() string {
	if n, ok := s.provider.Provider.(Namer); ok && n.Name() != "" {
		return n.Name()
	}
	return s.contract.ID
}

// checkProvider asks the provider whether it can work.
func (s *service) checkProvider(ctx context.Context) error {
	checker, ok := s.provider.Provider.(HealthChecker)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return checker.CheckHealth(ctx)
}
