// Package registry is a registry and router with CAIO's HTTP API, in memory or with a store: for development, for tests,
// and embedded where no CAIO runs.
//
// It accepts services by their contracts, lists them, and routes requests as [Registry.Route] says, with proofs and a
// trace for each decision. Of what CAIO does beyond that, the history of services does not influence the choice.
package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/internal/option"
)

// A Registry holds services and routes requests to them. It is an [http.Handler], its methods mirror those of
// [caio.Client] and fail with the same errors, and it is safe for concurrent use: services come and go while requests are
// routed. Do not modify what its answers point at. Without a [Store], what it holds is lost with the process; announced
// services register again.
type Registry struct {
	services *catalogue
	traces   *traceLog
	refusals refusals
	boards   struct{ services, decisions board } // for the page
	weights  Weights
	prober   *prober  // nil for none
	store    Store    // nil for none
	replica  *replica // nil unless the store is shared
	loads    loadLimiter
	handler  http.Handler
	log      *slog.Logger
	version  string
	started  time.Time

	changes            sync.Mutex   // held while a service is registered or removed
	soonest            atomic.Int64 // when the first lease may end, nanoseconds since 1970; 0 if there is none
	decided, unmatched atomic.Int64
}

// Options configure a [Registry]. Nil and zero values mean the defaults.
type Options struct {
	// MaxServices bounds the services registered at the same time. Default: 10,000; at most 1,000,000.
	MaxServices int

	// MaxBytes bounds the memory of the registered services together, in bytes. The registry estimates it: a contract's text,
	// the texts made of it, and the part that routing looks at. The real memory is 0.4 to 1.1 times the estimate. A small
	// service counts 4 KB, one with the contract of the Codex bridge 10 to 15 KB, and the largest contract 0.8 MB, or up to 14 MB
	// if its constraints have many small objects. Beyond the bound, registering fails with status 507 and code
	// REGISTRY_FULL. Services of a [Store] that exceed it, or MaxServices or MaxCapabilities, are logged and not served.
	// Default: 256 MiB; at least 1 MiB.
	MaxBytes int64

	// MaxCapabilities bounds the different capabilities that all registered services offer together. Beyond it,
	// registering fails like beyond MaxBytes. Default: 100,000; at most 1,000,000.
	MaxCapabilities int

	// MaxTraces bounds the decisions that [Registry.Trace] remembers; the oldest is forgotten first. If they take more than
	// 64 KiB each in the mean, fewer are remembered. Default: 1,000; at most 1,000,000.
	MaxTraces int

	// Weights say what counts in the choice between services that meet all requirements. Default: [DefaultWeights].
	Weights Weights

	// Tokens are the bearer tokens of administrators, who may do everything; UserTokens those of
	// users, who may list and validate, route, and read traces; ServiceTokens those of services, who
	// may list and validate, register and unregister. Each has at least 16 characters. Default: no
	// token is asked for, and only callers on this machine that name it as their host are answered
	// (see AllowUnauthenticated and Hosts).
	Tokens, UserTokens, ServiceTokens []string

	// OpenIntegration answers /api/v1/integration/* without a token even if there are Tokens, as CAIO
	// documents it. Every caller that reaches the registry may then register services. Without a
	// token, registering again can make a registration longer, but not shorten or end it: one without
	// a lease stays until a service or an administrator removes it. Web pages are answered there if
	// their host is this machine or one of Hosts. Default: closed.
	OpenIntegration bool

	// AllowUnauthenticated lets a registry without tokens answer callers on other machines: for
	// networks with an authenticating proxy. It then needs Hosts, too. Default: such a registry
	// answers requests on loopback addresses, Unix domain sockets and connections without a network
	// address; on other addresses it answers /health alone.
	AllowUnauthenticated bool

	// Store keeps services and traces beyond the life of the registry: services before their registration is answered,
	// traces, while [Registry.Run] runs, a moment after the decision. Leases start anew when they are loaded, except from a
	// [SharedStore], which several registries use at a time while they run. Default: nothing is kept.
	Store Store

	// Hosts are the host names, without port, that requests may name; it defends a registry without tokens against web
	// pages that make a browser call it (DNS rebinding). "*" allows all. Default: localhost and loopback addresses if
	// there are no tokens, else all.
	Hosts []string

	// ProbeInterval is how often [Registry.Run] checks the health of each service, give or take as
	// much: a GET of the first endpoint of its contract at /health, /healthz, /readyz or /livez. A
	// base_url with a path, or another endpoint, needs ProbePaths. Three failures in a row make a
	// service "unhealthy", and it is not routed to until two checks in a row succeed. A service
	// without such an endpoint is not checked: its lease alone decides, and the log says so when it
	// registers. Default: never; else between 1 s and 1 h.
	//
	// A caller with the right to register makes the registry send such a GET to an address of its
	// choice, and learns from the status if it was answered.
	ProbeInterval time.Duration

	// ProbePaths are further paths of endpoints that may be asked, the path of base_url included:
	// "/v1/health" is for a base_url of "https://api.example.com/v1" with an endpoint /health.
	// Default: none.
	ProbePaths []string

	// ProbeClient sends the checks. Its redirects should not be followed. Default: one that uses no
	// proxy, gives up after 5 s, and connects to public, private and shared addresses only. Cloud
	// metadata services are never among them, nor this machine's own addresses, but for loopback if
	// there are no tokens.
	ProbeClient *http.Client

	// Logger receives a line for each service that comes or goes, and faults. Default: nothing is logged.
	Logger *slog.Logger
}

