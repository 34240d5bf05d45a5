package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// grace is how long a handler whose context has ended gets to return what it knows before its caller is answered.
const grace = 100 * time.Millisecond

var (
	errRelieved  = errors.New("the caller has been answered already")
	errNoReturn  = errors.New("the handler did not return when its context ended")
	errGoroutine = errors.New("the handler ended its goroutine")
)

// A runner runs handle for an exchange, and waits for it, but not much longer than ctx. Its error is errRelieved if the caller
// was answered meanwhile.
type runner func(ctx context.Context, x *exchange, to answer, handle func() (any, error)) (result any, err error)

// invoke has run call the handler under the call's deadline, and answers with its result. The caller is answered in time
// even if the handler ignores its context; such a call keeps its slot until the handler returns, because until then it is in
// progress.
func (b *Bridge) invoke(x *exchange, bound *binding, req any, release func(), to answer, run runner) error {
	ctx, stop := context.WithTimeoutCause(x.r.Context(), bound.total, bound.deadline)
	defer stop()
	var send func(any) error
	if bound.sends(to) {
		var end context.CancelCauseFunc
		ctx, end = context.WithCancelCause(ctx)
		defer end(nil)
		to.attach(end)
		var unwatch func() bool
		send, unwatch = bound.watch(ctx, to, end)
		defer unwatch()
	}
	defer to.close()

	result, err := run(ctx, x, to, func() (any, error) {
		return guarded(func() (result any, err error) { // telemetry may be the operator's
			defer release() // before the caller is answered, who may call again at once
			ctx, ended := b.telemetry.call(ctx, x)
			err = errGoroutine
			defer func() { ended(err) }()
			result, err = guarded(func() (any, error) { return bound.handle(ctx, req, send) })
			return result, err
		})
	})
	if err == errRelieved {
		return nil
	}
	if err == nil {
		var body []byte
		if body, err = b.checkResult(ctx, x.route, result, bound); err == nil {
			err = to.finish(body)
		}
	}
	if err == nil {
		return nil
	}
	err = blame(ctx, err)
	to.fail(err)
	return err
}

// runApart is the [runner] that gives handle a goroutine of its own.
func (b *Bridge) runApart(ctx context.Context, x *exchange, _ answer, handle func() (any, error)) (any, error) {
	type outcome struct {
		result any
		err    error
	}
	done := make(chan outcome, 1)
	x.service.provider.acquire()
	b.calls.Go(func() {
		o := outcome{err: errGoroutine}
		defer func() { done <- o }()
		defer b.release(x.service)
		o.result, o.err = handle()
	})
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-late.C:
		return nil, fmt.Errorf("%w: %w", errNoReturn, ctx.Err())
	}
}

// runHere is the [runner] for the request's goroutine: another one would be an eighth of a call's CPU, and a stack. If handle
// does not return in time, the caller is answered from a timer's goroutine, which x must allow (see severable).
func (b *Bridge) runHere(ctx context.Context, x *exchange, to answer, handle func() (any, error)) (result any, err error) {
	x.service.provider.acquire()
	defer b.release(x.service)
	b.calls.Add(1)
	defer b.calls.Done()
	turn := &turn{x: x, to: to}
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { turn.relieve(blame(ctx, fmt.Errorf("%w: %w", errNoReturn, ctx.Err()))) })
	})
	defer stop()
	returned := false
	defer func() {
		if !returned {
			turn.relieve(blame(ctx, errGoroutine))
		}
	}()
	result, err = handle()
	returned = true
	if !turn.take() {
		return nil, errRelieved
	}
	return result, err
}

// A turn is the right to answer a caller: it belongs to whoever is first, the goroutine of the request when the handler has
// returned, or another one when the handler is late.
type turn struct {
	x  *exchange
	to answer

	mu    sync.Mutex
	taken bool
}

// take reports whether nobody has answered.
func (t *turn) take() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := !t.taken
	t.taken = true
	return first
}

// relieve ends the exchange with err, unless the handler has returned; if it does so meanwhile, it waits for the end of
// relieve. net/http does not end a response before the request's goroutine returns, so the connection is taken from it.
func (t *turn) relieve(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken {
		return
	}
	t.taken = true
	defer func() { _ = recover() }() // if it is the logger that panics: here, that would end the process
	if _, err := guarded(func() (any, error) { t.answer(err); return nil, nil }); err != nil {
		t.x.bridge.log.LogAttrs(context.Background(), slog.LevelError, "a caller whose handler is late could not be answered", classify(err).attrs()...)
	}
}

func (t *turn) answer(err error) {
	defer t.x.end()
	t.to.fail(err)
	t.to.close()
	if t.x.w.status == 0 {
		t.x.w.Header().Set("Connection", "close")
	}
	t.x.fail(err)
	t.x.sever()
}

// severable reports whether sever can end the response: over HTTP/1, where a connection is one caller's, and if there is nothing
// but net/http before the bridge. Middleware would not learn of the end, and may hold back what it is given until the bridge
// returns.
func (x *exchange) severable() bool {
	srv, ok := x.r.Context().Value(http.ServerContextKey).(*http.Server)
	return ok && srv.Handler == x.bridge && x.r.ProtoMajor == 1
}

// sever sends what has been written of the response, ends it, and gives up the connection.
func (x *exchange) sever() {
	control := http.NewResponseController(x.w)
	whole := control.Flush() == nil
	conn, _, err := control.Hijack()
	if err != nil {
		return // the response ends when the handler returns
	}
	defer conn.Close()
	if whole && x.r.ProtoAtLeast(1, 1) && x.r.Method != http.MethodHead { // else the end would be taken for the rest of an event
		_ = conn.SetWriteDeadline(time.Now().Add(lingerTimeout))
		_, _ = io.WriteString(conn, "0\r\n\r\n") // the last chunk (RFC 9112 section 7.1)
	}
}
