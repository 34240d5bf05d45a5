// Package panics turns panics of code outside of the bridge into errors.
package panics

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// An Error is a panic. Its text has the value, not the stack.
type Error struct {
	Value any
	Stack string
}

// NewError returns an error for a recovered value, with the stack of the panic.
func NewError(value any) *Error { return &Error{value, string(debug.Stack())} }

// Error states the value.
func (e *Error) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Is reports if err is a panic.
func Is(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// Recover calls f and turns a panic into an error. It also covers the Error method of the error.
func Recover(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = NewError(p)
		}
	}()
	if err = f(); err != nil {
		_ = err.Error()
	}
	return err
}
