package registry

import "sync"

// meanTrace is how much a trace may take, in the mean of those that are remembered. Most take some kilobytes, but that of a
// chain has contracts of all its steps.
const meanTrace = 64 << 10

// A traceLog remembers the latest traces, and which of them are still to be stored.
type traceLog struct {
	capacity int
	changed  chan struct{} // nil if nothing is stored

	mu      sync.RWMutex
	byID    map[string][]byte
	order   []string // ids in the order they came
	size    int      // of all traces
	pending []string // ids to be stored, in the order they came
	evicted []string // ids that are stored and forgotten here
}

func newTraceLog(capacity int, stored bool) *traceLog {
	t := &traceLog{capacity: capacity, byID: make(map[string][]byte)}
	if stored {
		t.changed = make(chan struct{}, 1)
	}
	return t
}

// overflows reports whether so many traces are too many, or too large. The latest is never.
func (t *traceLog) overflows(count, size int) bool {
	return count > t.capacity || count > 1 && size > t.capacity*meanTrace
}

// add remembers a trace, and forgets the oldest for it. What is larger than a [Store] takes is not stored.
func (t *traceLog) add(id string, trace []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order, t.size = append(t.order, id), t.size+len(trace)
	t.byID[id] = trace
	for t.overflows(len(t.order), t.size) {
		t.evict()
	}
	if t.changed == nil || len(trace) > maxBatchBytes {
		return
	}
	t.pending = append(t.pending, id)
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// evict forgets the oldest. What is pending and evicted is bounded by the capacity, also if nobody stores it.
func (t *traceLog) evict() {
	id := t.order[0]
	t.order, t.size = t.order[1:], t.size-len(t.byID[id])
	delete(t.byID, id)
	switch {
	case t.changed == nil:
	case len(t.pending) > 0 && t.pending[0] == id:
		t.pending = t.pending[1:]
	case len(t.evicted) < t.capacity:
		t.evicted = append(t.evicted, id)
	}
}

// unsaved returns what has to be stored, and takes it as stored.
func (t *traceLog) unsaved() []Record {
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
func (t *traceLog) settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = nil
}

func (t *traceLog) get(id string) ([]byte, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	trace, ok := t.byID[id]
	return trace, ok
}

// latest returns up to n traces, the latest first.
func (t *traceLog) latest(n int) [][]byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var traces [][]byte
	for i := range min(n, len(t.order)) {
		traces = append(traces, t.byID[t.order[len(t.order)-1-i]])
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
