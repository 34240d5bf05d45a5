package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/mux"
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

// Serves names the capabilities of the contract that the route serves. Every capability needs a
// route.
func Serves(capabilities ...string) RouteOption {
	return func(r *Route) { r.serves = append(r.serves, capabilities...) }
}

// Timeout bounds one call of the route, events included, unless the contract does
// (constraints.timeout_ms). Default: [Timeouts].Call.
func Timeout(d time.Duration) RouteOption {
	return func(r *Route) { r.timeout = d }
}

// Unary makes a route that answers once. The pattern is a method and a path of the contract, such
// as "POST /review".
//
// Requests are decoded like encoding/json does, except that names must match exactly and may not
// repeat, and that an integer such as 20.0 decodes into an int. A request without a body (GET,
// HEAD, DELETE) decodes from an object of its path and query parameters. Their values are texts, or
// numbers, booleans and lists by the endpoint's input_schema.
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
	contract   *contract.Contract
	provider   *providerRef
	access     *access
	health     *health
	operations []operation
	mux        mux.Mux
}

func (b *Bridge) newService(c *contract.Contract, p *providerRef) (*service, error) {
	operations, err := bind(c, p.Provider, &b.opts)
	if err != nil {
		return nil, err
	}
	s := &service{
		contract:   c,
		provider:   p,
		access:     newAccess(&b.opts, c.API.BaseURL),
		operations: operations,
	}
	s.health = newHealth(b, s)
	s.mux.HandleRest(func(_ http.ResponseWriter, r *http.Request) { s.noRoute(exchangeOf(r.Context())) })
	err = s.routeBuiltin(b)
	for _, op := range operations {
		failed := s.handle(op.endpoint.Method, op.endpoint.Path, func(x *exchange) error { return b.call(x, &op) })
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("bridge: endpoint %s: %w", op.endpoint, failed))
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(b.opts.Handlers)) {
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = "", pattern
		}
		failed := s.handle(method, path, func(x *exchange) error { return b.callMounted(x, b.opts.Handlers[pattern]) })
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("bridge: Options.Handlers: %q: %w", pattern, failed))
		}
	}
	return s, err
}

// routeBuiltin registers the paths that every bridge serves.
func (s *service) routeBuiltin(b *Bridge) error {
	c, spec, err := b.documents(s)
	if err != nil {
		return err
	}
	routes := []struct {
		method, path string
		f            func(*exchange) error
	}{
		{http.MethodGet, "/livez", s.health.live},
		{http.MethodGet, "/readyz", s.health.ready},
		{http.MethodGet, "/health", s.health.report},
		{http.MethodGet, "/contract", c},
		{http.MethodGet, "/openapi.json", spec},
		{http.MethodGet, jobPattern, withOwnedJob(b.showJob)},
		{http.MethodDelete, jobPattern, withOwnedJob(b.deleteJob)},
	}
	for _, r := range routes {
		if r.path != jobPattern || !b.opts.Jobs.off() {
			err = errors.Join(err, s.handle(r.method, r.path, r.f))
		}
	}
	return err
}

// handle registers f, and sends its error. An empty method means all methods.
func (s *service) handle(method, path string, f func(*exchange) error) error {
	return s.mux.Handle(method, path, func(_ http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		x.r, x.route = r, path
		if err := f(x); err != nil {
			x.fail(err)
		}
	})
}

// noRoute answers 404, or 405 with Allow. It authenticates first: unauthenticated callers must not
// learn which paths exist.
func (s *service) noRoute(x *exchange) {
	if err := s.access.authenticate(x); err != nil {
		x.fail(err)
		return
	}
	if allowed := strings.Join(s.mux.Methods(x.r), ", "); allowed != "" {
		x.w.Header().Set("Allow", allowed)
		x.fail(&Error{Code: codeMethod, Detail: fmt.Sprintf("%s takes %s.", x.r.URL.Path, allowed)})
		return
	}
	detail := fmt.Sprintf("There is nothing at %q. This service has %s.",
		text.Clip(x.r.URL.Path), strings.Join(s.mux.Routes(), ", "))
	x.fail(&Error{Code: CodeNotFound, Detail: detail})
}

// name returns the name for /health.
func (s *service) name() string {
	if n, ok := s.provider.Provider.(Namer); ok && n.Name() != "" {
		return n.Name()
	}
	return s.contract.ID
}
