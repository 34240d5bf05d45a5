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

// Options adjust a [Bridge]. Nil and zero fields mean the defaults, all of them bounded.
type Options struct {
	// Logger gets one record per request and every cause of a failure. Default: nothing is logged.
	Logger *slog.Logger

	// Authenticate names the caller of a request, or refuses it; a function that asks somebody else for that bounds how long it
	// waits. Default: none, which is accepted on loopback only. /livez, /readyz and /health are always open. See [BearerTokens] and [ClientCertificate]; the examples have a
	// verifier of tokens, and both ways at once. An [*Error] is answered as it is, such as one with [CodeForbidden], and any
	// other with 401; its text is logged, so it must not repeat credentials. A caller without a name is refused.
	Authenticate func(*http.Request) (principal string, err error)

	// AllowUnauthenticated lets a bridge without Authenticate listen off loopback: for networks where something in
	// front authenticates. Default: false.
	AllowUnauthenticated bool

	// AllowedHosts are further names under which callers on loopback may address the bridge, without
	// port, besides localhost, loopback addresses and the hosts of the contract's base_url and of
	// BaseURL. Other Host headers are refused there, against DNS rebinding. Off loopback they are
	// refused in a GET or HEAD without Authenticate, unless they are IP addresses. Default: none.
	AllowedHosts []string

	// AllowedOrigins are the web origins that browsers may call from (CORS), exact, such as
	// "https://app.example.com". Default: none; a request that names any other origin than the
	// bridge's own is refused. Off loopback and without Authenticate, the bridge's own origins are
	// those on loopback and on AllowedHosts, base_url and BaseURL.
	AllowedOrigins []string

	// CallerLimits bound each caller for itself, beside the contract's limits on all of them together. Callers are told
	// apart by the name that Authenticate gives them. Default: not limited.
	CallerLimits limits.Limits

	// Limiter decides which calls are admitted. Default: the contract's limits and CallerLimits, within this process.
	Limiter limits.Limiter

	// Announcer, if set, announces the service while the bridge serves. Default: not announced.
	Announcer Announcer

	// BaseURL is announced, and shown at /contract, as the contract's api.base_url: where callers reach the bridge. Default:
	// what the contract says; if that is on loopback, the port that is really listened on is announced.
	BaseURL string

	// TracerProvider and MeterProvider receive OpenTelemetry traces and metrics: the HTTP server and generative AI
	// conventions, and what the contract's limits admitted and refused. Default: nothing is recorded. To use the global
	// ones, set otel.GetTracerProvider() and otel.GetMeterProvider().
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider

	// Audit is told of every request but health checks, and of every job, once, when it has ended. It holds up whoever
	// tells, so it should be quick. Its context keeps the request's values and does not end with it. Default: none.
	Audit func(context.Context, Call)

	MaxBodyBytes     int64 // of a request, decompressed, unless the contract has max_request_bytes; default 1 MiB
	MaxResponseBytes int64 // of a result or a single event, unless the contract has max_response_bytes; default 8 MiB

	// MaxSchemaValues bounds the JSON values of a body, or a result, that the schema engine checks: see
	// [contract.Schema.WithMaxValues]. A larger one passes if its schema uses common keywords only
	// and allows it. Otherwise a body is refused with 413, and a result with 502. Default:
	// [contract.DefaultMaxValues].
	MaxSchemaValues int

	// MaxTotalBodyBytes bounds the bytes of the bodies of all requests together, from their arrival until the calls are
	// admitted or refused. Bodies of up to 64 KiB do not count, and are always received. Others count as they arrive, with
	// their decompressed copy. When they do not fit, the slowest upload in progress ends with 408. A body that begins to
	// count and finds no slower one waits for about a second, and is refused with 503 and Retry-After. Bodies take up to
	// twice this memory. It should be many times MaxBodyBytes. Default: 64 MiB.
	MaxTotalBodyBytes int64

	// StoreFile names the file that keeps jobs and answers to calls with an Idempotency-Key, so that a restart loses no
	// finished result and calls cut off by one are known as interrupted. It is made, readable for its owner only, if it is
	// not there. One bridge at a time can use it; see [Bridge.Close]. On a disk that is full or read-only the bridge starts,
	// and refuses jobs and calls with an Idempotency-Key with 503 until the disk takes data. Default: they are kept in memory.
	StoreFile string

	KeepFor      time.Duration // finished jobs, and answers to calls with an Idempotency-Key; default 1 hour
	MaxKept      int           // of both together; the oldest finished give way to new ones that are admitted; default 1000
	MaxKeptBytes int64         // of their results and events, at least MaxResponseBytes; events give way to results; default 64 MiB
	JobTimeout   time.Duration // of a job, which is a call sent with "Prefer: respond-async" (RFC 7240), unless its route's own is longer; default 15 minutes

	Timeout      time.Duration // of one call, events included, unless the route or the contract (constraints.timeout_ms) has its own; default 2 minutes
	ReadTimeout  time.Duration // of a request's body; default 30 seconds
	WriteTimeout time.Duration // of a response, and of each event of a stream; default 30 seconds
	Heartbeat    time.Duration // between comments on an idle stream; default 15 seconds
	DrainTimeout time.Duration // for calls in progress when the bridge stops; default 30 seconds

	// FirstEventTimeout and IdleTimeout find a wrapped service that has stalled before the call's whole time is over. They
	// bound how long a route made with [Streaming] may send nothing: from the start to the first event or the answer
	// (default: as long as the call may take, for models think), and from each event to the next or to the answer (default:
	// 5 minutes). Both hold whether or not the caller wants the events, and for jobs, but not for calls that the handler
	// answers in one piece (see [StreamHandler]); waiting for a slow caller does not count. The call then ends as after
	// Timeout.
	FirstEventTimeout time.Duration
	IdleTimeout       time.Duration
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Logger = slog.New(steadyHandler{opts.Logger.Handler()})
	setDefault(&opts.MaxBodyBytes, 1<<20)
	setDefault(&opts.MaxResponseBytes, 8<<20)
	setDefault(&opts.MaxSchemaValues, contract.DefaultMaxValues)
	setDefault(&opts.MaxTotalBodyBytes, 64<<20)
	setDefault(&opts.KeepFor, time.Hour)
	setDefault(&opts.MaxKept, 1000)
	setDefault(&opts.MaxKeptBytes, 64<<20)
	setDefault(&opts.JobTimeout, 15*time.Minute)
	setDefault(&opts.Timeout, 2*time.Minute)
	setDefault(&opts.ReadTimeout, 30*time.Second)
	setDefault(&opts.WriteTimeout, 30*time.Second)
	setDefault(&opts.Heartbeat, 15*time.Second)
	setDefault(&opts.DrainTimeout, 30*time.Second)
	setDefault(&opts.IdleTimeout, 5*time.Minute)
	opts.FirstEventTimeout = max(0, opts.FirstEventTimeout)
	return opts
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
