package registry

import (
	"sync"
)

// A traceRing remembers the latest traces.
type traceRing struct {
	mu   sync.RWMutex
	byID map[string][]byte
	ring []string // ids in the order they came, once full the oldest at next
	next int
}

func newTraceRing(capacity int) *traceRing {
	return &traceRing{byID: make(map[string][]byte), ring: make([]string, 0, capacity)}
}

func (t *traceRing) add(id string, trace []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ring) < cap(t.ring) {
		t.ring = append(t.ring, id)
	} else {
		delete(t.byID, t.ring[t.next])
		t.ring[t.next] = id
		t.next = (t.next + 1) % len(t.ring)
	}
	t.byID[id] = trace
}

func (t *traceRing) get(id string) ([]byte, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	trace, ok := t.byID[id]
	return trace, ok
}
