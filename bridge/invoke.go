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

type outcome struct {
	result any
	err    error
}

// invoke runs the handler under the call's deadline and answers with its result. The caller is answered in time even if
// the handler ignores its context; such a call keeps its slot until the handler returns, because until then it is in
// progress. If here is true, the handler runs on the request's goroutine, and an error is errRelieved if the caller was
// answered without it.
func (b *Bridge) invoke(x *exchange, bound *binding, req any, release func(), to answer, here bool) error {
	ctx, stop := context.WithTimeoutCause(x.r.Context(), bound.total, errDeadline)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	send, stopWatch := bound.watch(to, cancel)
	defer stopWatch()
	to.attach(cancel)
	defer to.close()

	handle := func() (o outcome) {
		defer release() // before the caller is answered, who may call again at once
		ctx, ended := b.telemetry.call(ctx, x.route)
		o.result, o.err = guarded(func() (any, error) { return bound.handle(ctx, req, send) })
		ended(o.err)
		return o
	}
	run := b.runApart
	if here {
		run = b.runHere
	}
	o, err := run(ctx, x, to, handle)
	if err == nil {
		err = o.err
	}
	if err == nil {
		var result []byte
		if result, err = b.checkResult(o.result, bound); err == nil {
			err = to.finish(result)
		}
	}
	if err == nil || err == errRelieved {
		return err
	}
	err = blame(ctx, err)
	to.fail(err)
	return err
}

// runApart runs handle on a goroutine of its own and waits for it, but not much longer than ctx.
func (b *Bridge) runApart(ctx context.Context, x *exchange, _ answer, handle func() outcome) (outcome, error) {
	done := make(chan outcome, 1)
	x.service.provider.acquire()
	b.calls.Go(func() {
		defer b.release(x.service)
		o := outcome{err: errGoroutine}
		defer func() { done <- o }()
		o = handle()
	})
	select {
	case o := <-done:
		return o, nil
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case o := <-done:
		return o, nil
	case <-late.C:
		return outcome{}, fmt.Errorf("%w: %w", errNoReturn, ctx.Err())
	}
}

// runHere runs handle on the request's goroutine: another one would be an eighth of a call's CPU, and a stack. If the handler
// does not return in time, the caller is answered from a timer's goroutine.
func (b *Bridge) runHere(ctx context.Context, x *exchange, to answer, handle func() outcome) (o outcome, err error) {
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
	o = handle()
	returned = true
	if !turn.take() {
		return outcome{}, errRelieved
	}
	return o, nil
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

// relieve ends the exchange with err, unless the handler has returned, which waits for the end of relieve. net/http
// does not end a response before the request's goroutine returns, so the connection is taken from it.
func (t *turn) relieve(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken {
		return
	}
	t.taken = true
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

// severable reports whether sever can end the response.
func (x *exchange) severable() bool {
	_, ok := x.w.ResponseWriter.(http.Hijacker)
	return ok && x.r.ProtoMajor == 1 // not HTTP/2, where a connection is not one caller's
}

// sever sends what has been written of the response, ends it, and gives up the connection.
func (x *exchange) sever() {
	control := http.NewResponseController(x.w)
	_ = control.Flush()
	conn, _, err := control.Hijack()
	if err != nil {
		return // the response ends when the handler returns
	}
	defer conn.Close()
	if x.r.ProtoAtLeast(1, 1) && x.r.Method != http.MethodHead && x.w.Header().Get("Content-Length") == "" {
		_ = conn.SetWriteDeadline(time.Now().Add(lingerTimeout))
		_, _ = io.WriteString(conn, "0\r\n\r\n") // the last chunk (RFC 9112 section 7.1)
	}
}
