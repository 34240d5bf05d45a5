package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

// A SharedStore is a [Store] that several registries use at the same time, which then serve the same services: they swap
// and watch services, and save and get traces. Their clocks should agree: a lease is dated by the registry that granted it.
type SharedStore interface {
	Store

	// Swap saves the record if what is held under its kind and id has its Version, and changes nothing otherwise. Without
	// Data it deletes. It returns what is held then, a zero Version for nothing, and, if that is by this call, the place of
	// the change among all changes (see [Changes]), else 0. With an error it may have swapped, or do so yet.
	Swap(ctx context.Context, next Record) (held Record, at int64, err error)

	// Get returns what is held under a kind and id, a zero Version for nothing.
	Get(ctx context.Context, kind, id string) (Record, error)

	// Watch yields all records of a kind, then what changes as it changes, and, while nothing does, every now and then
	// something empty. Whenever it is out of touch it yields an error, and goes on trying, until ctx ends.
	Watch(ctx context.Context, kind string) iter.Seq2[Changes, error]
}

// Changes are what happened in a [SharedStore] since the ones before.
type Changes struct {
	At      int64    // their place among all changes, which rises; those up to it are known now
	Whole   bool     // all that is held is in Saved: forget the rest
	Saved   []Record // that are new or have other data, with Version
	Renewed []Record // of which only Until is different; without Data
	Gone    []string // ids
}

const (
	maxSwaps        = 8
	maxSharedTraces = 64 // that a registry stores per second, so that decisions do not fill the store
	maxAwait        = 2 * time.Second
	storeRetryAfter = 2 * time.Second
)

// A replica is what a registry knows about the store that it shares. The services are as the store has them: only follow
// adds and removes any, but for ended leases.
type replica struct {
	store   SharedStore
	dormant map[string]*entry // whose leases ended here, and are still in the store; guarded by Registry.changes

	mu    sync.Mutex
	at    int64         // changes up to here are in the catalogue
	moved chan struct{} // closed and replaced when at rises
	lost  time.Time     // since when the store is out of reach; zero if it is not
}

func newReplica(store SharedStore) *replica {
	return &replica{store: store, dormant: make(map[string]*entry), moved: make(chan struct{})}
}

// reach takes note that changes up to at are in the catalogue.
func (p *replica) reach(at int64) (wasLost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wasLost, p.lost = !p.lost.IsZero(), time.Time{}
	if at > p.at {
		p.at = at
		close(p.moved)
		p.moved = make(chan struct{})
	}
	return wasLost
}

func (p *replica) lose() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.lost.IsZero() {
		return false
	}
	p.lost = time.Now()
	return true
}

// behind is for how long the store has been out of reach, at least a nanosecond, or 0 if it is not.
func (p *replica) behind() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost.IsZero() {
		return 0
	}
	return max(1, time.Since(p.lost))
}

