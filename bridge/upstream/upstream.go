// Package upstream makes the HTTP client between a provider and the API that it wraps:
//
//	client, err := upstream.New(&upstream.Options{AllowHosts: []string{baseURL}})
//
// The client is a plain [http.Client] for any SDK that takes one. For calls to a billed API over an
// unreliable network it adds:
//
//   - Pooled connections, over HTTP/2 and HTTP/1.1 alike. As many are open as there are requests,
//     unless [Options.MaxConnsPerHost] bounds them. At most 256 to a host stay idle.
//   - Bounds on every phase of a call, except the wait for a connection, the sending of the request
//     and the reading of the body. These are bounded by the request's context.
//   - Retries, if they are safe: the method is idempotent (RFC 9110 section 9.2.2), the request
//     carries an Idempotency-Key, or nothing of it was sent. Pauses grow and are jittered,
//     Retry-After is honoured, and a budget keeps retries from doubling the load of a failing
//     server. A response that the caller has received is never retried.
//   - A circuit breaker for each host: see [OpenError].
//   - An egress guard: addresses that are not public, or this machine's own, are refused at the
//     dial, under any name, unless they were allowed: see [EgressError]. Redirects are followed
//     within the same scheme, host and port only, so that credentials reach no other server.
//   - The trace context of the request's context (W3C traceparent and tracestate), so that the
//     wrapped service's spans join the caller's trace.
//
// Failover to another server, hedging and caching are left to providers, because they depend on the
// API.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/smarthaus/caio-bridge-go/internal/option"
)

const (
	dialTimeout     = 10 * time.Second
	idleTimeout     = 90 * time.Second
	pingAfter       = 15 * time.Second // without a frame, so that calls on a dead HTTP/2 connection fail
	maxHeaderBytes  = 64 << 10
	maxRedirects    = 5
	maxConns        = 1 << 16
	maxIdlePerHost  = 256 // net/http keeps 2, and behind an HTTP/1.1 gateway reconnects for nearly every call
	idlePoolsToHold = 4   // full pools of hosts
)

// Options adjust the client. Nil and zero fields mean the defaults.
type Options struct {
	// AllowHosts are servers on loopback, private and shared addresses, and on this machine's own,
	// that requests may reach: "host:port", or URLs, without regard to their paths.
	// Typically it is the operator's base URL. A name does not open link-local, metadata and other
	// special addresses; an IP address opens itself. Default: none.
	AllowHosts []string

	// AllowPrivate are ranges of addresses that requests may reach under any name. Only a prefix of
	// full length opens a cloud's metadata address, or a loopback address inside an IPv6 one.
	// Default: none.
	AllowPrivate []netip.Prefix

	// Proxy chooses the proxy of a request, as in [http.Transport]. The guard does not apply to the
	// proxy's own address: the operator chooses it. Behind a proxy the guard sees the URL's host only
	// and refuses addresses that are not public. The proxy resolves names, so it must refuse the
	// addresses behind them. Default: [http.ProxyFromEnvironment].
	Proxy func(*http.Request) (*url.URL, error)

	// TLS adds certificates of a private authority or of the client. Default: Go's own settings.
	TLS *tls.Config

	// HeaderTimeout bounds the wait for a response's header after the request was sent. An API that
	// does not stream sends the header with the complete answer. Default: 2 minutes.
	HeaderTimeout time.Duration

	// MaxConnsPerHost bounds the connections to a host over HTTP/1.1, idle ones included. A stream
	// holds its connection to its end. Further requests wait for a connection until their context
	// ends: see [Attempt.ConnectionWait] and MeterProvider. Over HTTP/2 a connection carries many
	// requests, and the server's limit of streams decides when another one is opened.
	//
	// Default: no bound, so that as many requests are sent at a time as the provider makes. The
	// contract's max_concurrent_requests bounds these. At most 256 connections to a host stay idle,
	// each for 90 seconds.
	MaxConnsPerHost int

	// Attempts bounds the attempts for one request, the first included, from 1 (no retry) to 10.
	// Default: 3.
	Attempts int

	// MaxBackoff bounds the pause before another attempt. A response with a longer Retry-After is
	// returned instead of retried. Default: 20 seconds.
	MaxBackoff time.Duration

	// BreakAfter is the number of consecutive failed attempts at a host that open its breaker. An
	// attempt fails with a transport error or a status of 500 and above. It does not count if its
	// caller cancelled it, or gave the host less than 10 seconds. Default: 10.
	BreakAfter int

	// BreakFor is the time that an open breaker refuses requests, before it lets a single one through.
	// If its header takes longer than BreakFor again, the breaker lets another one through. Default: 5
	// seconds.
	BreakFor time.Duration

	// Observe, if set, is called after every attempt, once its header was read or it failed. The
	// goroutine that makes the request calls it. It must be safe for concurrent use.
	Observe func(context.Context, Attempt)

	// MeterProvider receives the OpenTelemetry histogram http.client.request.time_in_queue, by
	// server.address and server.port: the [Attempt.ConnectionWait] of every attempt at a connection,
	// in seconds. Without MaxConnsPerHost nothing waits and nothing is recorded. Default: none.
	MeterProvider metric.MeterProvider
}

