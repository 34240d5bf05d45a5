package bridge

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const (
	maxLabels    = 6
	maxLabelSets = 4096
)

// labelSets remembers the sets of attributes of measurements: there are few, and to make one costs more than to measure.
type labelSets struct {
	mu   sync.RWMutex
	sets map[[maxLabels]attribute.KeyValue]metric.MeasurementOption
}

// of returns the option that gives a measurement these attributes, at most maxLabels of them, in an order that is always
// the same.
func (l *labelSets) of(attrs ...attribute.KeyValue) metric.MeasurementOption {
	var key [maxLabels]attribute.KeyValue
	copy(key[:], attrs)
	l.mu.RLock()
	option, ok := l.sets[key]
	l.mu.RUnlock()
	if ok {
		return option
	}
	option = metric.WithAttributeSet(attribute.NewSet(slices.Clone(attrs)...))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sets == nil {
		l.sets = map[[maxLabels]attribute.KeyValue]metric.MeasurementOption{}
	}
	if len(l.sets) < maxLabelSets { // names of models come from outside
		l.sets[key] = option
	}
	return option
}
