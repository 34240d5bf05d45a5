package jobstore

import (
	"maps"
	"slices"
	"sync"
)

// memory is a store that lives as long as the process.
type memory struct {
	mu      sync.Mutex
	records map[string][]byte // nil once closed
}

// NewMemory returns an empty store.
func NewMemory() Store { return &memory{records: map[string][]byte{}} }

func (m *memory) Put(id string, value []byte) error {
	return m.do(func() error {
		m.records[id] = value
		return nil
	})
}

func (m *memory) Get(id string) (value []byte, err error) {
	err = m.do(func() error {
		var ok bool
		if value, ok = m.records[id]; !ok {
			return ErrNotFound
		}
		return nil
	})
	return value, err
}

func (m *memory) Delete(ids ...string) error {
	return m.do(func() error {
		for _, id := range ids {
			delete(m.records, id)
		}
		return nil
	})
}

func (m *memory) All(f func(string, []byte) error) error {
	return m.do(func() error {
		for _, id := range slices.Sorted(maps.Keys(m.records)) {
			if err := f(id, m.records[id]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = nil
	return nil
}

func (m *memory) do(f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records == nil {
		return ErrClosed
	}
	return f()
}
