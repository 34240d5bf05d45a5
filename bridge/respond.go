package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A responder takes the events and the result of a call: [jsonResponder], [sseResponder],
// [jobResponder], [recordingResponder]. The handler's goroutine calls send, the request's goroutine
// the other methods.
type responder interface {
	wantsEvents() bool
	send(ctx context.Context, event any) error // ctx is the call's
	Heartbeats() <-chan time.Time              // fires when Heartbeat is due; nil for never
	Heartbeat() error
	writeResult(result []byte) error
	fail(err error) // ends a response that has begun; otherwise the caller of invoke sends err
	Close()         // ends all writes
}

// A jsonResponder answers with one JSON document. It drops events.
type jsonResponder struct{ x *exchange }

func (j jsonResponder) wantsEvents() bool                     { return false }
func (j jsonResponder) send(ctx context.Context, _ any) error { return ctx.Err() }
func (j jsonResponder) Heartbeats() <-chan time.Time          { return nil }
func (j jsonResponder) Heartbeat() error                      { return nil }
func (j jsonResponder) fail(error)                            {}
func (j jsonResponder) Close()                                {}

func (j jsonResponder) writeResult(result []byte) error {
	if !hasBody(j.x.r.Method) { // caches store no response to the other methods
		j.x.w.Header().Set("Cache-Control", "no-store")
	}
	return j.x.writeJSON(http.StatusOK, "application/json", result)
}

func (x *exchange) writeJSON(status int, mediaType string, body []byte) error {
	x.armWriteDeadline()
	x.w.Header().Set("Content-Type", mediaType)
	x.w.WriteHeader(status)
	if _, err := x.w.Write(body); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}

// encodeResult returns a result as JSON.
func encodeResult(result any) ([]byte, error) {
	body, err := codec.Encode(result)
	if err != nil {
		return nil, invalidResult(err)
	}
	return body, nil
}

func invalidResult(cause error) error {
	return &Error{
		Code:   CodeInvalidResponse,
		Detail: "The answer is not what the contract promises, so it was not sent.",
		Clause: "api.endpoints.output_schema",
		Cause:  cause,
	}
}

// checkResult refuses a result that the contract does not allow.
func (b *Bridge) checkResult(ctx context.Context, route string, body []byte, op *operation) error {
	if int64(len(body)) > op.MaxResponse {
		return &Error{
			Code:   CodeInvalidResponse,
			Detail: "The answer is larger than this operation allows, so it was not sent.",
			Clause: op.ResponseClause,
			Cause:  fmt.Errorf("%d bytes, at most %d are allowed (%s)", len(body), op.MaxResponse, responseBound),
		}
	}
	if err := b.schemas.Result(ctx, route, op.endpoint.OutputSchema, body); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return invalidResult(withoutValues(err))
	}
	return nil
}

// responseBound names the settings of the largest response.
const responseBound = "Options.MaxResponseBytes, or max_response_bytes of the contract"

// withoutValues removes the values of an answer from the violations, for the log.
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

// shouldStream reports if the handler gets send. A handler that can also answer once gets it only
// for a responder that wants events.
func (op *operation) shouldStream(to responder) bool {
	return op.streams && (!op.once || to.wantsEvents())
}

// watchIdle returns the send function of a handler. It ends the call with errStalled when no event
// comes for too long. The clock stands while an event is on its way to the caller, who has
// Timeouts.Write.
func (op *operation) watchIdle(
	ctx context.Context, to responder, end context.CancelCauseFunc,
) (send func(any) error, stop func() bool) {
	allowed := cmp.Or(op.FirstEvent, math.MaxInt64)
	clock := time.AfterFunc(allowed, func() { end(fmt.Errorf("%w for %v", errStalled, allowed)) })
	return func(event any) error {
		if !clock.Stop() {
			return errors.New("the call has ended")
		}
		err := to.send(ctx, event)
		if errors.Is(err, errClientGone) {
			end(err) // the wrapped service need not go on
		}
		allowed = op.Idle
		clock.Reset(allowed)
		return err
	}, clock.Stop
}
