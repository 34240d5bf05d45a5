package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const (
	maxTTLSeconds = 24 * 60 * 60
	maxTTL        = maxTTLSeconds * time.Second
)

// Register registers the service of ct. It succeeds if the registry already has an equal contract, and
// then opts replaces its lease. opts.TTL is 0, or from 1 s to 24 h: the registration ends after TTL,
// unless it is renewed by registering again. The error is [caio.ErrAlreadyRegistered] if another
// contract has the id.
func (r *Registry) Register(
	ctx context.Context, ct *contract.Contract, opts *caio.RegisterOptions,
) (*caio.Registration, error) {
	s := submission{contract: ct}
	if opts != nil && opts.TTL != 0 {
		if opts.TTL < time.Second || opts.TTL > maxTTL {
			return nil, invalidRequest(fmt.Sprintf("a lease lasts from 1 s to %s, not %s", maxTTL, opts.TTL))
		}
		s.ttl = opts.TTL
	}
	return r.register(ctx, s)
}

func (r *Registry) register(ctx context.Context, s submission) (*caio.Registration, error) {
	var e *entry
	err := r.loads.do(ctx, func() (err error) {
		e, err = newEntry(s.contract)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("registry: the contract of %s: %w", s.contract.ID, err)
	}
	r.sweep()
	if r.replica != nil {
		if s.ttl, err = r.claim(ctx, e, s.ttl); err != nil {
			return nil, err
		}
		return registered(s), nil
	}
	r.changes.Lock()
	defer r.changes.Unlock()
	held, err := r.services.check(e)
	if err != nil {
		return nil, err
	}
	if held != nil {
		e = held
		if mayOnlyExtend(ctx) {
			var later bool
			if s.ttl, later = e.presence.extension(s.ttl); !later {
				return registered(s), nil
			}
		}
	}
	if held == nil || time.Duration(e.presence.ttl.Load()) != s.ttl {
		if err := r.save(ctx, e, s.ttl); err != nil {
			return nil, err
		}
		r.services.changes.Add(1)
	}
	e.presence.lease(s.ttl)
	r.expireFrom(e.presence.expires.Load())
	if held == nil {
		r.services.add(e) // there is room, says check
		r.logRegistered(e, s.ttl)
	}
	return registered(s), nil
}

// mayOnlyExtend reports if the caller may make registrations longer only: it may register but not
// unregister.
func mayOnlyExtend(ctx context.Context) bool { return roleOf(ctx) == stranger }

func (r *Registry) logRegistered(e *entry, ttl time.Duration) {
	c := e.contract
	attrs := []any{"service_id", c.ID, "version", c.Version, "base_url", c.API.BaseURL}
	if ttl > 0 {
		attrs = append(attrs, "ttl", ttl)
	}
	if r.prober != nil {
		check := r.prober.target(c.API.BaseURL, e.endpoints)
		if check == "" {
			check = "none: the contract has no path that is checked, so the lease alone decides"
		}
		attrs = append(attrs, "health_check", check)
	}
	r.log.Info("registered", attrs...)
}

func registered(s submission) *caio.Registration {
	id := s.contract.ID
	return &caio.Registration{ServiceID: id, Status: "registered", Message: fmt.Sprintf("Service %s registered successfully", id),
		TTLSeconds: int(s.ttl / time.Second), MaxTTLSeconds: maxTTLSeconds}
}

// expireFrom makes sweep look at the leases from the time on, in nanoseconds since 1970; 0 for no lease.
func (r *Registry) expireFrom(at int64) {
	if soonest := r.soonest.Load(); at != 0 && (soonest == 0 || at < soonest) {
		r.soonest.Store(at)
	}
}

// sweep removes the services whose leases have ended. Whatever answers from the catalogue calls it before, so that none is
// ever seen later than its lease. It costs next to nothing until a lease may have ended.
func (r *Registry) sweep() {
	now := time.Now()
	if soonest := r.soonest.Load(); soonest == 0 || now.UnixNano() < soonest {
		return
	}
	r.changes.Lock()
	defer r.changes.Unlock()
	var ended []*entry
	soonest := int64(0)
	for _, e := range r.services.entries() {
		if e.presence.expired(now) {
			ended = append(ended, e)
			r.log.Warn("the lease ended", "service_id", e.contract.ID)
		} else if expires := e.presence.expires.Load(); expires != 0 && (soonest == 0 || expires < soonest) {
			soonest = expires
		}
	}
	r.services.remove(ended...)
	r.soonest.Store(soonest)
	if r.replica != nil {
		for _, e := range ended {
			r.replica.dormant[e.contract.ID] = e
		}
		return
	}
	if err := r.forget(context.Background(), ended...); err != nil { // they will end again after the next start
		r.log.Error("ended leases are still stored", "error", err)
	}
}
