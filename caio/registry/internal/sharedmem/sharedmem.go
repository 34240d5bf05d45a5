// Package sharedmem is a shared store in memory, for tests.
package sharedmem

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
)

// A Hub holds what its stores share. The zero value is empty.
type Hub struct {
	storetest.MemoryStore // what was saved

	mu      sync.Mutex
	swapped map[key]registry.Record
	log     []change
	changed chan struct{} // closed and replaced with each change
}

type key struct{ kind, id string }

type change struct {
	kind string
	registry.Changes
}

// A Store is one client of a hub, which may be out of its reach.
type Store struct {
	*Hub
	mu      sync.Mutex
	cut     bool
	toggled chan struct{}
}

var _ registry.SharedStore = (*Store)(nil)

// Open returns another client.
func (h *Hub) Open() *Store { return &Store{Hub: h, toggled: make(chan struct{})} }

// Cut puts the hub out of this client's reach, or back into it.
func (s *Store) Cut(cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = cut
	close(s.toggled)
	s.toggled = make(chan struct{})
}

func (s *Store) reach() (toggled <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		err = errors.New("the hub is out of reach")
	}
	return s.toggled, err
}

// Save implements [registry.Store].
func (s *Store) Save(ctx context.Context, records ...registry.Record) error {
	if _, err := s.reach(); err != nil {
		return err
	}
	return s.MemoryStore.Save(ctx, records...)
}

// Load implements [registry.Store].
func (s *Store) Load(ctx context.Context, kind string, each func(id string, data []byte) error) error {
	if _, err := s.reach(); err != nil {
		return err
	}
	return s.MemoryStore.Load(ctx, kind, each)
}

// Get implements [registry.SharedStore].
func (s *Store) Get(ctx context.Context, kind, id string) (registry.Record, error) {
	if _, err := s.reach(); err != nil {
		return registry.Record{}, err
	}
	h := s.Hub
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	held, ok := h.swapped[key{kind, id}]
	if ok {
		return held, nil
	}
	err := h.MemoryStore.Load(ctx, kind, func(found string, data []byte) error {
		if found == id {
			held = registry.Record{Kind: kind, ID: id, Data: data, Version: 1}
		}
		return nil
	})
	return held, err
}

// Swap implements [registry.SharedStore].
func (s *Store) Swap(_ context.Context, next registry.Record) (held registry.Record, at int64, err error) {
	if _, err := s.reach(); err != nil {
		return held, 0, err
	}
	h := s.Hub
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	where := key{next.Kind, next.ID}
	held = h.swapped[where]
	if held.Version != next.Version || held.Version == 0 && next.Data == nil {
		return held, 0, nil
	}
	at = int64(len(h.log)) + 2
	if next.Data == nil {
		delete(h.swapped, where)
		h.record(next.Kind, registry.Changes{At: at, Gone: []string{next.ID}})
		return registry.Record{}, at, nil
	}
	renewal := held.Version != 0 && !held.Until.IsZero() && !next.Until.IsZero() && string(held.Data) == string(next.Data)
	next.Data = slices.Clone(next.Data)
	if !renewal {
		next.Version = at
	}
	if h.swapped == nil {
		h.swapped = make(map[key]registry.Record)
	}
	h.swapped[where] = next
	changes := registry.Changes{At: at, Saved: []registry.Record{next}}
	if renewal {
		changes = registry.Changes{At: at, Renewed: []registry.Record{{Kind: next.Kind, ID: next.ID, Until: next.Until}}}
	}
	h.record(next.Kind, changes)
	return next, at, nil
}

// record tells the watchers.
func (h *Hub) record(kind string, changes registry.Changes) {
	h.log = append(h.log, change{kind, changes})
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// expire removes what has ended.
func (h *Hub) expire() {
	now := time.Now()
	for _, where := range slices.SortedFunc(maps.Keys(h.swapped), func(a, b key) int { return strings.Compare(a.id, b.id) }) {
		if until := h.swapped[where].Until; !until.IsZero() && !now.Before(until) {
			delete(h.swapped, where)
			h.record(where.kind, registry.Changes{At: int64(len(h.log)) + 2, Gone: []string{where.id}})
		}
	}
}

// quiet is for how long nothing happens by itself, at most 10 s.
func (h *Hub) quiet() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := 10 * time.Second
	for _, held := range h.swapped {
		if !held.Until.IsZero() {
			next = min(next, max(time.Millisecond, time.Until(held.Until)))
		}
	}
	return next
}

// Watch implements [registry.SharedStore].
func (s *Store) Watch(ctx context.Context, kind string) iter.Seq2[registry.Changes, error] {
	return func(yield func(registry.Changes, error) bool) {
		known, begun := 0, false // changes in the log that were yielded
		for ctx.Err() == nil {
			toggled, err := s.reach()
			if err != nil {
				if !yield(registry.Changes{}, err) {
					return
				}
				select {
				case <-toggled:
				case <-ctx.Done():
				}
				continue
			}
			news, changed := s.since(kind, known, begun)
			begun = true
			for _, changes := range news {
				known = int(changes.At) - 1
				if !yield(changes, nil) {
					return
				}
			}
			select {
			case <-changed:
			case <-toggled:
			case <-time.After(s.quiet()):
			case <-ctx.Done():
			}
		}
	}
}

// since returns what is new: everything at first, and something empty at least.
func (h *Hub) since(kind string, known int, begun bool) (news []registry.Changes, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	now := registry.Changes{At: int64(len(h.log)) + 1, Whole: !begun}
	if !begun {
		for where, held := range h.swapped {
			if where.kind == kind {
				now.Saved = append(now.Saved, held)
			}
		}
		slices.SortFunc(now.Saved, func(a, b registry.Record) int { return strings.Compare(a.ID, b.ID) })
		return []registry.Changes{now}, h.changed
	}
	for _, c := range h.log[known:] {
		if c.kind == kind {
			news = append(news, c.Changes)
		}
	}
	return append(news, now), h.changed
}