// An Attempt is one try to send a request.
type Attempt struct {
	Method   string
	Host     string        // with the port, as in the URL
	Number   int           // among the attempts of its request, from 1
	Status   int           // of the response; 0 without one
	Err      error         // cause of a missing response; an [*OpenError] if the breaker refused the attempt
	Duration time.Duration // until the header was read or the attempt failed
	Wait     time.Duration // pause before the next attempt; 0 for the last one

	// ConnectionWait is the time, part of Duration, that the attempt waited for another request to
	// release a connection because MaxConnsPerHost of them were in use. Dialling does not count.
	// It is 0 if that option is not set.
	ConnectionWait time.Duration
}

// New returns a client that is safe for concurrent use. A provider should make all calls with one
// client, because connections, budgets and breakers belong to it. The error lists all invalid
// options.
//
// The client's Timeout should stay 0: it would cut streams. Call CloseIdleConnections after the
// last call.
func New(opts *Options) (*http.Client, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	g, err := newGuard(o.AllowHosts, o.AllowPrivate)
	if err := errors.Join(err, o.setDefaults()); err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	return newClient(&o, g, g.dial)
}

// newClient expects checked options. dial connects to servers, not to proxies.
func newClient(o *Options, g *guard, dial dialFunc) (*http.Client, error) {
	measured, err := newTelemetry(o.MeterProvider)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	t := &transport{
		direct:     newTransport(o, dial),
		proxied:    newTransport(o, (&net.Dialer{Timeout: dialTimeout}).DialContext),
		proxy:      o.Proxy,
		guard:      g,
		origins:    newOrigins(o.BreakAfter, o.BreakFor),
		attempts:   o.Attempts,
		maxBackoff: o.MaxBackoff,
		observe:    o.Observe,
		telemetry:  measured,
		capped:     o.MaxConnsPerHost > 0,
	}
	t.proxied.Proxy = func(req *http.Request) (*url.URL, error) {
		u, err := o.Proxy(req)
		if err == nil && u == nil { // this transport dials any address, so it must not connect directly
			err = errors.New("upstream: Options.Proxy changed its mind")
		}
		return u, err
	}
	return &http.Client{Transport: t, CheckRedirect: checkRedirect}, nil
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

func newTransport(o *Options, dial dialFunc) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        o.TLS.Clone(),
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  o.HeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        idleTimeout,
		MaxConnsPerHost:        o.MaxConnsPerHost,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		MaxIdleConns:           maxIdlePerHost * idlePoolsToHold,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true, // a DialContext would turn it off
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter},
	}
}

// checkRedirect follows redirects to the same origin. [http.Client] would follow others too, and
// strip only the credentials that it knows: not X-Api-Key and the like, nor the body of a 307 or
// 308.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("upstream: stopped after %d redirects", maxRedirects)
	}
	if from := via[0].URL; req.URL.Scheme != from.Scheme || hostPort(req.URL) != hostPort(from) {
		return &EgressError{
			Host:   hostPort(req.URL),
			Reason: "a redirect from " + hostPort(from) + " to another origin is not followed",
		}
	}
	return nil
}

// hostPort returns host and port of u in the one form that compares, as http.Transport dials them.
func hostPort(u *url.URL) string {
	host, port := splitHostPort(u)
	return net.JoinHostPort(host, port)
}

func splitHostPort(u *url.URL) (host, port string) {
	port = u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return normalHost(u.Hostname()), port
}

func normalHostPort(host, port string) string { return net.JoinHostPort(normalHost(host), port) }

func normalHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

func (o *Options) setDefaults() error {
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	var connsErr error
	if o.MaxConnsPerHost < 0 || o.MaxConnsPerHost > maxConns {
		connsErr = fmt.Errorf("MaxConnsPerHost is %d, but must be between 1 and %d (0 means no bound)",
			o.MaxConnsPerHost, maxConns)
	}
	return errors.Join(
		connsErr,
		option.Default("HeaderTimeout", &o.HeaderTimeout, 2*time.Minute, time.Millisecond, time.Hour),
		option.Default("Attempts", &o.Attempts, 3, 1, 10),
		option.Default("MaxBackoff", &o.MaxBackoff, 20*time.Second, time.Millisecond, 10*time.Minute),
		option.Default("BreakAfter", &o.BreakAfter, 10, 1, 1<<20),
		option.Default("BreakFor", &o.BreakFor, 5*time.Second, time.Millisecond, time.Hour),
	)
}
