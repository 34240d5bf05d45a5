package bridge

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobstore"
)

// entrySize is what an entry takes beside its outcome and events, for the count of bytes.
const entrySize = 1 << 10

// A ledger keeps calls whose outcome must be there after their request: jobs, and calls with an Idempotency-Key. It knows
// of each what it needs to find and bound them; outcomes are in the store, and events, which do not survive a restart, in
// memory. Finished calls go when they have been kept for long enough, or earlier, the oldest first, to make room.
type ledger struct {
	store      jobstore.Store
	log        *slog.Logger
	keep       time.Duration
	maxEntries int
	maxBytes   int64
	failing    atomic.Bool // that the store did not take the last record, or did not delete one since

	mu        sync.Mutex // unlocked with unlock
	byID      map[string]*entry
	byKey     map[string]*entry // the latest call under each key, reserved ones included
	busy      map[string]bool   // keys of jobs that have ended, while their handlers go on
	finished  list.List         // of *entry; the order in which they finished is that in which they expire
	beginning int               // entries of byID that the store has not taken yet
	bytes     int64
	sweeper   *time.Timer // for the first of finished; nil if there is none
	stopping  bool
	dropped   []string // ids to be deleted from the store
}

// An entry is a call in the ledger, whose lock guards it.
type entry struct {
	keptCall
	prior    *entry        // under the same key, until this call has begun
	size     int64         // 0 until then
	place    *list.Element // in ledger.finished; nil while running
	stored   bool
	unstored []byte // the finished record, if the store did not take it
	events   eventBuffer
	watchers int
	changed  chan struct{}           // closed, and replaced unless the call has finished, when there is something new to see
	cancel   context.CancelCauseFunc // of a job, from its beginning to its end
}

// job returns the caller's job of that id, or nil.
func (l *ledger) job(id, principal string) *entry {
	l.mu.Lock()
	defer l.unlock()
	l.expire()
	if e := l.byID[id]; e != nil && e.Job && e.Principal == principal {
		return e
	}
	return nil
}

// reserve takes the key of a call, if it has one, so that no other call begins under it. If an
// earlier call has the key, and its outcome counts or is still to come, reserve returns that call.
//
// The limits may still refuse the call: a reservation evicts nothing, is not stored, and counts for
// no bound of the ledger. Only a request that waits for the limiter has one.
func (l *ledger) reserve(c keptCall) (e *entry, found bool, err error) {
	l.mu.Lock()
	defer l.unlock()
	if err := l.check(); err != nil {
		return nil, false, err
	}
	l.expire()
	prior := l.byKey[c.Key]
	if c.Key != "" && prior != nil {
		if prior.Fingerprint != c.Fingerprint {
			return nil, false, &Error{Code: codeKeyReused, Detail: "This Idempotency-Key came with another request before. Use a new key for a new request, and send the very same body to repeat one."}
		}
		switch {
		case prior.Job && prior.Status == jobRunning && prior.cancel == nil: // not begun: it may still be refused
			return nil, false, keyInUse(time.Second)
		case prior.Status == jobRunning || prior.Final:
			return prior, true, nil
		}
	}
	if l.busy[c.Key] {
		return nil, false, keyInUse(time.Second)
	}
	e = &entry{keptCall: c, changed: make(chan struct{})}
	e.Status = jobRunning
	if e.Key != "" {
		e.prior = prior
		l.byKey[e.Key] = e
	}
	return e, false, nil
}

// check returns why no call can begin.
func (l *ledger) check() error {
	if l.stopping {
		return shuttingDown()
	}
	if len(l.byID)-l.finished.Len() >= l.maxEntries {
		return &Error{
			Code:       CodeUnavailable,
			Detail:     fmt.Sprintf("This bridge keeps at most %d jobs and calls with an Idempotency-Key, and all of them are in progress. Try again when one has ended.", l.maxEntries),
			RetryAfter: time.Second,
		}
	}
	return nil
}

// begin stores that a reserved call is in progress, and then makes room for it. After an error the
// caller forgets the call.
func (l *ledger) begin(e *entry) error {
	data, err := encode(keptRecord{keptCall: e.keptCall})
	if err != nil {
		return storeFailed("The call was not begun.", err)
	}
	l.mu.Lock()
	if err := l.check(); err != nil {
		l.mu.Unlock()
		return err
	}
	l.byID[e.ID] = e
	l.beginning++
	l.mu.Unlock()
	err = l.put(e.ID, data)
	l.mu.Lock()
	defer l.unlock()
	l.beginning--
	if err != nil {
		return storeFailed("The call was not begun.", err)
	}
	e.stored = true
	e.size = entrySize
	l.bytes += e.size
	if e.prior != nil && !e.prior.Job && l.byID[e.prior.ID] == e.prior {
		l.remove(e.prior)
	}
	e.prior = nil
	l.makeRoom(0)
	return nil
}

func (l *ledger) put(id string, data []byte) error {
	err := l.store.Put(id, data)
	l.failing.Store(err != nil)
	return err
}

func storeFailed(consequence string, err error) *Error {
	return &Error{Code: CodeUnavailable, Detail: "The bridge's store of jobs and answers failed. " + consequence + " Try again later.", RetryAfter: 10 * time.Second, Cause: err}
}