// New returns a registry with what its store holds, empty if it has none. All faults of opts are reported together.
func New(opts *Options) (*Registry, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	err := errors.Join(
		option.Default("MaxServices", &o.MaxServices, 10_000, 1, 1_000_000),
		option.Default("MaxCapabilities", &o.MaxCapabilities, 100_000, 1, 1_000_000),
		option.Default("MaxTraces", &o.MaxTraces, 1_000, 1, 1_000_000),
		option.Default("MaxBytes", &o.MaxBytes, 256<<20, 1<<20, math.MaxInt64),
	)
	if o.Weights == (Weights{}) {
		o.Weights = DefaultWeights()
	}
	err = errors.Join(err, o.Weights.check(), o.checkTokens(), o.checkProbes())
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Registry{
		services: newCatalogue(limits{o.MaxServices, o.MaxCapabilities, o.MaxBytes}, o.Weights), traces: newTraceLog(o.MaxTraces, o.Store != nil), weights: o.Weights, store: o.Store,
		loads: newLoadLimiter(), log: o.Logger, version: moduleVersion(), started: time.Now(),
	}
	if store, ok := o.Store.(SharedStore); ok {
		r.replica = newReplica(store)
	}
	r.prober = newProber(&o)
	r.handler = r.newHandler(newGuard(&o))
	if err := r.load(context.Background()); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return r, nil
}

// ServeHTTP answers CAIO's HTTP API, in both sets of paths, browsers that ask for / with a page that shows the services and
// explains decisions, and everything else with CAIO's error envelope.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) }

// Unregister removes a service. It fails with [caio.ErrNotFound] if there is none.
func (r *Registry) Unregister(ctx context.Context, serviceID string) error {
	r.sweep()
	if r.replica != nil {
		return r.withdraw(ctx, serviceID)
	}
	r.changes.Lock()
	defer r.changes.Unlock()
	e, ok := r.services.get(serviceID)
	if !ok {
		return unknownService("unregister", serviceID)
	}
	if err := r.forget(ctx, e); err != nil {
		return r.orFull("unregister", err)
	}
	r.services.remove(e)
	r.log.Info("unregistered", "service_id", serviceID)
	return nil
}

// Services lists the services that q asks for, sorted by id, without their contracts.
func (r *Registry) Services(_ context.Context, q caio.Filter) ([]caio.Service, error) {
	list := r.list(offering(q.Capability), q.Status)
	services := make([]caio.Service, len(list))
	for i, one := range list {
		services[i] = *one.service()
		services[i].Status = one.state
	}
	return services, nil
}

// Service returns one service with its contract. It reads the contract from its text each time: schema files are names, as
// after [contract.Parse]. It fails with [caio.ErrNotFound] if there is no such service.
func (r *Registry) Service(_ context.Context, serviceID string) (*caio.Service, error) {
	e, err := r.lookUp(serviceID)
	if err != nil {
		return nil, err
	}
	service := e.service()
	service.Status = e.status()
	if service.Contract, err = e.wholeContract(); err != nil {
		return nil, fmt.Errorf("registry: the contract of %s: %w", e.contract.ID, err)
	}
	return service, nil
}

func (r *Registry) lookUp(serviceID string) (*entry, error) {
	r.sweep()
	e, ok := r.services.get(serviceID)
	if !ok {
		return nil, unknownService("read service", serviceID)
	}
	return e, nil
}

// Trace returns the record of a decision. It fails with [caio.ErrNotFound] if there is none, or none any more.
func (r *Registry) Trace(ctx context.Context, decisionID string) (*caio.Trace, error) {
	text, err := r.traceText(ctx, decisionID)
	if err != nil {
		return nil, err
	}
	trace := new(caio.Trace)
	if err := json.Unmarshal(text, trace); err != nil {
		return nil, fmt.Errorf("registry: trace %s: %w", decisionID, err)
	}
	return trace, nil
}

func (r *Registry) traceText(ctx context.Context, decisionID string) ([]byte, error) {
	text, ok := r.traces.get(decisionID)
	if !ok && r.replica != nil {
		var err error
		if text, ok, err = r.sharedTrace(ctx, decisionID); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, &caio.Error{Op: "read trace", Status: http.StatusNotFound, Code: wire.DecisionNotFound,
			Message: fmt.Sprintf("there is no decision %q, or not any more: only the latest are kept", wire.Clip(decisionID, 100))}
	}
	return text, nil
}

// Health reports that the registry works, and since when.
func (r *Registry) Health(context.Context) (*caio.Health, error) {
	health := &caio.Health{
		Status: "healthy", Version: r.version, UptimeSeconds: time.Since(r.started).Seconds(),
		Components: map[string]any{"orchestrator": "ok", "registry": "ok", "traceability": "ok"},
	}
	if r.replica != nil {
		health.Components["store"] = "ok"
		if behind := r.replica.behind(); behind > 0 {
			health.Status, health.Components["store"] = "degraded", fmt.Sprintf("out of reach for %s", behind.Round(time.Second))
		}
	}
	return health, nil
}

func unknownService(op, serviceID string) error {
	return &caio.Error{Op: op, Status: http.StatusNotFound, Code: wire.ServiceNotFound,
		Message: fmt.Sprintf("no service %q is registered", wire.Clip(serviceID, 100))}
}

// moduleVersion is the version of this module in the running program, "devel" if that does not know.
func moduleVersion() string {
	const path = "github.com/smarthaus/caio-bridge-go"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == path && module.Version != "" && module.Version != "(devel)" {
			return module.Version
		}
	}
	return "devel"
}
