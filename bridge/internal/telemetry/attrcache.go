package telemetry

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// maxAttrSets bounds the sets in one cache. Names of models come from outside.
const maxAttrSets = 1024

// An attrCache caches the attributes of measurements by key. To build a set costs more than to
// measure. It is safe for concurrent use.
type attrCache[K comparable] struct {
	mu   sync.RWMutex
	sets map[K]*attrSet
}

// An attrSet holds attributes as options of instruments, so that a measurement allocates no slice.
type attrSet struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// get returns the set of a key. It calls build for a new key.
func (c *attrCache[K]) get(key K, build func() []attribute.KeyValue) *attrSet {
	c.mu.RLock()
	known := c.sets[key]
	c.mu.RUnlock()
	if known != nil {
		return known
	}
	option := metric.WithAttributeSet(attribute.NewSet(build()...))
	set := &attrSet{[]metric.AddOption{option}, []metric.RecordOption{option}}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sets == nil {
		c.sets = map[K]*attrSet{}
	}
	if len(c.sets) < maxAttrSets {
		c.sets[key] = set
	}
	return set
}
