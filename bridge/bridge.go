package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Bridge serves a contract. It is an [http.Handler], and a server of its own with [Bridge.Run] and [Bridge.Serve]. It
// is safe for concurrent use.
//
// Beside the contract's endpoints it serves GET /livez (the process answers), /readyz (it takes calls) and /health (the
// same with details), none of which calls the wrapped service's billed API; and, for whom it would take calls from, GET
// /contract (JSON, or YAML if asked for), /openapi.json (OpenAPI 3.1, made from the contract) and /jobs/{id}: calls sent
// with "Prefer: respond-async" become jobs there. Calls with an Idempotency-Key may be repeated and run once.
type Bridge struct {
	contract  *contract.Contract
	provider  Provider
	opts      Options
	log       *slog.Logger
	guard     *guard
	ledger    *ledger // of jobs, and of calls with an Idempotency-Key
	limiter   limits.Limiter
	health    *health
	telemetry *telemetry
	mux       *http.ServeMux
	methods   map[string][]string // by path as the contract writes it, for 405

	draining   atomic.Bool
	closed     func() error   // does what Close does, once
	inProgress atomic.Int64   // calls admitted and not yet ended
	calls      sync.WaitGroup // handlers in progress, also those whose caller has been answered
}

// New binds the contract to the provider. Its error lists everything that does not fit: endpoints without a route, routes
// without an endpoint, capabilities that no route serves, schemas that were not read, limits that nothing enforces.
func New(c *contract.Contract, p Provider, opts *Options) (*Bridge, error) {
	if c == nil || p == nil {
		return nil, errors.New("bridge: New needs a contract and a provider")
	}
	b := &Bridge{contract: c, provider: p, opts: opts.withDefaults(), mux: http.NewServeMux(), methods: map[string][]string{}}
	bindings, err := bind(c, p, &b.opts)
	if err != nil {
		return nil, err
	}
	b.log = b.opts.Logger
	b.guard = newGuard(&b.opts, c.API.BaseURL)
	if b.limiter = b.opts.Limiter; b.limiter == nil {
		b.limiter = limits.NewLocal(limitsOf(c), b.opts.CallerLimits)
	}
	b.health = newHealth(b)
	if b.telemetry, err = newTelemetry(&b.opts, c); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	b.routeJobs()
	b.routeOwn("/livez", b.health.live)
	b.routeOwn("/readyz", b.health.ready)
	b.routeOwn("/health", b.health.report)
	if err := b.routeDescription(bindings); err != nil {
		return nil, err
	}
	for _, bound := range bindings {
		if err := b.routeCall(&bound); err != nil {
			return nil, err
		}
	}
	b.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { exchangeOf(r.Context()).fail(b.unrouted(r)) })
	if b.ledger, err = openLedger(&b.opts); err != nil {
		return nil, err
	}
	b.closed = sync.OnceValue(func() error {
		b.ledger.stop()
		return errors.Join(b.ledger.close(), b.closeProvider())
	})
	return b, nil
}

// routeOwn registers a health check: open to all who pass the guard, and not worth a line of the log while all is well.
func (b *Bridge) routeOwn(path string, f func(*exchange)) {
	b.route(http.MethodGet, path, func(x *exchange) {
		x.quiet = true
		f(x)
	})
}

// routeCall registers a binding. [http.ServeMux] panics on patterns that conflict, which for patterns from a file is an
// error like any other.
func (b *Bridge) routeCall(bound *binding) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bridge: endpoint %s: %v", bound.endpoint, p)
		}
	}()
	b.route(bound.endpoint.Method, bound.endpoint.Path, func(x *exchange) {
		if err := b.call(x, bound); err != nil {
			x.fail(err)
		}
	})
	return nil
}

func (b *Bridge) route(method, path string, f func(*exchange)) {
	b.methods[path] = append(b.methods[path], method)
	b.mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		x.r, x.route = r, path
		f(x)
	})
}

// ServeHTTP answers one request.
func (b *Bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(b, w, r)
	defer x.end()
	x.w.Header().Set("X-Request-Id", x.id)
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := b.guard.checkHost(r); err != nil {
		x.fail(err)
		return
	}
	preflight, err := b.guard.checkOrigin(x.w.Header(), r)
	switch {
	case err != nil:
		x.fail(err)
	case preflight:
		x.w.WriteHeader(http.StatusNoContent)
	case r.URL.Path != path.Clean("/"+r.URL.Path): // ServeMux would redirect, which turns POST into GET for many clients
		x.fail(b.notFound(r))
	default:
		b.mux.ServeHTTP(x.w, x.r)
	}
}

// unrouted words 405 and 404 for a request that no route took.
func (b *Bridge) unrouted(r *http.Request) error {
	var allowed []string
	for _, method := range []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := b.mux.Handler(probe); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return b.notFound(r)
	}
	exchangeOf(r.Context()).w.Header().Set("Allow", strings.Join(allowed, ", "))
	return &Error{Code: codeMethod, Detail: fmt.Sprintf("%s takes %s.", r.URL.Path, strings.Join(allowed, ", "))}
}

func (b *Bridge) notFound(r *http.Request) error {
	var offers []string
	for path, methods := range b.methods {
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

// serviceName is what /health reports.
func (b *Bridge) serviceName() string {
	if n, ok := b.provider.(Namer); ok && n.Name() != "" {
		return n.Name()
	}
	return b.contract.ID
}

// checkProvider asks the provider whether it can work.
func (b *Bridge) checkProvider(ctx context.Context) error {
	checker, ok := b.provider.(HealthChecker)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return checker.CheckHealth(ctx)
}
