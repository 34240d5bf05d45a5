package registry

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxAwait bounds how long a registration waits for the change to come back from the store.
const maxAwait = 2 * time.Second

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
	r.addAll(coming)
	for _, e := range coming {
		if _, served := r.services.get(e.contract.ID); served {
			r.log.Debug("a service came", "service_id", e.contract.ID, "version", e.contract.Version)
		}
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
		e.presence.ttl.Store(int64(s.ttl)) // before the version: claim reads them in the other order
		e.presence.version.Store(record.Version)
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
