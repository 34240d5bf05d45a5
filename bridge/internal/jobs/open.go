package jobs

import (
	"log/slog"
	"slices"
	"time"

	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// A Config configures a Store. All fields are required.
type Config struct {
	Backend    Backend
	Log        *slog.Logger
	Retention  time.Duration // time that finished records are kept
	MaxRecords int
	MaxBytes   int64 // bytes of outcomes and events; at least one outcome of MaxOutcome bytes fits
	MaxOutcome int64

	// Interrupted returns the outcome of a call that was in progress when its process ended.
	Interrupted func(Info) (State, Outcome)
}

// Open returns a Store with the records of the backend. A backend that takes no data is no error:
// the Store is then degraded.
func Open(config Config) (*Store, error) {
	config.MaxBytes = max(config.MaxBytes, config.MaxOutcome+4*recordSize)
	s := &Store{
		config:   config,
		byID:     map[string]*Record{},
		byKey:    map[string]*Record{},
		heldKeys: map[string]bool{},
	}
	if err := config.Backend.Writable(); err != nil {
		s.degraded.Store(true)
		config.Log.Error("the store takes no data; jobs and calls with an Idempotency-Key are refused until it does",
			"cause", err)
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// load reads the records of an earlier process.
func (s *Store) load() error {
	var found []*Record
	err := s.config.Backend.All(func(id string, data []byte) error {
		r, err := decodeRecord(data)
		if err != nil || r.ID != id {
			s.config.Log.Warn("a record of the store is malformed and dropped", "id", text.Clip(id), "cause", err)
			s.pendingDeletes = append(s.pendingDeletes, id)
			return nil
		}
		size := int64(len(data)) + recordSize
		found = append(found, &Record{Info: r.Info, size: size, stored: true, changed: make(chan struct{})})
		return nil
	})
	if err != nil {
		return err
	}
	now := time.Now()
	for _, r := range found {
		if r.Created.After(now) { // written with a wrong clock: it would delay the expiry of later records
			r.Created = now
		}
		if r.Finished.After(now) {
			r.Finished = now
		}
		s.interrupt(r)
		close(r.changed)
	}
	slices.SortFunc(found, func(a, b *Record) int { return a.Finished.Compare(b.Finished) })
	s.mu.Lock()
	defer s.flushAndUnlock()
	for _, r := range found {
		s.byID[r.ID] = r
		s.bytes += r.size
		r.finishedElem = s.finished.PushBack(r)
		if other := s.byKey[r.Key]; r.Key != "" && (other == nil || other.Created.Before(r.Created)) {
			s.byKey[r.Key] = r
		}
	}
	s.evict(0)
	return nil
}

// interrupt finishes a record of an earlier process that is still running. If the backend fails,
// the record stays in memory, and the next process interrupts the call again.
func (s *Store) interrupt(r *Record) {
	if r.Status != Running {
		return
	}
	s.config.Log.Warn("a call was interrupted when the bridge stopped",
		"job", r.ID, "request_id", r.RequestID, "route", r.Route)
	state, outcome := s.config.Interrupted(r.Info)
	finished := r.Info
	finished.State = state
	data, err := s.save(storedRecord{finished, outcome})
	if err != nil {
		r.unsaved = data
	}
	r.State, r.size = state, int64(len(data))+recordSize
}
