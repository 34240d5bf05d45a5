// Package bridge turns a service contract and a provider into an HTTP server that keeps the
// contract.
//
// A bridge is a [contract.Contract] and a [Provider]. [New] binds every part of the contract to
// code: endpoints to routes, schemas to validators, limits to limiters, capabilities to the routes
// that serve them. A part that New cannot bind is an error.
//
// An adapter's author writes handlers over plain Go types. The bridge checks requests and responses
// against the contract's schemas, admits no more calls than the contract allows, bounds bodies and
// time, streams events, passes cancellation on, and sends errors as problem details (RFC 9457)
// without their causes.
package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/announcer"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/bodies"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/inflight"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobs"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/mux"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/schemas"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/telemetry"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Bridge serves a contract. It is an [http.Handler], and a server with [Bridge.Run] and
// [Bridge.Serve]. It is safe for concurrent use.
//
// Besides the contract's endpoints a Bridge serves:
//
//   - GET /livez: the process is up;
//   - GET /readyz: ready for calls, with ?verbose a list of checks;
//   - GET /health: the same with details.
//
// None of them calls the billed API. Authenticated callers also get:
//
//   - GET /contract: the contract as JSON, or as YAML by Accept;
//   - GET /openapi.json: the OpenAPI 3.1 document;
//   - GET and DELETE /jobs/{id}: calls with "Prefer: respond-async" (RFC 7240), unless jobs are
//     off.
//
// A call with an Idempotency-Key may be repeated and runs once.
type Bridge struct {
	opts      Options
	log       *slog.Logger
	jobs      *jobs.Store // nil if jobs are off
	limiter   limits.Limiter
	bodies    *bodies.Budget
	telemetry *telemetry.Recorder
	schemas   *schemas.Checker
	created   time.Time
	service   atomic.Pointer[service] // serves new requests

	reloading    sync.Mutex // held by Reload
	addr         net.Addr   // address of Serve's listener, nil before; guarded by reloading
	announcement *announcer.Loop

	draining   atomic.Bool
	closed     func() error     // runs Close once
	inFlight   inflight.Counter // admitted calls and requests of Options.Handlers, until their handler returns
	goroutines inflight.Counter // goroutines of handlers, jobs and health checks
}

// New binds the contract to the provider. A nil opts means the defaults.
//
// Its error lists all mismatches: endpoints without a route, routes without an endpoint,
// capabilities without a route, schemas that were not read, limits that no code enforces. New also
// rejects AllowedHosts and AllowedOrigins entries that can never match a request.
func New(c *contract.Contract, p Provider, opts *Options) (*Bridge, error) {
	if c == nil || p == nil {
		return nil, errors.New("bridge: New needs a contract and a provider")
	}
	b := &Bridge{opts: opts.withDefaults(), created: time.Now()}
	b.log = b.opts.Logger
	b.announcement = b.newAnnouncement()
	s, err := b.newService(c, newProviderRef(p))
	if err := errors.Join(b.opts.validateAccess(), err); err != nil {
		return nil, err
	}
	b.service.Store(s)
	if b.limiter = b.opts.Limiter; b.limiter == nil {
		b.limiter = limits.NewLocal(limitsOf(c), b.opts.CallerLimits)
	}
	if b.telemetry, err = telemetry.New(b.opts.TracerProvider, b.opts.MeterProvider); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	b.bodies = bodies.NewBudget(b.opts.MaxTotalBodyBytes, b.telemetry.BodyBytes)
	b.schemas = schemas.NewChecker(b.telemetry)
	if b.jobs, err = openJobs(&b.opts); err != nil {
		return nil, err
	}
	b.closed = sync.OnceValue(b.close)
	return b, nil
}

// ServeHTTP answers one request. net/http answers malformed requests itself.
func (b *Bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(b, w, r)
	defer x.end()
	defer x.recover()
	// Every answer has these headers, refusals and health checks included.
	x.w.Header().Set("X-Request-Id", x.id)
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := x.service.access.checkHost(r); err != nil {
		x.fail(err)
		return
	}
	preflight, err := x.service.access.checkOrigin(x.w.Header(), r)
	switch {
	case err != nil:
		x.fail(err)
	case preflight:
		x.w.WriteHeader(http.StatusNoContent)
	case !mux.IsCanonical(r): // ServeMux would redirect, and many clients then send GET instead of POST
		x.service.noRoute(x)
	case x.bodyPending && !hasBody(r.Method): // RFC 9110 section 9.3.1: it may be request smuggling
		x.fail(&Error{Code: CodeInvalidRequest, Detail: "Send no body with " + r.Method + ": it would not be read."})
	default:
		x.service.mux.ServeHTTP(x.w, x.r)
	}
}
