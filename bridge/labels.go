package bridge

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const maxLabelSets = 1024 // of one kind

// labels remembers the attributes of measurements by what these are about: there are few, and to make them costs more than
// to measure. It is safe for concurrent use.
type labels[K comparable] struct {
	mu    sync.RWMutex
	known map[K]*label
}

// A label is a set of attributes as instruments want it, which spares them a slice for each measurement.
type label struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// of returns the label of a key, whose attributes make returns if it is new.
func (l *labels[K]) of(key K, make func() []attribute.KeyValue) *label {
	l.mu.RLock()
	known := l.known[key]
	l.mu.RUnlock()
	if known != nil {
		return known
	}
	option := metric.WithAttributeSet(attribute.NewSet(make()...))
	fresh := &label{[]metric.AddOption{option}, []metric.RecordOption{option}}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[K]*label{}
	}
	if len(l.known) < maxLabelSets { // names of models come from outside
		l.known[key] = fresh
	}
	return fresh
}
