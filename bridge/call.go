package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/bounds"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/header"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobs"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const (
	// lateGrace is the time that a handler gets to return after its context has ended.
	lateGrace = 100 * time.Millisecond

	// admitTimeout bounds a custom limiter, as [limits.Limiter] documents.
	admitTimeout = 5 * time.Second
)

// Causes of the end of a call's context, besides a [bounds.Deadline]. A caller that left has the
// plain cause context.Canceled.
var (
	errClientGone = errors.New("the caller is gone")
	errStopping   = jobs.ErrStopping
	errStalled    = stallError{}
)

var (
	errIgnoredContext = errors.New("the handler did not return when its context ended")
	errGoexit         = errors.New("the handler ended its goroutine")
)

// A stallError is a kind of timeout, also to package upstream, which then knows that a host
// stalled.
type stallError struct{}

func (stallError) Error() string        { return "the handler sent nothing" }
func (stallError) Is(target error) bool { return target == context.DeadlineExceeded }

// call answers a request for an endpoint of the contract. It returns an error that was not sent.
//
// A cheap step comes before a costly one, and a check before its effect. A call that a step refuses
// has none of the effects of later steps:
//
//  1. Caller and origin: a hash of the token, or Options.Authenticate.
//  2. Headers: Accept, Content-Type, Content-Encoding, Content-Length, Idempotency-Key.
//  3. The body arrives, within Options.MaxTotalBodyBytes, and is decompressed.
//  4. The body is checked against the schema and decoded, and its tokens are counted. A call that
//     is refused up to here counts for no limit.
//  5. A recorded call (see recordedCall) reserves its key, or gets the earlier response.
//  6. The limiter admits the call, which now counts.
//  7. A recorded call is stored, and then evicts the oldest outcomes over the bound.
//  8. The handler runs.
func (b *Bridge) call(x *exchange, op *operation) error {
	if err := b.checkAccess(x); err != nil {
		return err
	}
	stream, err := negotiate(x.r, op)
	if err != nil {
		return err
	}
	recording, err := b.recordingOf(x)
	if err != nil {
		return err
	}
	defer x.body.Release()
	body, req, err := b.receive(x, op)
	if err != nil {
		if e := publicError(err); e.Clause != "" {
			b.telemetry.Refused(x.r.Context(), x.route, e.Clause)
		}
		return err
	}
	if !recording.async {
		op = withCallerWait(x.r, op)
	}
	var to responder = jsonResponder{x}
	if stream {
		to = newSSEResponder(x, op.MaxResponse)
	}
	if recording.wanted() {
		return b.recordedCall(x, op, recording, body, req, to)
	}
	release, err := b.admit(x)
	if err != nil {
		return err
	}
	return b.invoke(x, op, req, release, to)
}

// checkAccess authenticates the caller and refuses calls of a bridge that stops.
func (b *Bridge) checkAccess(x *exchange) error {
	if err := x.service.access.authenticate(x); err != nil {
		return err
	}
	if err := checkFetchMetadata(x.r); err != nil {
		return err
	}
	if b.draining.Load() {
		return shuttingDown()
	}
	return nil
}

func shuttingDown() *Error {
	return &Error{
		Code:       CodeUnavailable,
		Detail:     "This bridge is shutting down. Try again: another instance may answer.",
		RetryAfter: time.Second,
		Cause:      errStopping,
	}
}

// callMounted passes a request to a handler of Options.Handlers.
func (b *Bridge) callMounted(x *exchange, h http.Handler) error {
	if err := b.checkAccess(x); err != nil {
		return err
	}
	b.inFlight.Add()
	defer b.inFlight.Done()
	h.ServeHTTP(x.w, x.r)
	return nil
}

