package bridge

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// A Route binds a handler to one endpoint of the contract. Make one with [Unary] or [Streaming].
type Route struct {
	pattern string
	serves  []string
	timeout time.Duration
	streams bool
	once    bool // true if the route streams, and handle with a nil send answers once
	decode  func(body []byte) (any, error)
	handle  func(ctx context.Context, req any, send func(event any) error) (any, error)

	request, result reflect.Type // types of the handler
}

// A RouteOption adjusts a [Route].
type RouteOption func(*Route)

// Serves names the capabilities of the contract that the route serves. Every capability needs a route.
func Serves(capabilities ...string) RouteOption {
	return func(r *Route) { r.serves = append(r.serves, capabilities...) }
}

// Timeout bounds one call of the route, events included, unless the contract does
// (constraints.timeout_ms). Default: [Timeouts].Call.
func Timeout(d time.Duration) RouteOption {
	return func(r *Route) { r.timeout = d }
}

// Unary makes a route that answers once. The pattern is a method and a path of the contract, such as
// "POST /review".
//
// Requests are decoded like encoding/json does, except that names must match exactly and may not
// repeat, and that an integer such as 20.0 decodes into an int. A request without a body (GET, HEAD,
// DELETE) decodes from an object of its path and query parameters. Their values are texts, or numbers,
// booleans and lists by the endpoint's input_schema.
func Unary[Req, Res any](pattern string, h Handler[Req, Res], opts ...RouteOption) Route {
	r := Route{
		pattern: pattern,
		request: reflect.TypeFor[Req](),
		result:  reflect.TypeFor[Res](),
		decode:  codec.Decode[Req],
		handle: func(ctx context.Context, req any, _ func(any) error) (any, error) {
			return h.Handle(ctx, req.(Req))
		},
	}
	return r.with(opts)
}

// Streaming makes a route that sends events to callers of text/event-stream. See [Unary] for the
// pattern.
func Streaming[Req, Event, Res any](pattern string, h StreamHandler[Req, Event, Res], opts ...RouteOption) Route {
	whole, once := h.(Handler[Req, Res])
	r := Route{
		pattern: pattern,
		streams: true,
		once:    once,
		request: reflect.TypeFor[Req](),
		result:  reflect.TypeFor[Res](),
		decode:  codec.Decode[Req],
		handle: func(ctx context.Context, req any, send func(any) error) (any, error) {
			if send == nil {
				return whole.Handle(ctx, req.(Req))
			}
			return h.HandleStream(ctx, req.(Req), func(event Event) error { return send(event) })
		},
	}
	return r.with(opts)
}

func (r Route) with(opts []RouteOption) Route {
	for _, opt := range opts {
		opt(&r)
	}
	return r
}

// A service is a contract bound to a provider. It does not change. A request keeps its service when
// the bridge is reloaded.
type service struct {
	contract *contract.Contract
	provider *providerRef
	access   *access
	health   *health
	mux      *http.ServeMux
	methods  map[string][]string // methods by path, for 404
}

func (b *Bridge) newService(c *contract.Contract, p *providerRef) (*service, error) {
	operations, err := bind(c, p.Provider, &b.opts)
	if err != nil {
		return nil, err
	}
	s := &service{
		contract: c,
		provider: p,
		access:   newAccess(&b.opts, c.API.BaseURL),
		mux:      http.NewServeMux(),
		methods:  map[string][]string{},
	}
	s.health = newHealth(b, s)
	if !b.opts.Jobs.off() {
		s.handle(http.MethodGet, jobPattern, withOwnedJob(b.showJob))
		s.handle(http.MethodDelete, jobPattern, withOwnedJob(b.deleteJob))
	}
	s.handle(http.MethodGet, "/livez", s.health.live)
	s.handle(http.MethodGet, "/readyz", s.health.ready)
	s.handle(http.MethodGet, "/health", s.health.report)
	if err := b.routeDescription(s, operations); err != nil {
		return nil, err
	}
	for _, op := range operations {
		err := s.handleFallibly(op.endpoint.Method, op.endpoint.Path, func(x *exchange) error { return b.call(x, &op) })
		if err != nil {
			return nil, fmt.Errorf("bridge: endpoint %s: %w", op.endpoint, err)
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(b.opts.Handlers)) {
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = "", pattern
		}
		err := s.handleFallibly(method, path, func(x *exchange) error { return b.callMounted(x, b.opts.Handlers[pattern]) })
		if err != nil {
			return nil, fmt.Errorf("bridge: Options.Handlers: %q: %w", pattern, err)
		}
	}
	s.mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) { s.noRoute(exchangeOf(r.Context())) })
	return s, nil
}

// handleFallibly registers f, and sends its error. [http.ServeMux] panics for patterns that are malformed
// or conflict. Here they come from files and options, so the panic becomes an error.
func (s *service) handleFallibly(method, path string, f func(*exchange) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	s.handle(method, path, func(x *exchange) {
		if err := f(x); err != nil {
			x.fail(err)
		}
	})
	return nil
}

// handle registers f. An empty method means all methods.
func (s *service) handle(method, path string, f func(*exchange)) {
	s.mux.HandleFunc(strings.TrimSpace(method+" "+path), func(_ http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		x.r, x.route = r, path
		f(x)
	})
	s.methods[path] = append(s.methods[path], method)
}

// noRoute answers 404, or 405 with Allow. It authenticates first: unauthenticated callers must not
// learn which paths exist.
func (s *service) noRoute(x *exchange) {
	if err := s.access.authenticate(x); err != nil {
		x.fail(err)
		return
	}
	allowed := s.methodsAt(x.r)
	if len(allowed) == 0 {
		x.fail(s.notFound(x.r))
		return
	}
	methods := strings.Join(allowed, ", ")
	x.w.Header().Set("Allow", methods)
	x.fail(&Error{Code: codeMethod, Detail: fmt.Sprintf("%s takes %s.", x.r.URL.Path, methods)})
}

// methodsAt returns the methods of the request's path.
func (s *service) methodsAt(r *http.Request) (allowed []string) {
	if !isCanonicalPath(r) {
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

// isCanonicalPath reports if the path is in the one form that routes have.
func isCanonicalPath(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/") && r.URL.Path == path.Clean(r.URL.Path)
}

func (s *service) notFound(r *http.Request) error {
	var offers []string
	for path, methods := range s.methods {
		for _, method := range methods {
			offers = append(offers, strings.TrimSpace(method+" "+path))
		}
	}
	slices.Sort(offers)
	return &Error{
		Code: CodeNotFound,
		Detail: fmt.Sprintf("There is nothing at %q. This service has %s.", text.Clip(r.URL.Path),
			strings.Join(offers, ", ")),
	}
}

// name returns the name for /health.
func (s *service) name() string {
	if n, ok := s.provider.Provider.(Namer); ok && n.Name() != "" {
		return n.Name()
	}
	return s.contract.ID
}
