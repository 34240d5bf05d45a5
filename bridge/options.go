package bridge

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// Options configure a [Bridge]. Nil and zero fields mean the defaults, all of them bounded.
type Options struct {
	// Logger gets one record for each request, and the cause of each failure. Its handler must not
	// panic: net/http logs panics of requests through it. Default: no log.
	Logger *slog.Logger

	// Audit is called once for each finished request (health checks excluded) and each finished job.
	// It runs synchronously, so keep it fast. Its context keeps the request's values and does not end
	// with it. Default: none.
	Audit func(context.Context, Call)

	// TracerProvider and MeterProvider receive OpenTelemetry traces and metrics, by the HTTP server
	// and generative AI conventions. Default: none. To use the global ones, set
	// otel.GetTracerProvider() and otel.GetMeterProvider().
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider

	// Authenticate returns the caller's name or an error. It must bound its own I/O. An [*Error] is
	// sent as is. Any other error becomes 401 and its text is logged, so it must not contain
	// credentials. An empty name is refused. /livez, /readyz and /health are always open. See
	// [BearerTokens] and [ClientCertificate]. Default: nil, allowed on loopback only.
	Authenticate func(*http.Request) (principal string, err error)

	// AllowUnauthenticated lets a bridge without Authenticate listen off loopback, for networks with
	// an authenticating proxy in front. Default: false.
	AllowUnauthenticated bool

	// AllowedHosts are further host names of the bridge, without port, besides localhost, loopback
	// addresses and the hosts of the contract's base_url and of BaseURL. The bridge refuses other Host
	// headers on loopback, against DNS rebinding. Off loopback it refuses them in a GET or HEAD
	// without Authenticate, unless they are IP addresses. Default: none.
	AllowedHosts []string

	// AllowedOrigins are the web origins that browsers may call from (CORS), exact, such as
	// "https://app.example.com". A request with any other origin than the bridge's own is refused. Off
	// loopback and without Authenticate, the bridge's own origins are those on loopback and on
	// AllowedHosts, base_url and BaseURL. Default: none.
	AllowedOrigins []string

	// Handlers are further handlers by pattern of [http.ServeMux], a path with or without a method,
	// such as "/mcp". Their requests pass the same checks of host, origin and caller as calls, count
	// as calls in progress, and end when the bridge stops. [Principal] and [RequestID] work in them.
	// The limits of the contract and the bounds of bodies and time do not apply. Default: none.
	Handlers map[string]http.Handler

	// CallerLimits bound each caller, by the name of Authenticate, in addition to the contract's
	// limits on all callers together. Default: no limit.
	CallerLimits limits.Limits

	// Limiter admits calls. Default: the contract's limits and CallerLimits, within this process.
	Limiter limits.Limiter

	// Announcer announces the service while the bridge serves. Default: none.
	Announcer Announcer

	// BaseURL is the URL of the bridge for its callers, announced and shown at /contract in place of
	// the contract's api.base_url. Default: the contract's. If that is on loopback, it gets the port
	// of the listener.
	BaseURL string

	// MaxBodyBytes bounds a decompressed request body, unless the contract has max_request_bytes.
	// Default: 1 MiB.
	MaxBodyBytes int64

	// MaxResponseBytes bounds a result or a single event, unless the contract has max_response_bytes.
	// Default: 8 MiB.
	MaxResponseBytes int64

	// MaxSchemaValues bounds the JSON values that the schema engine checks in a body or a result: see
	// [contract.Schema.WithMaxValues]. A larger one is still checked if its schema uses common
	// keywords only. Otherwise a body gets 413, and a result becomes 502. It does not bound schemas.
	// Default: [contract.DefaultMaxValues].
	MaxSchemaValues int

	// MaxTotalBodyBytes bounds the bytes of all request bodies together, from their arrival until
	// their calls are admitted or refused. Bodies of up to 64 KiB do not count. Others count as they
	// arrive, with their decompressed copy. When they do not fit, the slowest upload in progress ends
	// with 408. A new body without a slower one waits for about a second and gets 503 with
	// Retry-After. Bodies take up to twice this memory. It should be many times MaxBodyBytes. Default:
	// 64 MiB.
	MaxTotalBodyBytes int64

	Jobs     JobOptions // jobs, and answers to calls with an Idempotency-Key
	Timeouts Timeouts
}

