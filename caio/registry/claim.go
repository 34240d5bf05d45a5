package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

const (
	maxSwaps        = 8 // attempts at a record that others change at the same time
	storeRetryAfter = 2 * time.Second
)

// claim registers the service in the store, unless a different contract holds its id there. It
// returns the lease that the registration has then, 0 for none.
func (r *Registry) claim(ctx context.Context, e *entry, ttl time.Duration) (lease time.Duration, err error) {
	id := e.contract.ID
	next := Record{Kind: kindService, ID: id}
	known, err := r.services.check(e)
	if known != nil {
		next.Version = known.presence.version.Load() // probably; if not, the store says so
	} else if err != nil && !errors.Is(err, caio.ErrAlreadyRegistered) { // of that only the store is sure
		return 0, err
	}
	lease = ttl
	if known != nil && mayOnlyExtend(ctx) {
		var later bool
		if lease, later = known.presence.extension(ttl); !later {
			return lease, nil
		}
	}
	for range maxSwaps {
		if next.Data, err = encodeService(e, lease); err != nil {
			return 0, err
		}
		next.Until = time.Time{}
		if lease > 0 {
			next.Until = time.Now().Add(lease)
		}
		held, at, err := r.replica.store.Swap(context.WithoutCancel(ctx), next)
		switch {
		case err != nil:
			return 0, r.storeFailed("register", err)
		case at > 0:
			r.replica.await(ctx, at)
			if known == nil {
				r.logRegistered(e, lease)
			}
			return lease, nil
		}
		var same *stored
		err = r.loads.do(ctx, func() (err error) {
			same, err = sameContract(held, e)
			return err
		})
		if err != nil {
			return 0, err
		}
		lease = ttl
		if same != nil && mayOnlyExtend(ctx) {
			var later bool
			if lease, later = extendedLease(same.ttl, time.Until(held.Until), ttl); !later {
				return lease, nil
			}
		}
		next.Version = held.Version
	}
	return 0, r.storeFailed("register", fmt.Errorf("the record of %s changes all the time", id))
}

// sameContract returns the held service if it has e's contract, nil if there is none or it has
// ended.
func sameContract(held Record, e *entry) (*stored, error) {
	if held.Version == 0 || !held.Until.IsZero() && !time.Now().Before(held.Until) {
		return nil, nil
	}
	other := decodeService(held.ID, held.Data)
	switch {
	case other.err != nil:
		return nil, fmt.Errorf("registry: %w", other.err)
	case other.digest != e.digest:
		return nil, alreadyRegistered(other.contract)
	}
	return &other, nil
}

// withdraw removes the service from the store.
func (r *Registry) withdraw(ctx context.Context, id string) error {
	var held Record
	var err error
	if known, ok := r.services.get(id); ok {
		held.Version = known.presence.version.Load() // probably; if not, the store says so
	} else if held, err = r.replica.store.Get(ctx, kindService, id); err != nil {
		return r.storeFailed("unregister", err)
	}
	for range maxSwaps {
		if held.Version == 0 || !held.Until.IsZero() && !time.Now().Before(held.Until) {
			return unknownService("unregister", id)
		}
		var at int64
		held, at, err = r.replica.store.Swap(context.WithoutCancel(ctx), Record{Kind: kindService, ID: id, Version: held.Version})
		if err != nil {
			return r.storeFailed("unregister", err)
		}
		if at > 0 {
			r.replica.await(ctx, at)
			r.log.Info("unregistered", "service_id", id)
			return nil
		}
	}
	return r.storeFailed("unregister", fmt.Errorf("the record of %s changes all the time", wire.Clip(id, 100)))
}

// sharedTrace looks for a trace that another registry recorded.
func (r *Registry) sharedTrace(ctx context.Context, decisionID string) (text []byte, ok bool, err error) {
	if decisionID == "" || len(decisionID) > 64 {
		return nil, false, nil
	}
	held, err := r.replica.store.Get(ctx, kindTrace, decisionID)
	if err != nil {
		return nil, false, r.storeFailed("read trace", err)
	}
	return held.Data, held.Version != 0, nil
}

// storeFailed logs why, and returns what callers are told. They may repeat what they asked: registering what is registered
// succeeds.
func (r *Registry) storeFailed(op string, err error) error {
	r.log.Error("the store failed", "op", op, "error", err)
	return errors.Join(&caio.Error{
		Op: op, Status: http.StatusServiceUnavailable, Code: wire.StoreUnavailable, RetryAfter: storeRetryAfter,
		Message: "the store that the registries share is out of reach, so it is not known whether this is done: try again; services are still listed and routed to",
	}, fmt.Errorf("registry: %w", err))
}
