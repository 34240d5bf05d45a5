package bridge

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/bodies"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/header"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/response"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/telemetry"
)

// An exchange is one request and its response. A job has one, too, without a response.
type exchange struct {
	bridge  *Bridge
	service *service
	w       *response.Writer // points to writer, so that both are one allocation; nil for a job
	writer  response.Writer
	r       *http.Request
	start   time.Time

	id            string
	principal     string
	route         string // path in the contract, "" if no route matched
	replayed      bool   // true if the response is that of an earlier call with the Idempotency-Key
	skipAccessLog bool   // true for health checks, which are frequent
	failure       *Error // why the request failed; nil for a success
	telemetry     telemetry.Request
	deadlineSet   bool // true if there is a deadline for writes
	bodyPending   bool // true if some of the body may still arrive
	discarded     bool // true if discardBody has waited for the rest
	body          bodies.Upload

	mu    sync.Mutex
	usage Usage // sum of the handler's reports
}

type exchangeKey struct{}

func newExchange(b *Bridge, w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{
		bridge:      b,
		writer:      response.Writer{ResponseWriter: w},
		start:       time.Now(),
		id:          header.RequestID(r.Header),
		bodyPending: r.ContentLength != 0,
	}
	x.w = &x.writer
	var ctx context.Context
	ctx, x.telemetry = b.telemetry.Begin(r, x.start, x.id, b.service.Load().contract.ID)
	x.service = b.acquireService() // after the tracer, which may panic
	x.r = r.WithContext(context.WithValue(ctx, exchangeKey{}, x))
	return x
}

// acquireService returns the current service. Its provider stays open until releaseService.
func (b *Bridge) acquireService() *service {
	for {
		if s := b.service.Load(); s.provider.Acquire() {
			return s
		} // else Reload has just replaced it
	}
}

// releaseService ends a use. The last user of a replaced provider closes it.
func (b *Bridge) releaseService(s *service) {
	if err := s.provider.Release(); err != nil {
		b.log.Warn("the provider that was replaced does not close", "cause", err)
	}
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// RequestID returns the id of the request in ctx, the caller's X-Request-Id, or "" without a
// request.
func RequestID(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.id
	}
	return ""
}

// Principal returns the caller's name from [Options.Authenticate], or "".
func Principal(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.principal
	}
	return ""
}

// fail records err for the log and sends it, unless a response has begun. It also answers a caller
// that looks gone: one that closed only its half of the connection would read an empty 200.
func (x *exchange) fail(err error) {
	e := publicError(err)
	x.failure = e
	if x.w.Status != 0 {
		return
	}
	x.armWriteDeadline()
	if err := writeProblem(x.w, e, instanceOf(x.r), x.id); err != nil && x.failure.Cause == nil {
		x.failure = &Error{Code: codeClientGone, Cause: err}
	}
}

// recover is deferred. It turns a panic on the request's goroutine into 500, or breaks the
// connection if a response has begun, so that the caller does not take it for a whole one.
func (x *exchange) recover() {
	p := recover()
	switch {
	case p == nil:
		return
	case p == http.ErrAbortHandler:
		panic(p)
	}
	begun := x.w.Status != 0
	x.fail(panics.NewError(p))
	if begun {
		panic(http.ErrAbortHandler)
	}
}

// end frees the service, ends the span and writes the access log.
func (x *exchange) end() {
	defer x.bridge.releaseService(x.service)
	if !x.deadlineSet {
		x.armWriteDeadline() // net/http has yet to flush
	}
	call := x.call(x.w.Status)
	x.bridge.telemetry.End(x.r.Context(), &x.telemetry, x.route, call.Status, call.Code)
	x.report(&call)
}

// lingerTimeout is the time for the rest of a refused body.
const lingerTimeout = time.Second

// armWriteDeadline sets the deadline of the next write. The server has no timeout for whole
// responses, which would cut streams, and none for bodies. net/http reads the rest of a body before
// it answers.
func (x *exchange) armWriteDeadline() {
	x.setWriteDeadline(time.Now().Add(x.bridge.opts.Timeouts.Write))
	if x.bodyPending && !x.discarded {
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(lingerTimeout))
	}
}

// clearWriteDeadline allows an idle stream. HTTP/2 resets a stream after its write deadline even
// with nothing to write. HTTP/1.1 does not need the call.
func (x *exchange) clearWriteDeadline() {
	if x.r.ProtoMajor > 1 {
		x.setWriteDeadline(time.Time{})
	}
}

func (x *exchange) setWriteDeadline(t time.Time) {
	x.deadlineSet = !t.IsZero()
	_ = http.NewResponseController(x.w).SetWriteDeadline(t) // unsupported only outside of a server
}

// addUsage adds a report of the handler. A late handler may call it after the response.
func (x *exchange) addUsage(u Usage) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if u.Model == "" && x.usage.Model != "" {
		return // a failed call does not replace the names of a successful one
	}
	u.InputTokens += x.usage.InputTokens
	u.OutputTokens += x.usage.OutputTokens
	x.usage = u
}