// JobOptions configure jobs, and answers to calls with an Idempotency-Key. Zero and negative values
// mean the defaults.
type JobOptions struct {
	// Store keeps the records. Package jobfile has one in a file, which survives a restart. The bridge
	// closes it, unless New returns an error. Default: in memory. [NoJobs] turns jobs off.
	Store JobStore

	// Retention is the time that finished jobs and answers are kept. Default: 1 hour.
	Retention time.Duration

	// MaxRecords bounds jobs and answers together. An admitted call evicts the oldest finished
	// records. Default: 1000.
	MaxRecords int

	// MaxBytes bounds their results and events, and is at least MaxResponseBytes. The bridge evicts
	// events before results. Default: 64 MiB.
	MaxBytes int64

	// Timeout bounds a job, which is a call with "Prefer: respond-async" (RFC 7240), unless its
	// route's timeout is longer. Default: 15 minutes.
	Timeout time.Duration
}

// A JobStore keeps records by id. It is safe for concurrent use. After an error of Put or Delete
// the records are unchanged.
type JobStore interface {
	// Put stores value under id and replaces an earlier record. The caller does not change value
	// afterwards.
	Put(id string, value []byte) error

	// Get returns the record of that id, or nil if there is none. The caller does not change it.
	Get(id string) ([]byte, error)

	// Delete removes records, all or none. It ignores unknown ids.
	Delete(ids ...string) error

	// All calls f for each record, in the order of ids, until f fails. value is valid during the call.
	// f does not use the store.
	All(f func(id string, value []byte) error) error

	// Writable returns the reason why the store takes no data for now, such as a full disk, or nil.
	// The bridge then refuses jobs and calls with an Idempotency-Key with 503 until Put succeeds.
	Writable() error

	// Close frees the store. Closing twice is allowed.
	Close() error
}

// NoJobs returns a value for [JobOptions].Store that turns jobs off. The bridge then serves no
// /jobs, answers calls with "Prefer: respond-async" at once, and refuses an Idempotency-Key with
// 400.
func NoJobs() JobStore { return noJobs{} }

type noJobs struct{ JobStore }

func (o JobOptions) off() bool {
	_, off := o.Store.(noJobs)
	return off
}

// Timeouts bound the time of calls. Zero and negative values mean the defaults.
type Timeouts struct {
	// Call bounds one call, events included, unless the route or the contract (constraints.timeout_ms)
	// has its own timeout. Default: 2 minutes.
	Call time.Duration

	Read      time.Duration // arrival of a request's body; default 30 seconds
	Write     time.Duration // write of a response, and of each event of a stream; default 30 seconds
	Heartbeat time.Duration // pause between comments on an idle stream; default 15 seconds
	Drain     time.Duration // wait for calls in progress when the bridge stops; default 30 seconds

	// FirstEvent bounds the time of a route made with [Streaming] to its first event or its answer.
	// Default: the call's whole time, because models think.
	//
	// FirstEvent and Idle detect a stalled service before the call's time is over. Both apply to jobs
	// and to callers without events, but not to calls of Handle (see [StreamHandler]). Waits for a
	// slow caller do not count. The call then ends as after Call.
	FirstEvent time.Duration

	// Idle bounds the time from each event to the next or to the answer. Default: 5 minutes.
	Idle time.Duration
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&opts.MaxBodyBytes, 1<<20)
	setDefault(&opts.MaxResponseBytes, 8<<20)
	setDefault(&opts.MaxSchemaValues, contract.DefaultMaxValues)
	setDefault(&opts.MaxTotalBodyBytes, 64<<20)
	setDefault(&opts.Jobs.Retention, time.Hour)
	setDefault(&opts.Jobs.MaxRecords, 1000)
	setDefault(&opts.Jobs.MaxBytes, 64<<20)
	setDefault(&opts.Jobs.Timeout, 15*time.Minute)
	setDefault(&opts.Timeouts.Call, 2*time.Minute)
	setDefault(&opts.Timeouts.Read, 30*time.Second)
	setDefault(&opts.Timeouts.Write, 30*time.Second)
	setDefault(&opts.Timeouts.Heartbeat, 15*time.Second)
	setDefault(&opts.Timeouts.Drain, 30*time.Second)
	setDefault(&opts.Timeouts.Idle, 5*time.Minute)
	opts.Timeouts.FirstEvent = max(0, opts.Timeouts.FirstEvent)
	return opts
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