// receive reads the request's JSON, checks it and decodes it.
func (b *Bridge) receive(x *exchange, op *operation) (body []byte, req any, err error) {
	if body, err = b.readRequest(x, op); err != nil {
		return nil, nil, err
	}
	ctx := x.r.Context()
	if err := b.schemas.Request(ctx, x.route, op.endpoint.InputSchema, body); err != nil {
		if ctx.Err() != nil {
			return nil, nil, callError(ctx, err)
		}
		return nil, nil, invalidRequest(err)
	}
	if req, err = op.decode(body); err != nil {
		return nil, nil, invalidRequest(err)
	}
	if limit := x.service.contract.Constraints.MaxContextTokens; limit > 0 {
		if n := x.service.provider.Provider.(TokenCounter).CountTokens(req); n > limit {
			return nil, nil, &Error{
				Code:   CodeContextLength,
				Detail: fmt.Sprintf("The request has about %d tokens, the contract allows %d. Send less context.", n, limit),
				Clause: "constraints.context_length.max_tokens",
			}
		}
	}
	return body, req, nil
}

// invalidRequest returns 400 for a malformed body, 422 for one that the schema refuses. The caller
// learns the place. The log does not, because it holds no bodies.
func invalidRequest(err error) error {
	const clause = "api.endpoints.input_schema"
	if violations, ok := errors.AsType[contract.Violations](err); ok {
		const detail = "The request does not fit the endpoint's input_schema; errors says where."
		return &Error{Code: CodeSchemaViolation, Detail: detail, Fields: violations, Clause: clause}
	}
	if cost, ok := errors.AsType[*contract.CostError](err); ok {
		detail := "The body is too much to check against the endpoint's input_schema: " + cost.Detail + "."
		return &Error{Code: CodeTooLarge, Detail: detail, Clause: clause}
	}
	if syntax, ok := errors.AsType[*contract.SyntaxError](err); ok {
		return &Error{
			Code:   CodeInvalidRequest,
			Detail: "The body was not understood: " + syntax.Detail + ".",
			Fields: []contract.Violation{{Pointer: syntax.Pointer, Detail: syntax.Detail}},
		}
	}
	e := &Error{
		Code:   CodeInvalidRequest,
		Detail: "The body cannot be decoded into what this operation takes.",
		Cause:  codec.Redact(err),
	}
	if pointer, kind, ok := codec.Mismatch(err); ok {
		e.Detail += " See errors for where."
		detail := "this " + kind + " is not one that the operation can take"
		e.Fields = []contract.Violation{{Pointer: pointer, Detail: detail}}
	}
	return e
}

// admit takes a slot for the call. The caller calls release once.
func (b *Bridge) admit(x *exchange) (release func(), err error) {
	ctx := x.r.Context()
	if b.opts.Limiter != nil { // it may do I/O
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, admitTimeout)
		defer cancel()
	}
	admission, err := b.limiter.Admit(ctx, x.principal)
	header.SetQuotas(x.w.Header(), admission.Quotas)
	if err != nil {
		err = refusal(x.r.Context(), err)
		b.telemetry.Refused(x.r.Context(), x.route, publicError(err).Clause)
		return nil, err
	}
	b.inFlight.Add()
	release = func() {
		defer b.inFlight.Done()
		if admission.Release != nil {
			admission.Release()
		}
	}
	counted := false
	defer func() {
		if !counted { // the meter panics
			release()
		}
	}()
	b.telemetry.Admitted(x.r.Context(), x.route)
	counted = true
	x.body.Release()
	return release, nil
}

// refusal returns the error of a call that a limiter did not admit. A limiter that fails admits no
// call, because the call may be over the limits.
func refusal(ctx context.Context, err error) error {
	if refusal, ok := errors.AsType[*limits.Refusal](err); ok {
		return &Error{Code: CodeRateLimited, Detail: refusal.Detail, Clause: refusal.Clause, RetryAfter: refusal.RetryAfter}
	}
	if _, ok := asError(err); ok {
		return err
	}
	if ctx.Err() != nil { // the caller left meanwhile
		return callError(ctx, err)
	}
	return &Error{
		Code:       CodeUnavailable,
		Detail:     "Whether the call is within the limits could not be found out. Try again.",
		RetryAfter: time.Second,
		Cause:      err,
	}
}

