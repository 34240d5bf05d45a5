package registry

import (
	"sync"

	"github.com/smarthaus/caio-bridge-go/caio"
)

// A traceRing remembers the latest decisions.
type traceRing struct {
	mu   sync.RWMutex
	byID map[string]*caio.Trace
	ring []string // ids in the order they came, once full the oldest at next
	next int
}

func newTraceRing(capacity int) *traceRing {
	return &traceRing{byID: make(map[string]*caio.Trace), ring: make([]string, 0, capacity)}
}

func (t *traceRing) add(trace *caio.Trace) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ring) < cap(t.ring) {
		t.ring = append(t.ring, trace.DecisionID)
	} else {
		delete(t.byID, t.ring[t.next])
		t.ring[t.next] = trace.DecisionID
		t.next = (t.next + 1) % len(t.ring)
	}
	t.byID[trace.DecisionID] = trace
}

func (t *traceRing) get(id string) (*caio.Trace, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	trace, ok := t.byID[id]
	return trace, ok
}
