package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// Why the context of a call ended, beside a [deadline]. That a caller left shows as a plain context.Canceled.
var (
	errClientGone = errors.New("the caller is gone")
	errStopping   = errors.New("the bridge is stopping")
	errSilent     = silence{}
)

// silence is a kind of timeout, also to [upstream], which learns from it that a host has stalled.
type silence struct{}

func (silence) Error() string        { return "the handler sent nothing" }
func (silence) Is(target error) bool { return target == context.DeadlineExceeded }

// call answers a request for an endpoint of the contract. An error that it returns has not been
// sent to the caller.
//
// A step comes before those that cost more, and a check before each effect. A call that a step
// refuses has none of the effects of later steps:
//
//  1. Who asks, and from where: a hash of the token, or Options.Authenticate.
//  2. Headers: Accept, Content-Type, Content-Encoding, Content-Length, Idempotency-Key.
//  3. The body is received, within Options.MaxTotalBodyBytes, and decompressed.
//  4. The body is checked against the schema and decoded, and its tokens are counted. A call that is refused so far counts
//     for no limit.
//  5. Its key is reserved, in memory, or the outcome of the earlier call with the key is sent.
//  6. The limiter admits the call, which now counts.
//  7. A call with a key, or a job, is stored, and then evicts the oldest outcomes over the bound.
//  8. The handler runs.
func (b *Bridge) call(x *exchange, bound *binding) error {
	var err error
	if x.principal, err = x.service.guard.checkCaller(x.r); err != nil {
		return err
	}
	if err := x.service.guard.checkFetch(x.r); err != nil {
		return err
	}
	if b.draining.Load() {
		return shuttingDown()
	}
	stream, err := negotiate(x.r, bound)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(x.r)
	if err != nil {
		return err
	}
	defer x.body.release()
	body, req, err := b.receive(x, bound)
	if err != nil {
		return b.refuse(x, err)
	}
	bound = hurried(x.r, bound)
	var to answer = plainAnswer{x}
	if stream {
		to = newEventStream(x, bound.maxResponse)
	}
	kept, replayed, err := b.keep(x, bound, key, body, to)
	if err != nil || replayed {
		return err
	}
	return b.run(x, bound, req, to, kept)
}

// receive returns the body of a request that the contract allows, and what it is decoded into.
func (b *Bridge) receive(x *exchange, bound *binding) (body []byte, req any, err error) {
	if body, err = b.readRequest(x, bound); err != nil {
		return nil, nil, err
	}
	req, err = b.checkRequest(x, body, bound)
	return body, req, err
}

// run has the limiter admit a call, whose handler then runs. If the call does not get that far, its
// slot and its key are free again, whatever panics.
func (b *Bridge) run(x *exchange, bound *binding, req any, to answer, kept *entry) (err error) {
	var release func()
	begun := false // invoke frees the slot, and the key
	defer func() {
		if begun {
			return
		}
		if release != nil {
			release()
		}
		_ = b.ledger.forget(kept) // its error is in the log
	}()
	release, err = guarded(func() (func(), error) { return b.admit(x) }) // the limiter may be the operator's
	if err != nil {
		return err
	}
	x.body.release()
	if kept == nil {
		begun = true
		run := b.runApart
		if x.severable() {
			run = b.runHere
		}
		return b.invoke(x, bound, req, release, to, run)
	}
	if err := b.ledger.begin(kept); err != nil {
		return err
	}
	if !kept.Job {
		begun = true
		return b.invokeOnce(x, bound, req, release, to, kept)
	}
	if err := b.start(x, bound, req, release, kept); err != nil {
		return err
	}
	begun = true
	return b.accept(x, kept)
}

// refuse counts a call that a clause of the contract does not let come as far as the limits.
func (b *Bridge) refuse(x *exchange, err error) error {
	if e := classify(err); e.Clause != "" {
		b.telemetry.admitted(x.r.Context(), x.route, e)
	}
	return err
}

// checkRequest returns the decoded request if the contract allows it.
func (b *Bridge) checkRequest(x *exchange, body []byte, bound *binding) (any, error) {
	ctx := x.r.Context()
	if err := b.schemas.request(ctx, x.route, bound.endpoint.InputSchema, body); err != nil {
		if ctx.Err() != nil {
			return nil, blame(ctx, err)
		}
		return nil, invalidRequest(err)
	}
	req, err := bound.decode(body)
	if err != nil {
		return nil, invalidRequest(err)
	}
	if limit := x.service.contract.Constraints.MaxContextTokens; limit > 0 {
		if n := x.service.provider.Provider.(TokenCounter).CountTokens(req); n > limit {
			return nil, &Error{
				Code:   CodeContextLength,
				Detail: fmt.Sprintf("The request has about %d tokens, the contract allows %d. Send less context.", n, limit),
				Clause: "constraints.context_length.max_tokens",
			}
		}
	}
	return req, nil
}

