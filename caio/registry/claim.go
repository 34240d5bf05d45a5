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

// claim registers the service in the store, unless a different contract holds its id there.
func (r *Registry) claim(ctx context.Context, e *entry, ttl time.Duration) error {
	data, err := encodeService(e, ttl)
	if err != nil {
		return err
	}
	id := e.contract.ID
	next := Record{Kind: kindService, ID: id, Data: data}
	known, err := r.services.check(e)
	if known != nil {
		next.Version = known.presence.version.Load() // probably; if not, the store says so
	} else if err != nil && !errors.Is(err, caio.ErrAlreadyRegistered) { // of that only the store is sure
		return err
	}
	for range maxSwaps {
		if ttl > 0 {
			next.Until = time.Now().Add(ttl)
		}
		held, at, err := r.replica.store.Swap(context.WithoutCancel(ctx), next)
		switch {
		case err != nil:
			return r.storeFailed("register", err)
		case at > 0:
			r.replica.await(ctx, at)
			if known == nil {
				r.logRegistered(e.contract, ttl)
			}
			return nil
		}
		if err := r.loads.do(ctx, func() error { return mayReplace(held, e) }); err != nil {
			return err
		}
		next.Version = held.Version
	}
	return r.storeFailed("register", fmt.Errorf("the record of %s changes all the time", id))
}

// mayReplace returns nil if what is held is nothing, has ended or is that same contract.
func mayReplace(held Record, e *entry) error {
	if held.Version == 0 || !held.Until.IsZero() && !time.Now().Before(held.Until) {
		return nil
	}
	other := decodeService(held.ID, held.Data)
	switch {
	case other.err != nil:
		return fmt.Errorf("registry: %w", other.err)
	case other.digest != e.digest:
		return alreadyRegistered(other.contract)
	}
	return nil
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
