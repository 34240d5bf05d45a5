package jobs

import (
	"errors"
	"maps"
	"slices"
	"sync"
)

// A Backend keeps records under ids. Its rules are those of bridge.JobStore.
type Backend interface {
	Put(id string, value []byte) error
	Get(id string) ([]byte, error)
	Delete(ids ...string) error
	All(f func(id string, value []byte) error) error
	Writable() error
	Close() error
}

var errClosed = errors.New("jobs: the store is closed")

// memory is a Backend that lives as long as the process.
type memory struct {
	mu      sync.Mutex
	records map[string][]byte // nil once closed
}

// NewMemory returns an empty Backend in memory.
func NewMemory() Backend { return &memory{records: map[string][]byte{}} }

func (m *memory) Put(id string, value []byte) error {
	return m.do(func() error {
		m.records[id] = value
		return nil
	})
}

func (m *memory) Get(id string) (value []byte, err error) {
	err = m.do(func() error {
		value = m.records[id]
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

func (m *memory) Writable() error { return nil }

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
		return errClosed
	}
	return f()
}
