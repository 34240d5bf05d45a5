// Package probe runs a health check for many callers at once.
package probe

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
)

const (
	interval = time.Second     // between two checks
	timeout  = 2 * time.Second // of one check

	// grace is the time that a check gets to return after its context has ended.
	grace = 100 * time.Millisecond
)

// ErrTimeout is the error of a check that does not return in time.
var ErrTimeout = errors.New("CheckHealth has not returned in time")

// A Probe runs a check at most once a second, and one at a time. It is safe for concurrent use.
type Probe struct {
	Check func(ctx context.Context) error
	Go    func(f func()) // starts f on a goroutine with an owner

	mu        sync.Mutex
	checkedAt time.Time     // start of the last check
	inFlight  chan struct{} // closed at the end of the last check
	err       error         // result of the last check
}

// Run returns the result of a check of the last second, or ErrTimeout. A panic is an error.
func (p *Probe) Run(ctx context.Context) error {
	finished, left := p.start(ctx)
	late := time.NewTimer(left)
	defer late.Stop()
	select {
	case <-finished:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	case <-late.C:
		return ErrTimeout
	}
}

// start starts a check unless one is running or is younger than a second. It returns a channel
// closed on completion and the time left to wait.
func (p *Probe) start(ctx context.Context) (finished <-chan struct{}, left time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inFlight != nil && (time.Since(p.checkedAt) < interval || !isClosed(p.inFlight)) {
		return p.inFlight, timeout + grace - time.Since(p.checkedAt)
	}
	p.checkedAt, p.inFlight = time.Now(), make(chan struct{})
	p.Go(func() {
		// Other callers wait for the same check, so it does not end with this one.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		err := panics.Recover(func() error { return p.Check(ctx) })
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err = err
		close(p.inFlight)
	})
	return p.inFlight, timeout + grace
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
