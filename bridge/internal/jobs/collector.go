package jobs

import (
	"context"
	"errors"
	"sync"
)

// A Collector takes the events and the result of a running job. It is safe for concurrent use.
type Collector struct {
	Store  *Store
	Record *Record

	// Encode returns the event to record.
	Encode func(event any) (Event, error)

	mu     sync.Mutex
	result []byte
	closed bool
}

// Send records an event. It fails after Close and after the end of ctx.
func (c *Collector) Send(ctx context.Context, event any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	encoded, err := c.Encode(event)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("the job has ended")
	}
	c.Store.AddEvent(c.Record, encoded)
	return nil
}

// SetResult keeps the result for Result.
func (c *Collector) SetResult(result []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result = result
}

// Result returns the result.
func (c *Collector) Result() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result
}

// Close makes later events fail.
func (c *Collector) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}