// await returns when the catalogue has the change, so that who registered a service finds it here. What is stored is
// stored: it does not wait for long.
func (p *replica) await(ctx context.Context, at int64) {
	timeout := time.NewTimer(maxAwait)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		reached, moved := p.at >= at, p.moved
		p.mu.Unlock()
		if reached {
			return
		}
		select {
		case <-moved:
		case <-timeout.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// loadShared fills an empty registry with what the store holds now.
func (r *Registry) loadShared(ctx context.Context) error {
	next, stop := iter.Pull2(r.replica.store.Watch(ctx, kindService))
	defer stop()
	changes, err, ok := next()
	if err != nil || !ok {
		return err
	}
	r.apply(changes)
	return nil
}

// follow keeps the catalogue as the store is, until ctx ends.
func (r *Registry) follow(ctx context.Context) {
	for ctx.Err() == nil {
		for changes, err := range r.replica.store.Watch(ctx, kindService) {
			switch {
			case err == nil:
				r.apply(changes)
			case ctx.Err() == nil && r.replica.lose():
				r.log.Error("the store is out of reach: services are served as they were last known, and none is registered or removed", "error", err)
			}
		}
		wait(ctx, time.Second) // a store does not end by itself
	}
}

// apply makes the changes in the catalogue.
func (r *Registry) apply(changes Changes) {
	news := r.readNews(changes.Saved) // before readers may have to wait
	r.changes.Lock()
	if changes.Whole {
		r.dropAllBut(changes.Saved)
	}
	var coming []*entry
	for _, record := range slices.Concat(changes.Saved, changes.Renewed) {
		e, isNew := news[record.ID]
		if isNew {
			r.drop(record.ID)
		} else {
			e = r.knownLocked(record.ID)
		}
		if e != nil && r.dated(e, record.Until) {
			coming = append(coming, e)
		}
	}
	for _, id := range changes.Gone {
		r.drop(id)
	}
	if len(r.services.entries()) == 0 {
		r.services.fill(coming)
		coming = nil
	}
	for _, e := range coming {
		r.services.add(e)
		r.log.Debug("a service came", "service_id", e.contract.ID, "version", e.contract.Version)
	}
	r.changes.Unlock()
	if r.replica.reach(changes.At) {
		r.log.Info("the store is in reach again")
	}
}

// readNews returns the services, by id, whose contracts are not known, nil for those that cannot be read. Of the others it
// takes over what is different.
func (r *Registry) readNews(saved []Record) map[string]*entry {
	var unknown []Record
	for _, record := range saved {
		if e := r.known(record.ID); e == nil || e.presence.version.Load() != record.Version {
			unknown = append(unknown, record)
		}
	}
	news := make(map[string]*entry)
	for i, s := range decodeServices(unknown) {
		record, e := unknown[i], s.entry
		if s.err != nil {
			r.log.Error("a service cannot be served", "error", s.err)
			news[record.ID] = nil
			continue
		}
		if known := r.known(record.ID); known != nil && known.digest == e.digest { // it never leaves the catalogue
			e = known
			r.services.changes.Add(1)
		} else {
			news[record.ID] = e
		}
		e.presence.version.Store(record.Version)
		e.presence.ttl.Store(int64(s.ttl))
	}
	return news
}

func (r *Registry) dropAllBut(saved []Record) {
	held := make(map[string]bool, len(saved))
	for _, record := range saved {
		held[record.ID] = true
	}
	for _, e := range r.services.entries() {
		if !held[e.contract.ID] {
			r.drop(e.contract.ID)
		}
	}
	maps.DeleteFunc(r.replica.dormant, func(id string, _ *entry) bool { return !held[id] })
}

// known returns what is known of a service that is in the store, also if its lease has ended here.
func (r *Registry) known(id string) *entry {
	r.changes.Lock()
	defer r.changes.Unlock()
	return r.knownLocked(id)
}

func (r *Registry) knownLocked(id string) *entry {
	if e, ok := r.services.get(id); ok {
		return e
	}
	return r.replica.dormant[id]
}

// dated dates the service's lease, and reports whether the service is to be served and is not yet.
func (r *Registry) dated(e *entry, until time.Time) (coming bool) {
	id := e.contract.ID
	e.presence.leaseUntil(until, time.Duration(e.presence.ttl.Load()))
	if _, served := r.services.get(id); served {
		r.expireFrom(e.presence.expires.Load()) // if it has ended, the next sweep finds it
		return false
	}
	if e.presence.expired(time.Now()) {
		r.replica.dormant[id] = e
		return false
	}
	delete(r.replica.dormant, id)
	r.expireFrom(e.presence.expires.Load())
	return true
}

func (r *Registry) drop(id string) {
	delete(r.replica.dormant, id)
	if e, ok := r.services.get(id); ok {
		r.services.remove(e)
		r.log.Debug("a service went", "service_id", id)
	}
}

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
				r.log.Info("registered", "service_id", id, "version", e.contract.Version, "base_url", e.contract.API.BaseURL, "ttl", ttl)
			}
			return nil
		}
		if err := mayReplace(held, e); err != nil {
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

// newest leaves out all but the latest of what is to be saved.
func newest(records []Record, limit int) []Record {
	saved := 0
	for _, record := range records {
		if record.Data != nil {
			saved++
		}
	}
	kept := records[:0]
	for _, record := range records {
		if record.Data != nil {
			if saved--; saved >= limit {
				continue
			}
		}
		kept = append(kept, record)
	}
	return kept
}