// invoke calls the handler under the call's deadline and writes its result. It answers the caller
// in time even if the handler ignores its context. Such a call keeps its slot until the handler
// returns, because until then it is in progress.
func (b *Bridge) invoke(x *exchange, op *operation, req any, release func(), to responder) error {
	ctx, stop := context.WithTimeoutCause(x.r.Context(), op.Total, op.Deadline)
	defer stop()
	defer to.Close()
	c := &handlerCall{exchange: x, op: op, req: req, release: release, done: make(chan outcome, 1)}
	if op.shouldStream(to) {
		ctx, c.end = context.WithCancelCause(ctx)
		defer c.end(nil)
		var unwatch func() bool
		c.send, unwatch = op.watchIdle(ctx, to, c.end)
		defer unwatch()
	}
	x.service.provider.Acquire()
	b.goroutines.Add()
	go b.handle(ctx, c)
	body, err := c.wait(ctx, to)
	if err == nil {
		err = b.checkResult(ctx, x.route, body, op)
	}
	if err == nil {
		err = to.writeResult(body)
	}
	if err == nil {
		return nil
	}
	err = callError(ctx, err)
	to.fail(err)
	return err
}

// A handlerCall is one call of a handler, on a goroutine of its own.
type handlerCall struct {
	exchange *exchange
	op       *operation
	req      any
	send     func(any) error         // nil if the handler answers once
	end      context.CancelCauseFunc // ends the handler's context; nil if send is nil
	release  func()                  // frees the call's slot
	done     chan outcome            // buffered: a late handler has no receiver
}

// An outcome is the result of a handler as JSON, or its error.
type outcome struct {
	body []byte
	err  error
}

// handle runs the handler and frees the call's slot. A panic of the handler, its types, the limiter
// or telemetry becomes the call's error: on this goroutine it would end the process.
func (b *Bridge) handle(ctx context.Context, c *handlerCall) {
	defer b.goroutines.Done()
	o := outcome{err: errGoexit}
	defer func() { c.done <- o }()
	defer b.releaseService(c.exchange.service) // before the answer: it may be the last call of a replaced provider
	o.err = panics.Recover(func() error {
		defer c.release() // before the caller has the answer, and may call again
		result, err := b.callProvider(ctx, c)
		if err == nil {
			o.body, err = encodeResult(result)
		}
		return err
	})
}

// callProvider calls the handler within its span.
func (b *Bridge) callProvider(ctx context.Context, c *handlerCall) (result any, err error) {
	ctx, ended := b.telemetry.Call(ctx, &c.exchange.telemetry, c.exchange.route)
	err = errGoexit
	defer func() { ended(codeOf(err)) }()
	return c.op.handle(ctx, c.req, c.send)
}

// wait returns the outcome of the handler, and sends heartbeats meanwhile.
func (c *handlerCall) wait(ctx context.Context, to responder) ([]byte, error) {
	for ctx.Err() == nil {
		select {
		case o := <-c.done:
			return o.body, o.err
		case <-to.Heartbeats():
			if err := to.Heartbeat(); err != nil {
				c.end(err)
			}
		case <-ctx.Done():
		}
	}
	late := time.NewTimer(lateGrace)
	defer late.Stop()
	select {
	case o := <-c.done:
		return o.body, o.err
	case <-late.C:
		return nil, fmt.Errorf("%w: %w", errIgnoredContext, ctx.Err())
	}
}

// callError returns the public error of a failed call: of the caller that left, the bridge that
// stops, the deadline, or the handler.
func callError(ctx context.Context, err error) *Error {
	if panics.Is(err) {
		return publicError(err) // a defect, even if ctx has ended
	}
	cause := context.Cause(ctx)
	if late, ok := errors.AsType[*bounds.Deadline](cause); ok {
		const detail = "The call took longer than this operation allows, or than the caller said to wait."
		return &Error{Code: CodeTimeout, Detail: detail, Clause: late.Clause, Cause: err}
	}
	switch {
	case errors.Is(cause, errStopping):
		const detail = "This bridge is shutting down; the call was cut off. Try again."
		return &Error{Code: CodeUnavailable, Detail: detail, Cause: err}
	case errors.Is(cause, errStalled):
		const detail = "The wrapped service sent nothing for longer than this operation allows."
		return &Error{Code: CodeTimeout, Detail: detail, Cause: fmt.Errorf("%w: %w", cause, err)}
	case cause != nil, errors.Is(err, errClientGone):
		return &Error{Code: codeClientGone, Cause: err}
	}
	return publicError(err)
}
