// Package jobs records calls that outlive their request: jobs, and calls with an Idempotency-Key.
package jobs

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
)

// recordSize is the count of bytes for a record without its outcome and events.
const recordSize = 1 << 10

// stopTimeout is the time that Stop gives jobs to finish.
const stopTimeout = 5 * time.Second

// Errors of a Store, for errors.Is. An error of the backend is joined to ErrBackend.
var (
	ErrStopping  = errors.New("the bridge is stopping")
	ErrCancelled = errors.New("the job was cancelled by its owner")
	ErrFull      = errors.New("all records belong to calls in progress")
	ErrKeyInUse  = errors.New("the first call with the key has not ended")
	ErrKeyReused = errors.New("the key came with another request before")
	ErrNotFound  = errors.New("there is no such record")
	ErrBackend   = errors.New("the store of jobs failed")
)

// A Store keeps records of calls. Their outcomes are in the backend. Info and events are in memory,
// and events do not survive a restart. Finished records are evicted after Retention or, oldest
// first, to make room. It is safe for concurrent use. A nil Store has no jobs: Stop, Wait and Close
// do nothing.
type Store struct {
	config   Config
	degraded atomic.Bool // the backend failed at the last record, or at a delete since

	mu             sync.Mutex // released by flushAndUnlock after a removal of records
	byID           map[string]*Record
	byKey          map[string]*Record // latest record of each key, reserved ones included
	heldKeys       map[string]bool    // keys of finished jobs with a handler that still runs
	finished       list.List          // of *Record, ordered by Finished
	persisting     int                // records of byID that the backend has not taken yet
	bytes          int64
	expiry         *time.Timer // for the first of finished; nil if there is none
	stopping       bool
	closed         bool
	pendingDeletes []string
}

// Degraded reports if the backend does not take data.
func (s *Store) Degraded() bool { return s.degraded.Load() }

// Job returns the principal's job of that id, or nil.
func (s *Store) Job(id, principal string) *Record {
	s.mu.Lock()
	defer s.flushAndUnlock()
	s.expire()
	if r := s.byID[id]; r != nil && r.Job && r.Principal == principal {
		return r
	}
	return nil
}

// Reserve reserves the key of a call, if it has one. It returns the earlier record if the key is
// known and its outcome counts or is still to come. Errors: ErrStopping, ErrFull, ErrKeyInUse,
// ErrKeyReused.
//
// The limits may still refuse the call. So a reservation evicts nothing, is not stored and counts
// for no bound. The caller must call Persist or Delete.
func (s *Store) Reserve(c Info) (r *Record, found bool, err error) {
	s.mu.Lock()
	defer s.flushAndUnlock()
	if err := s.checkRoom(); err != nil {
		return nil, false, err
	}
	s.expire()
	prior := s.byKey[c.Key]
	if c.Key != "" && prior != nil {
		if prior.Fingerprint != c.Fingerprint {
			return nil, false, ErrKeyReused
		}
		switch {
		case prior.Job && prior.Status == Running && prior.cancel == nil: // it may still be refused
			return nil, false, ErrKeyInUse
		case prior.Status == Running || prior.Final:
			return prior, true, nil
		}
	}
	if s.heldKeys[c.Key] {
		return nil, false, ErrKeyInUse
	}
	r = &Record{Info: c, changed: make(chan struct{})}
	r.Status = Running
	if r.Key != "" {
		r.prior = prior
		s.byKey[r.Key] = r
	}
	return r, false, nil
}

// checkRoom returns an error if no call can begin.
func (s *Store) checkRoom() error {
	if s.stopping {
		return ErrStopping
	}
	if len(s.byID)-s.finished.Len() >= s.config.MaxRecords {
		return ErrFull
	}
	return nil
}

// Persist stores a reserved record and evicts others to make room. Errors: ErrStopping, ErrFull,
// ErrBackend. The caller deletes the record after an error.
func (s *Store) Persist(r *Record) error {
	data, err := codec.Encode(storedRecord{Info: r.Info})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBackend, err)
	}
	s.mu.Lock()
	if err := s.checkRoom(); err != nil {
		s.mu.Unlock()
		return err
	}
	s.byID[r.ID] = r
	s.persisting++
	s.mu.Unlock()
	err = s.put(r.ID, data)
	s.mu.Lock()
	defer s.flushAndUnlock()
	s.persisting--
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBackend, err)
	}
	r.stored = true
	r.size = recordSize
	s.bytes += r.size
	if r.prior != nil && !r.prior.Job && s.byID[r.prior.ID] == r.prior {
		s.remove(r.prior)
	}
	r.prior = nil
	s.evict(0)
	return nil
}

