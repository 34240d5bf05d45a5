package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Bridge serves a contract. It is an [http.Handler], and a server of its own with [Bridge.Run] and [Bridge.Serve]. It
// is safe for concurrent use.
//
// Beside the contract's endpoints it serves GET /livez (the process answers), /readyz (it takes calls; with ?verbose what was checked) and /health (the
// same with details), none of which calls the wrapped service's billed API; and, for whom it would take calls from, GET
// /contract (JSON, or YAML if asked for), /openapi.json (OpenAPI 3.1, made from the contract) and /jobs/{id}: calls sent
// with "Prefer: respond-async" become jobs there. Calls with an Idempotency-Key may be repeated and run once.
type Bridge struct {
	opts      Options
	log       *slog.Logger
	ledger    *ledger // of jobs, and of calls with an Idempotency-Key
	limiter   limits.Limiter
	bodies    *bodyBudget
	telemetry *telemetry
	schemas   *schemaChecker
	since     time.Time               // it was made
	service   atomic.Pointer[service] // that new calls go to

	reloading      sync.Mutex         // held by Reload, and for the fields below
	addr           net.Addr           // that Serve listens at, nil before
	stopAnnouncing context.CancelFunc // ends the current announcement so that the next contract's can begin; nil if there is none

	draining   atomic.Bool
	closed     func() error   // does what Close does, once
	inProgress atomic.Int64   // calls admitted and not yet ended
	calls      sync.WaitGroup // handlers in progress, also those whose caller has been answered
}

// New binds the contract to the provider. Its error lists everything that does not fit: endpoints without a route, routes
// without an endpoint, capabilities that no route serves, schemas that were not read, limits that nothing enforces; and
// names among the options that no request could have.
func New(c *contract.Contract, p Provider, opts *Options) (*Bridge, error) {
	if c == nil || p == nil {
		return nil, errors.New("bridge: New needs a contract and a provider")
	}
	b := &Bridge{opts: opts.withDefaults(), since: time.Now()}
	b.log = b.opts.Logger
	s, err := b.newService(c, newTenure(p))
	if err := errors.Join(b.opts.checkNames(), err); err != nil {
		return nil, err
	}
	b.service.Store(s)
	if b.limiter = b.opts.Limiter; b.limiter == nil {
		b.limiter = limits.NewLocal(limitsOf(c), b.opts.CallerLimits)
	}
	if b.telemetry, err = newTelemetry(&b.opts); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	b.bodies = newBodyBudget(b.opts.MaxTotalBodyBytes, b.telemetry.bodiesGrew)
	b.schemas = newSchemaChecker(b.telemetry)
	if b.ledger, err = openLedger(&b.opts); err != nil {
		return nil, err
	}
	b.closed = sync.OnceValue(func() error {
		b.ledger.stop()
		return errors.Join(b.ledger.close(), b.closeProvider())
	})
	return b, nil
}

// ServeHTTP answers one request.
func (b *Bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(b, w, r)
	defer x.end()
	defer x.recovered()
	x.w.Header().Set("X-Request-Id", x.id)
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := x.service.guard.checkHost(r); err != nil {
		x.fail(err)
		return
	}
	preflight, err := x.service.guard.checkOrigin(x.w.Header(), r)
	switch {
	case err != nil:
		x.fail(err)
	case preflight:
		x.w.WriteHeader(http.StatusNoContent)
	case !isClean(r): // ServeMux would redirect, which turns POST into GET for many clients
		x.service.unrouted(x)
	case x.unread && !hasBody(r.Method): // RFC 9110 section 9.3.1: it has no meaning, and may be an attempt at smuggling
		x.fail(&Error{Code: CodeInvalidRequest, Detail: "Send no body with " + r.Method + ": it would not be read."})
	default:
		x.service.mux.ServeHTTP(x.w, x.r)
	}
}
