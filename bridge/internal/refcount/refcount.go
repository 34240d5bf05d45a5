// Package refcount closes a value after its last use.
package refcount

import (
	"sync"
	"sync/atomic"
)

// A Ref counts the users of a value. It is safe for concurrent use.
type Ref struct {
	users atomic.Int64

	// Close calls the close function, once, and returns its error each time.
	Close func() error
}

// New returns a Ref with one user.
func New(close func() error) *Ref {
	r := &Ref{Close: sync.OnceValue(close)}
	r.users.Store(1)
	return r
}

// Acquire counts one more user. It reports false if there are no users any more.
func (r *Ref) Acquire() bool {
	for {
		n := r.users.Load()
		if n == 0 {
			return false
		}
		if r.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release counts one user less. The last one closes the value and gets the error of Close.
func (r *Ref) Release() error {
	if r.users.Add(-1) > 0 {
		return nil
	}
	return r.Close()
}
