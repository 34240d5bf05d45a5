package bridge

import (
	"fmt"
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

// recovering calls f and turns a panic into an error. Goroutines of the bridge use it: there, a panic
// would end the process. It also covers the Error method of the error.
func recovering(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(p)
		}
	}()
	if err = f(); err != nil {
		_ = err.Error()
	}
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
