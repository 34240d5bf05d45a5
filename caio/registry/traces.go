package registry

import "sync"

// A traceRing remembers the latest traces, and which of them are still to be stored.
type traceRing struct {
	changed chan struct{} // nil if nothing is stored

	mu      sync.RWMutex
	byID    map[string][]byte
	ring    []string // ids in the order they came, once full the oldest at next
	next    int
	pending []string // ids to be stored, in the order they came
	evicted []string // ids that are stored and forgotten here
}

func newTraceRing(capacity int, stored bool) *traceRing {
	t := &traceRing{byID: make(map[string][]byte), ring: make([]string, 0, capacity)}
	if stored {
		t.changed = make(chan struct{}, 1)
	}
	return t
}

func (t *traceRing) add(id string, trace []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ring) < cap(t.ring) {
		t.ring = append(t.ring, id)
	} else {
		t.evict(t.ring[t.next])
		t.ring[t.next] = id
		t.next = (t.next + 1) % len(t.ring)
	}
	t.byID[id] = trace
	if t.changed == nil {
		return
	}
	t.pending = append(t.pending, id)
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// evict forgets the oldest. What is pending and evicted is bounded by the capacity, also if nobody stores it.
func (t *traceRing) evict(id string) {
	delete(t.byID, id)
	switch {
	case t.changed == nil:
	case len(t.pending) > 0 && t.pending[0] == id:
		t.pending = t.pending[1:]
	case len(t.evicted) < cap(t.ring):
		t.evicted = append(t.evicted, id)
	}
}

// unsaved returns what has to be stored, and takes it as stored.
func (t *traceRing) unsaved() []Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	records := make([]Record, 0, len(t.pending)+len(t.evicted))
	for _, id := range t.pending {
		records = append(records, Record{Kind: kindTrace, ID: id, Data: t.byID[id]})
	}
	for _, id := range t.evicted {
		records = append(records, Record{Kind: kindTrace, ID: id})
	}
	t.pending, t.evicted = nil, nil
	return records
}

// settle takes all traces as stored, except those that were evicted.
func (t *traceRing) settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = nil
}

func (t *traceRing) get(id string) ([]byte, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	trace, ok := t.byID[id]
	return trace, ok
}

// latest returns up to n traces, the latest first.
func (t *traceRing) latest(n int) [][]byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var traces [][]byte
	for i := range min(n, len(t.ring)) {
		at := (t.next - 1 - i + 2*len(t.ring)) % len(t.ring) // next is 0 until the ring is full
		traces = append(traces, t.byID[t.ring[at]])
	}
	return traces
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
