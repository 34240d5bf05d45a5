package jobs

import (
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
)

// flushAndUnlock releases mu, then deletes the removed records from the backend. Failed deletes are
// retried on the next call.
func (s *Store) flushAndUnlock() error {
	ids, closed := s.pendingDeletes, s.closed
	s.pendingDeletes = nil
	s.mu.Unlock()
	if len(ids) == 0 || closed {
		return nil
	}
	err := panics.Recover(func() error { return s.config.Backend.Delete(ids...) })
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // since the records were removed
		return nil
	}
	s.degraded.Store(true)
	s.config.Log.Error("finished calls could not be deleted from the store", "count", len(ids), "cause", err)
	s.pendingDeletes = append(ids, s.pendingDeletes...)
	return err
}

// remove forgets a record and frees its key. The key goes back to the earlier record, if this one
// was only reserved.
func (s *Store) remove(r *Record) {
	delete(s.byID, r.ID)
	if s.byKey[r.Key] == r {
		delete(s.byKey, r.Key)
		if r.prior != nil && s.byID[r.prior.ID] == r.prior {
			s.byKey[r.Key] = r.prior
		}
	}
	if r.finishedElem != nil {
		s.finished.Remove(r.finishedElem)
	} else {
		close(r.changed)
	}
	s.bytes -= r.size
	if r.stored {
		s.pendingDeletes = append(s.pendingDeletes, r.ID)
	}
}

// expire removes records that are older than the retention, and schedules the next expiry.
func (s *Store) expire() {
	for first := s.finished.Front(); first != nil; first = s.finished.Front() {
		r := first.Value.(*Record)
		if left := time.Until(r.Finished.Add(s.config.Retention)); left > 0 {
			s.scheduleExpiry(left)
			return
		}
		s.remove(r)
	}
}

// scheduleExpiry removes expired records in time even without requests. Close stops the timer.
func (s *Store) scheduleExpiry(d time.Duration) {
	if s.expiry != nil || s.stopping {
		return
	}
	s.expiry = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.flushAndUnlock()
		s.expiry = nil
		s.expire()
	})
}

// evict makes room for the persisted records and so many bytes more. It evicts events first, then
// the oldest finished records.
func (s *Store) evict(bytes int64) {
	s.expire()
	if s.bytes+bytes > s.config.MaxBytes {
		for _, r := range s.byID {
			s.dropEvents(r, 0)
		}
	}
	for first := s.finished.Front(); first != nil; first = s.finished.Front() {
		if len(s.byID)-s.persisting <= s.config.MaxRecords && s.bytes+bytes <= s.config.MaxBytes {
			return
		}
		s.remove(first.Value.(*Record))
	}
}
