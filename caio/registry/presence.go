package registry

import (
	"sync"
	"sync/atomic"
	"time"
)

// Health checks must disagree with a service's status this often in a row to change it.
const (
	failuresToLeave   = 3
	successesToReturn = 2
)

// A presence is what changes about a registered service.
type presence struct {
	expires   atomic.Int64 // nanoseconds since 1970; 0 for never
	ttl       atomic.Int64 // of the lease; 0 for none
	unhealthy atomic.Bool
	version   atomic.Int64 // of the service's record in a SharedStore

	mu     sync.Mutex
	streak int // health checks in a row that disagree with the status
}

// checked takes note of a health check and reports whether it changed the status.
func (p *presence) checked(healthy bool) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if healthy != p.unhealthy.Load() {
		p.streak = 0
		return false
	}
	p.streak++
	enough := failuresToLeave
	if healthy {
		enough = successesToReturn
	}
	if p.streak < enough {
		return false
	}
	p.streak = 0
	p.unhealthy.Store(!healthy)
	return true
}

// lease starts, renews or, with ttl 0, ends a lease.
func (p *presence) lease(ttl time.Duration) {
	p.ttl.Store(int64(ttl))
	if ttl == 0 {
		p.expires.Store(0)
		return
	}
	p.expires.Store(time.Now().Add(ttl).UnixNano())
}

// leaseUntil starts, renews or, with a zero time, ends a lease that another registry dated. However that one's clock goes, it
// lasts for no longer than its ttl from now.
func (p *presence) leaseUntil(until time.Time, ttl time.Duration) {
	p.ttl.Store(int64(ttl))
	if until.IsZero() {
		p.expires.Store(0)
		return
	}
	p.expires.Store(min(until.UnixNano(), time.Now().Add(ttl).UnixNano()))
}

// extension returns the lease of the registration after a caller without the right to unregister
// registers again with ttl: see [extendedLease].
func (p *presence) extension(ttl time.Duration) (lease time.Duration, later bool) {
	held, left := time.Duration(p.ttl.Load()), time.Duration(0)
	if held > 0 {
		left = time.Until(time.Unix(0, p.expires.Load()))
	}
	return extendedLease(held, left, ttl)
}

// extendedLease returns the lease of a registration that may become longer only. Its lease was
// held, of which left remains, and the caller asks for ttl. Of all leases 0 means that it never
// ends. If the registration ends later than before, later is true, and the longer of held and ttl
// begins anew: shared stores compare data, not times, so a shorter one could undo a renewal by
// another registry. Else lease is the remaining time in whole seconds.
func extendedLease(held, left, ttl time.Duration) (lease time.Duration, later bool) {
	switch {
	case held == 0:
		return 0, false
	case ttl == 0:
		return 0, true
	case left >= ttl:
		return left.Truncate(time.Second), false
	}
	return max(held, ttl), true
}

func (p *presence) expired(now time.Time) bool {
	expires := p.expires.Load()
	return expires != 0 && now.UnixNano() >= expires
}
