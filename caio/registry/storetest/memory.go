package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// A MemoryStore is a [registry.Store] in memory. It outlives registries, but not the process. The
// zero value is empty. It is safe for concurrent use.
type MemoryStore struct {
	mu      sync.Mutex
	records map[[2]string][]byte // by kind and id
}

// Load implements [registry.Store].
func (s *MemoryStore) Load(_ context.Context, kind string, each func(id string, data []byte) error) error {
	s.mu.Lock()
	records := maps.Clone(s.records)
	s.mu.Unlock()
	byID := func(a, b [2]string) int { return cmp.Compare(a[1], b[1]) }
	for _, key := range slices.SortedFunc(maps.Keys(records), byID) {
		if key[0] != kind {
			continue
		}
		if err := each(key[1], bytes.Clone(records[key])); err != nil {
			return err
		}
	}
	return nil
}

// Save implements [registry.Store].
func (s *MemoryStore) Save(_ context.Context, records ...registry.Record) error {
	if slices.ContainsFunc(records, func(r registry.Record) bool { return r.Kind == "" || r.ID == "" }) {
		return errors.New("a record has no kind or no id")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records == nil {
		s.records = make(map[[2]string][]byte)
	}
	for _, r := range records {
		key := [2]string{r.Kind, r.ID}
		if r.Data == nil {
			delete(s.records, key)
			continue
		}
		s.records[key] = bytes.Clone(r.Data)
	}
	return nil
}
