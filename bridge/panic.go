package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// A panicError is a panic of code that is not the bridge's: a handler, a type of its results, a function of the operator's.
type panicError struct {
	value any
	stack string
}

func newPanicError(value any) *panicError { return &panicError{value, string(debug.Stack())} }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// guarded calls f and turns a panic into an error, of its error's methods, too: on other goroutines than a request's own, a
// panic would end the process.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(p)
		}
	}()
	v, err = f()
	return v, settled(err)
}

// settled returns err, or an error for the panic of one that cannot be read.
func settled(err error) (readable error) {
	if err == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			readable = newPanicError(p)
		}
	}()
	_ = err.Error()
	_ = classify(err).Error()
	return err
}

// recovered is deferred. It answers for a panic on the request's own goroutine; of a response that has begun it makes sure
// that nobody takes it for a whole one.
func (x *exchange) recovered() {
	p := recover()
	switch {
	case p == nil:
		return
	case p == http.ErrAbortHandler:
		panic(p)
	}
	begun := x.w.status != 0
	x.fail(newPanicError(p))
	if begun {
		panic(http.ErrAbortHandler)
	}
}

// A steadyHandler loses the records at which the handler panics: net/http tells of panics in the log, and where it does, another
// one would end the process.
type steadyHandler struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (h steadyHandler) Enabled(ctx context.Context, level slog.Level) bool {
	enabled, _ := guarded(func() (bool, error) { return h.Handler.Enabled(ctx, level), nil })
	return enabled
}

// Handle implements [slog.Handler].
func (h steadyHandler) Handle(ctx context.Context, r slog.Record) error {
	_, err := guarded(func() (any, error) { return nil, h.Handler.Handle(ctx, r) })
	return err
}

// WithAttrs implements [slog.Handler].
func (h steadyHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return steadyHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h steadyHandler) WithGroup(name string) slog.Handler {
	return steadyHandler{h.Handler.WithGroup(name)}
}
