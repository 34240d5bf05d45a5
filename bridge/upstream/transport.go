package upstream

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A transport sends requests, and retries them if that is safe.
type transport struct {
	direct     *http.Transport // dials through the guard
	proxied    *http.Transport // dials proxies only
	proxy      func(*http.Request) (*url.URL, error)
	guard      *guard
	origins    *origins
	attempts   int
	maxBackoff time.Duration
	observe    func(context.Context, Attempt)
	telemetry  telemetry
	capped     bool // MaxConnsPerHost is set, so that attempts may wait for a connection
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	path, err := t.choose(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	ctx, at := req.Context(), t.origins.of(req.URL)
	spent := 0 // on the attempt
	for number := 1; ; number++ {
		o := t.attempt(path, at, req, number)
		if o.answered() {
			at.budget.refill(max(spent, refillFirst))
		}
		wait, cost := t.pause(req, at, number, o)
		t.report(ctx, o, req, number, wait)
		if wait == 0 {
			return o.res, o.err
		}
		spent = cost
		if o.res != nil {
			// Unread, because the server could make that last. Over HTTP/1.1 this closes the connection.
			o.res.Body.Close()
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] work.
func (t *transport) CloseIdleConnections() {
	t.direct.CloseIdleConnections()
	t.proxied.CloseIdleConnections()
}

// choose returns the transport for req. It checks the host of a request through a proxy.
func (t *transport) choose(req *http.Request) (*http.Transport, error) {
	if req.URL == nil {
		return t.direct, nil // it returns an error
	}
	proxy, err := t.proxy(req)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return t.direct, nil
	}
	return t.proxied, t.guard.checkName(req.URL)
}

// An outcome is the result of an attempt.
type outcome struct {
	res    *http.Response
	err    error         // if res is nil
	tried  bool          // asked for a connection; false: the request is invalid or the breaker open
	sent   bool          // a connection took the request, perhaps without sending all of it
	lasted time.Duration // until the header was read or the attempt failed
	queued time.Duration // part of lasted: the wait for a connection, because of MaxConnsPerHost
}

// attempt sends req once, unless the breaker refuses. It always closes or consumes the request's
// body, as RoundTrip must.
func (t *transport) attempt(path *http.Transport, at *origin, req *http.Request, number int) (o outcome) {
	done, err := at.breaker.allow()
	if err != nil {
		if number == 1 {
			closeBody(req)
		}
		return outcome{err: err}
	}
	verdict := errUncounted
	defer func() { done(verdict) }()

	var conn connTrace
	once := req.WithContext(httptrace.WithClientTrace(req.Context(), conn.hooks(t.capped)))
	once.Header = withTrace(once)
	if hasBody(req) && (number > 1 || req.GetBody != nil) {
		// For the first attempt too: SDKs wrap bodies, and net/http sends header and body in one write
		// only for types of body that it knows to be in memory.
		if number == 1 {
			closeBody(req)
		}
		if once.Body, err = req.GetBody(); err != nil {
			return outcome{err: fmt.Errorf("upstream: the body for attempt %d: %w", number, err)}
		}
	}
	start := time.Now()
	o.res, o.err = path.RoundTrip(once)
	o.lasted = time.Since(start)
	o.tried, o.sent, o.queued = conn.result()
	if !t.capped {
		o.queued = 0 // nothing queues: this was the start of the goroutine that dials
	} else if o.tried {
		t.telemetry.queued(req.Context(), at.server, o.queued)
	}
	verdict = o.verdict(req.Context())
	return o
}

// withTrace returns the request's header with the trace context of its context (W3C traceparent and
// tracestate).
func withTrace(req *http.Request) http.Header {
	if !trace.SpanContextFromContext(req.Context()).IsValid() {
		return req.Header
	}
	traced := make(http.Header, len(req.Header)+2)
	maps.Copy(traced, req.Header) // shares the values: they are not changed
	propagation.TraceContext{}.Inject(req.Context(), propagation.HeaderCarrier(traced))
	return traced
}

// report calls the observer. If that panics, the caller gets no response, so report closes its
// body.
func (t *transport) report(ctx context.Context, o outcome, req *http.Request, number int, wait time.Duration) {
	if t.observe == nil {
		return
	}
	returned := false
	defer func() {
		if !returned && o.res != nil {
			o.res.Body.Close()
		}
	}()
	t.observe(ctx, o.report(req, number, wait))
	returned = true
}

func (o outcome) report(req *http.Request, number int, wait time.Duration) Attempt {
	a := Attempt{
		Method: req.Method, Number: number, Err: o.err,
		Duration: o.lasted, ConnectionWait: o.queued, Wait: wait,
	}
	if req.URL != nil {
		a.Host = req.URL.Host
	}
	if o.res != nil {
		a.Status = o.res.StatusCode
	}
	return a
}

// sleep returns early, with an error, if ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
