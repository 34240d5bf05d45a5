package bridge

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobstore"
)

// openLedger opens the store that the options name. A full or read-only file system is no error:
// the bridge then serves the calls that need no store.
func openLedger(opts *Options) (*ledger, error) {
	l := &ledger{
		store:      jobstore.NewMemory(),
		log:        opts.Logger,
		keep:       opts.KeepFor,
		maxEntries: opts.MaxKept,
		maxBytes:   max(opts.MaxKeptBytes, opts.MaxResponseBytes+4*entrySize), // one result always fits
		byID:       map[string]*entry{},
		byKey:      map[string]*entry{},
		busy:       map[string]bool{},
	}
	if opts.StoreFile == "" {
		return l, nil
	}
	var err error
	l.store, err = jobstore.OpenFile(opts.StoreFile)
	switch {
	case l.store == nil:
		return nil, fmt.Errorf("bridge: Options.StoreFile: %w", err)
	case err != nil:
		l.failing.Store(true)
		l.log.Error("the store takes no data; jobs and calls with an Idempotency-Key are refused until it does", "cause", err)
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("bridge: Options.StoreFile: %w", err), l.store.Close())
	}
	return l, nil
}

// load takes over what an earlier process left.
func (l *ledger) load() error {
	var found []*entry
	err := l.store.All(func(id string, data []byte) error {
		r, err := decodeRecord(data)
		if err != nil || r.ID != id {
			l.log.Warn("a record of the store is not understood, and dropped", "id", shorten(id), "cause", err)
			l.dropped = append(l.dropped, id)
			return nil
		}
		found = append(found, &entry{keptCall: r.keptCall, size: int64(len(data)) + entrySize, stored: true, changed: make(chan struct{})})
		return nil
	})
	if err != nil {
		return err
	}
	now := time.Now()
	for _, e := range found {
		if e.Created.After(now) { // by a clock that was wrong: what finishes later would wait for it to expire
			e.Created = now
		}
		if e.Finished.After(now) {
			e.Finished = now
		}
		l.interrupt(e)
		close(e.changed)
	}
	slices.SortFunc(found, func(a, b *entry) int { return a.Finished.Compare(b.Finished) })
	l.mu.Lock()
	defer l.unlock()
	for _, e := range found {
		l.byID[e.ID] = e
		l.bytes += e.size
		e.place = l.finished.PushBack(e)
		if other := l.byKey[e.Key]; e.Key != "" && (other == nil || other.Created.Before(e.Created)) {
			l.byKey[e.Key] = e
		}
	}
	l.makeRoom(0)
	return nil
}

// interrupt records that a call ended with the process that it was in progress in. If the store
// fails, the record is kept in memory, and the next process interrupts the call again.
func (l *ledger) interrupt(e *entry) {
	if e.Status != jobRunning {
		return
	}
	l.log.Warn("a call was interrupted when the bridge stopped", "job", e.ID, "request_id", e.RequestID, "route", e.Route)
	r := e.fail(interrupted(nil), jobPath(e.ID))
	data, err := l.save(r)
	if err != nil {
		e.unstored = data
	}
	e.keptState, e.size = r.keptState, int64(len(data))+entrySize
}
