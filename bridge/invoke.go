package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// lateGrace is the time that a handler gets to return after its context has ended.
const lateGrace = 100 * time.Millisecond

var (
	errIgnoredContext = errors.New("the handler did not return when its context ended")
	errGoexit         = errors.New("the handler ended its goroutine")
)

// invoke calls the handler under the call's deadline and writes its result. It answers the caller in
// time even if the handler ignores its context. Such a call keeps its slot until the handler returns,
// because until then it is in progress.
func (b *Bridge) invoke(x *exchange, bound *binding, req any, release func(), to answer) error {
	ctx, stop := context.WithTimeoutCause(x.r.Context(), bound.total, bound.deadline)
	defer stop()
	defer to.close()
	c := &handlerCall{exchange: x, op: bound, req: req, release: release, done: make(chan outcome, 1)}
	if bound.sends(to) {
		ctx, c.end = context.WithCancelCause(ctx)
		defer c.end(nil)
		var unwatch func() bool
		c.send, unwatch = bound.watch(ctx, to, c.end)
		defer unwatch()
	}
	x.service.provider.acquire()
	b.calls.Go(func() { b.handle(ctx, c) })
	body, err := c.wait(ctx, to)
	if err == nil {
		err = b.checkResult(ctx, x.route, body, bound)
	}
	if err == nil {
		err = to.finish(body)
	}
	if err == nil {
		return nil
	}
	err = blame(ctx, err)
	to.fail(err)
	return err
}

// A handlerCall is one call of a handler, on a goroutine of its own.
type handlerCall struct {
	exchange *exchange
	op       *binding
	req      any
	send     func(any) error         // nil if the handler answers once
	end      context.CancelCauseFunc // ends ctx; nil with send
	release  func()                  // frees the call's slot
	done     chan outcome            // buffered: a late handler has no receiver
}

// An outcome is the result of a handler as JSON, or its error.
type outcome struct {
	body []byte
	err  error
}

// handle runs the handler and frees the call's slot. A panic of the handler, its types, the limiter or
// telemetry becomes the call's error: on this goroutine it would end the process.
func (b *Bridge) handle(ctx context.Context, c *handlerCall) {
	defer b.release(c.exchange.service)
	o := outcome{err: errGoexit}
	defer func() { c.done <- o }()
	o.err = recovering(func() error {
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

// wait returns the outcome of the handler, and keeps the response alive meanwhile.
func (c *handlerCall) wait(ctx context.Context, to answer) ([]byte, error) {
	for {
		select {
		case o := <-c.done:
			return o.body, o.err
		case <-to.heartbeats():
			if err := to.heartbeat(); err != nil {
				c.end(err)
			}
			continue
		case <-ctx.Done():
		}
		break
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