// finish writes what a call came to. A store that fails takes nothing from the caller: the outcome is then kept in memory.
func (l *ledger) finish(e *entry, r keptRecord) {
	l.mu.Lock()
	r.Events = e.events.total
	l.mu.Unlock()
	data, err := l.save(r)
	l.mu.Lock()
	defer l.unlock()
	l.makeRoom(int64(len(data)))
	e.keptState = r.keptState
	if err != nil {
		e.unstored = data
	}
	e.size += int64(len(data))
	l.bytes += int64(len(data))
	e.place = l.finished.PushBack(e)
	e.cancel = nil
	close(e.changed)
	l.expire()
}

// save writes the record of a finished call. It logs an error, after which the caller keeps data in
// memory.
func (l *ledger) save(r keptRecord) (data []byte, err error) {
	data, err = encode(r)
	if err != nil {
		l.log.Error("an outcome could not be encoded", "job", r.ID, "cause", err)
	} else if err = l.put(r.ID, data); err != nil {
		l.log.Error("an outcome could not be stored; it is kept in memory until the bridge stops", "job", r.ID, "request_id", r.RequestID, "cause", err)
	}
	return data, err
}

// forget removes a call as if it had not been. It may be called twice.
func (l *ledger) forget(e *entry) error {
	if e == nil {
		return nil
	}
	l.mu.Lock()
	if l.byID[e.ID] == e || l.byKey[e.Key] == e {
		l.remove(e)
	}
	return l.unlock()
}

// occupy keeps a key in use, whatever becomes of its job, until returned is closed.
func (l *ledger) occupy(key string, returned <-chan struct{}) (wait func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy[key] = true
	return func() {
		<-returned
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.busy, key)
	}
}

// look returns what is known of a call by heart, and a channel that is closed when that may have changed.
func (l *ledger) look(e *entry) (keptCall, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return e.keptCall, e.changed
}

// outcome reads what a finished call came to.
func (l *ledger) outcome(e *entry) (keptOutcome, error) {
	l.mu.Lock()
	data := e.unstored
	l.mu.Unlock()
	if data == nil {
		var err error
		if data, err = l.store.Get(e.ID); errors.Is(err, jobstore.ErrNotFound) {
			return keptOutcome{}, errNoJob // made room for another in this moment
		} else if err != nil {
			return keptOutcome{}, storeFailed("The outcome could not be read.", err)
		}
	}
	r, err := decodeRecord(data)
	if err != nil {
		return keptOutcome{}, storeFailed("The outcome could not be read.", err)
	}
	return r.keptOutcome, nil
}

// unlock deletes from the store, too, what was removed under the lock. What cannot be deleted is tried again next time.
func (l *ledger) unlock() error {
	ids := l.dropped
	l.dropped = nil
	l.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	err := l.store.Delete(ids...)
	if err == nil || errors.Is(err, jobstore.ErrClosed) {
		return nil
	}
	l.failing.Store(true)
	l.log.Error("finished calls could not be deleted from the store", "count", len(ids), "cause", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped = append(ids, l.dropped...)
	return err
}

func (l *ledger) remove(e *entry) {
	delete(l.byID, e.ID)
	if l.byKey[e.Key] == e {
		delete(l.byKey, e.Key)
		if e.prior != nil && l.byID[e.prior.ID] == e.prior {
			l.byKey[e.Key] = e.prior
		}
	}
	if e.place != nil {
		l.finished.Remove(e.place)
	} else {
		close(e.changed)
	}
	l.bytes -= e.size
	if e.stored {
		l.dropped = append(l.dropped, e.ID)
	}
}

// expire removes what has been kept for long enough, and sees to it that the rest will be.
func (l *ledger) expire() {
	for first := l.finished.Front(); first != nil; first = l.finished.Front() {
		e := first.Value.(*entry)
		if left := time.Until(e.Finished.Add(l.keep)); left > 0 {
			l.sweepIn(left)
			return
		}
		l.remove(e)
	}
}

// sweepIn makes the store empty in time also if nobody asks for anything. A timer needs no owner but [ledger.close].
func (l *ledger) sweepIn(d time.Duration) {
	if l.sweeper != nil || l.stopping {
		return
	}
	l.sweeper = time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.unlock()
		l.sweeper = nil
		l.expire()
	})
}

// makeRoom for the calls that have begun, and so many bytes more: events give way to outcomes, and
// old outcomes to new ones.
func (l *ledger) makeRoom(bytes int64) {
	l.expire()
	if l.bytes+bytes > l.maxBytes {
		for _, e := range l.byID {
			l.dropEvents(e, 0)
		}
	}
	for first := l.finished.Front(); first != nil && (len(l.byID)-l.beginning > l.maxEntries || l.bytes+bytes > l.maxBytes); first = l.finished.Front() {
		l.remove(first.Value.(*entry))
	}
}

// stop ends the jobs in progress, and waits for a moment until that is on record.
func (l *ledger) stop() {
	l.mu.Lock()
	l.stopping = true
	for _, e := range l.byID {
		if e.cancel != nil {
			e.cancel(errStopping)
		}
	}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), cutTimeout)
	defer cancel()
	l.wait(ctx)
}

// wait waits until no job is in progress, or ctx ends.
func (l *ledger) wait(ctx context.Context) {
	for changed := l.anyRunning(); changed != nil; changed = l.anyRunning() {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (l *ledger) anyRunning() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.byID {
		if e.Job && e.Status == jobRunning {
			return e.changed
		}
	}
	return nil
}

// close gives the store back. Calls still in progress are found as interrupted by the next process.
func (l *ledger) close() error {
	l.mu.Lock()
	defer l.unlock()
	l.stopping = true
	if l.sweeper != nil {
		l.sweeper.Stop()
		l.sweeper = nil
	}
	return l.store.Close()
}