// invalidRequest tells malformed (400) from not allowed by the schema (422). Both name the place, to the caller alone: logs
// hold no bodies.
func invalidRequest(err error) error {
	if violations, ok := errors.AsType[contract.Violations](err); ok {
		return &Error{Code: CodeSchemaViolation, Detail: "The request does not fit the endpoint's input_schema; errors says where.", Fields: violations, Clause: "api.endpoints.input_schema"}
	}
	if cost, ok := errors.AsType[*contract.CostError](err); ok {
		return &Error{Code: CodeTooLarge, Detail: "The body is too much to check against the endpoint's input_schema: " + cost.Detail + ".", Clause: "api.endpoints.input_schema"}
	}
	if syntax, ok := errors.AsType[*contract.SyntaxError](err); ok {
		return &Error{Code: CodeInvalidRequest, Detail: "The body was not understood: " + syntax.Detail + ".", Fields: []contract.Violation{{Pointer: syntax.Pointer, Detail: syntax.Detail}}}
	}
	e := &Error{Code: CodeInvalidRequest, Detail: "The body cannot be decoded into what this operation takes.", Cause: undecodable(err)}
	if mismatch, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		e.Detail += " See errors for where."
		e.Fields = []contract.Violation{{Pointer: string(mismatch.JSONPointer), Detail: "this " + mismatch.JSONKind.String() + " is not one that the operation can take"}}
	}
	return e
}

func shuttingDown() *Error {
	return &Error{Code: CodeUnavailable, Detail: "This bridge is shutting down. Try again: another instance may answer.", RetryAfter: time.Second, Cause: errStopping}
}

// An answer is how a result reaches the caller: as one JSON document, or as the end of a stream.
type answer interface {
	listens() bool                             // whether events reach anybody
	attach(end context.CancelCauseFunc)        // which is called if nobody reads the answer
	send(ctx context.Context, event any) error // ctx is the call's
	finish(result []byte) error
	fail(err error) // says so in the stream if it has begun, otherwise leaves it to the caller of invoke
	close()         // no write happens after it returns
}

// blame finds out who ended a failed call: the caller who left, the bridge that is stopping, the deadline, or the handler.
func blame(ctx context.Context, err error) *Error {
	if _, ok := errors.AsType[*panicError](err); ok {
		return classify(err) // whatever else happened: it is a fault to be mended
	}
	cause := context.Cause(ctx)
	if late, ok := errors.AsType[*deadline](cause); ok {
		return &Error{Code: CodeTimeout, Detail: "The call took longer than this operation allows, or than the caller said to wait.", Clause: late.clause, Cause: err}
	}
	switch {
	case errors.Is(cause, errStopping):
		return &Error{Code: CodeUnavailable, Detail: "This bridge is shutting down; the call was cut off. Try again.", Cause: err}
	case errors.Is(cause, errSilent):
		return &Error{Code: CodeTimeout, Detail: "The wrapped service sent nothing for longer than this operation allows.", Cause: fmt.Errorf("%w: %w", cause, err)}
	case cause != nil, errors.Is(err, errClientGone):
		return &Error{Code: codeClientGone, Cause: err}
	}
	return classify(err)
}

// checkResult encodes a result and holds it against the contract: what the contract does not promise is not sent.
func (b *Bridge) checkResult(ctx context.Context, route string, result any, bound *binding) ([]byte, error) {
	invalid := func(err error) error {
		return &Error{Code: CodeInvalidResponse, Detail: "The answer is not what the contract promises, so it was not sent.", Clause: "api.endpoints.output_schema", Cause: err}
	}
	body, err := guarded(func() ([]byte, error) { return encode(result) })
	if _, ok := errors.AsType[*panicError](err); ok {
		return nil, err
	} else if err != nil {
		return nil, invalid(err)
	}
	if int64(len(body)) > bound.maxResponse {
		return nil, &Error{
			Code: CodeInvalidResponse, Detail: "The answer is larger than this operation allows, so it was not sent.", Clause: bound.responseClause,
			Cause: fmt.Errorf("%d bytes, at most %d are allowed (Options.MaxResponseBytes, or max_response_bytes of the contract)", len(body), bound.maxResponse),
		}
	}
	if err := b.schemas.result(ctx, route, bound.endpoint.OutputSchema, body); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, invalid(withoutValues(err))
	}
	return body, nil
}

// withoutValues says where an answer does not fit and what would, but not what is there instead.
func withoutValues(err error) error {
	violations, ok := errors.AsType[contract.Violations](err)
	if !ok {
		return err
	}
	for i := range violations {
		violations[i].Detail, _, _ = strings.Cut(violations[i].Detail, ", found ")
	}
	return violations
}

// plainAnswer answers with one JSON document. Events are dropped.
type plainAnswer struct{ x *exchange }

func (a plainAnswer) listens() bool                         { return false }
func (a plainAnswer) attach(context.CancelCauseFunc)        {}
func (a plainAnswer) send(ctx context.Context, _ any) error { return ctx.Err() }
func (a plainAnswer) fail(error)                            {}
func (a plainAnswer) close()                                {}

func (a plainAnswer) finish(result []byte) error {
	if !hasBody(a.x.r.Method) { // what answers others is not cached unless it says so
		a.x.w.Header().Set("Cache-Control", "no-store")
	}
	return a.x.writeJSON(http.StatusOK, "application/json", result)
}

func (x *exchange) writeJSON(status int, mediaType string, body []byte) error {
	x.extendWrite()
	x.w.Header().Set("Content-Type", mediaType)
	x.w.WriteHeader(status)
	if _, err := x.w.Write(body); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}