// put writes to the backend. A panic of the backend is an error like any other, because jobs and
// timers have no other recover.
func (s *Store) put(id string, data []byte) error {
	err := panics.Recover(func() error { return s.config.Backend.Put(id, data) })
	s.degraded.Store(err != nil)
	return err
}

// Finish stores the outcome of a call. If the backend fails, the outcome stays in memory.
func (s *Store) Finish(r *Record, state State, outcome Outcome) {
	s.mu.Lock()
	state.Events = r.events.total
	finished := r.Info
	s.mu.Unlock()
	finished.State = state
	data, err := s.save(storedRecord{finished, outcome})
	s.mu.Lock()
	defer s.flushAndUnlock()
	s.evict(int64(len(data)))
	r.State = state
	if err != nil {
		r.unsaved = data
	}
	r.size += int64(len(data))
	s.bytes += int64(len(data))
	r.finishedElem = s.finished.PushBack(r)
	r.cancel = nil
	close(r.changed)
	s.expire()
}

// save stores a finished record and logs an error. After an error the caller keeps data in memory.
func (s *Store) save(r storedRecord) (data []byte, err error) {
	data, err = codec.Encode(r)
	if err != nil {
		s.config.Log.Error("an outcome could not be encoded", "job", r.ID, "cause", err)
	} else if err = s.put(r.ID, data); err != nil {
		s.config.Log.Error("an outcome could not be stored; it is kept in memory until the bridge stops",
			"job", r.ID, "request_id", r.RequestID, "cause", err)
	}
	return data, err
}

// Delete removes a record and frees its key. Deleting twice is allowed. An error is logged, and the
// deletion is retried.
func (s *Store) Delete(r *Record) error {
	s.mu.Lock()
	if s.byID[r.ID] == r || s.byKey[r.Key] == r {
		s.remove(r)
	}
	return s.flushAndUnlock()
}

// HoldKey rejects reuse of key until done is closed, even if its job has ended or been deleted. The
// caller must call wait.
func (s *Store) HoldKey(key string, done <-chan struct{}) (wait func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heldKeys[key] = true
	return func() {
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.heldKeys, key)
	}
}

// Info returns the part of a record in memory.
func (s *Store) Info(r *Record) Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.Info
}

// Outcome reads the outcome of a finished call. Errors: ErrNotFound if the record was evicted,
// ErrBackend.
func (s *Store) Outcome(r *Record) (Outcome, error) {
	s.mu.Lock()
	data := r.unsaved
	s.mu.Unlock()
	if data == nil {
		var err error
		if data, err = s.config.Backend.Get(r.ID); err != nil {
			return Outcome{}, fmt.Errorf("%w: %w", ErrBackend, err)
		}
		if data == nil {
			return Outcome{}, ErrNotFound
		}
	}
	stored, err := decodeRecord(data)
	if err != nil {
		return Outcome{}, fmt.Errorf("%w: %w", ErrBackend, err)
	}
	return stored.Outcome, nil
}

// SetCancel lets Cancel and Stop end a job.
func (s *Store) SetCancel(r *Record, cancel context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.cancel = cancel
	if s.stopping {
		cancel(ErrStopping)
	}
}

// Cancel ends a running job with ErrCancelled. It reports if the job was running.
func (s *Store) Cancel(r *Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Status != Running {
		return false
	}
	if r.cancel != nil {
		r.cancel(ErrCancelled)
	}
	return true
}

// Stop ends the running jobs with ErrStopping and waits up to 5 seconds for them.
func (s *Store) Stop() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.stopping = true
	for _, r := range s.byID {
		if r.cancel != nil {
			r.cancel(ErrStopping)
		}
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.Wait(ctx)
}

// Wait waits until no job is running, or ctx ends.
func (s *Store) Wait(ctx context.Context) {
	if s == nil {
		return
	}
	for changed := s.anyRunning(); changed != nil; changed = s.anyRunning() {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Store) anyRunning() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.byID {
		if r.Job && r.Status == Running {
			return r.changed
		}
	}
	return nil
}

// Close closes the backend. The next process finds the calls in progress as interrupted.
func (s *Store) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.flushAndUnlock()
	s.stopping, s.closed = true, true
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	return s.config.Backend.Close()
}
