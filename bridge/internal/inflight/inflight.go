// Package inflight counts work in progress.
package inflight

import (
	"context"
	"sync"
)

// A Counter counts work in progress. Its zero value is ready to use. It is safe for concurrent use.
type Counter struct {
	mu   sync.Mutex
	n    int64
	zero chan struct{} // closed when n becomes 0; nil without a waiter
}

// Add counts one more.
func (c *Counter) Add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

// Done counts one less.
func (c *Counter) Done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.zero != nil {
		close(c.zero)
		c.zero = nil
	}
}

// Go counts a goroutine that runs f.
func (c *Counter) Go(f func()) {
	c.Add()
	go func() {
		defer c.Done()
		f()
	}()
}

// Count returns the work in progress.
func (c *Counter) Count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Wait waits until the count is zero. It reports false if ctx ends first.
func (c *Counter) Wait(ctx context.Context) bool {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return true
	}
	if c.zero == nil {
		c.zero = make(chan struct{})
	}
	zero := c.zero
	c.mu.Unlock()
	select {
	case <-zero:
		return true
	case <-ctx.Done():
		return false
	}
}
