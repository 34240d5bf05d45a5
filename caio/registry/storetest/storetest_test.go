package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/boltstore"
	"github.com/smarthaus/caio-bridge-go/caio/registry/internal/sharedmem"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryStore(t *testing.T) {
	t.Parallel()
	store := new(storetest.MemoryStore)
	if err := storetest.Check(t.Context(), func() (registry.Store, error) { return store, nil }); err != nil {
		t.Error(err)
	}
}

func TestSharedStore(t *testing.T) {
	t.Parallel()
	hub := new(sharedmem.Hub)
	if err := storetest.Check(t.Context(), func() (registry.Store, error) { return hub.Open(), nil }); err != nil {
		t.Error(err)
	}
}

// A store that cannot be opened is not used.
func TestCheckOpens(t *testing.T) {
	t.Parallel()
	fault := errors.New("the disk is gone")
	err := storetest.Check(t.Context(), func() (registry.Store, error) { return (*boltstore.Store)(nil), fault })
	if !errors.Is(err, fault) {
		t.Errorf("Check: %v, want %v", err, fault)
	}
}

// A bad store is a good one but for one thing.
type bad struct {
	registry.Store
	save func(store registry.Store, records []registry.Record) error
	load func(store registry.Store, kind string, each func(string, []byte) error) error
}

func (b bad) Save(ctx context.Context, records ...registry.Record) error {
	if b.save == nil {
		return b.Store.Save(ctx, records...)
	}
	return b.save(b.Store, records)
}

func (b bad) Load(ctx context.Context, kind string, each func(string, []byte) error) error {
	if b.load == nil {
		return b.Store.Load(ctx, kind, each)
	}
	return b.load(b.Store, kind, each)
}

// The kit finds what is wrong with stores that are wrong in one way each.
func TestCheckFindsFaults(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, test := range map[string]struct {
		store bad
		finds string
		fresh bool // the store forgets when it is opened again
	}{
		"forgetful": {fresh: true, finds: "opened again"},
		"deletes nothing": {finds: "records: it holds", store: bad{save: func(s registry.Store, records []registry.Record) error {
			for _, r := range records {
				if r.Data == nil && r.ID != "" {
					r.Data = []byte("deleted")
				}
				if err := s.Save(ctx, r); err != nil {
					return err
				}
			}
			return nil
		}}},
		"one at a time": {finds: "faulty records: after a refused Save", store: bad{save: func(s registry.Store, records []registry.Record) error {
			for _, r := range records {
				if err := s.Save(ctx, r); err != nil {
					return err
				}
			}
			return nil
		}}},
		"takes anything": {finds: "the store saves", store: bad{save: func(s registry.Store, records []registry.Record) error {
			for i := range records {
				records[i].ID += strings.Repeat("?", 1-min(1, len(records[i].ID)))
				records[i].Kind += strings.Repeat("?", 1-min(1, len(records[i].Kind)))
			}
			return s.Save(ctx, records...)
		}}},
		"one kind": {finds: "records: it holds", store: bad{load: func(s registry.Store, _ string, each func(string, []byte) error) error {
			return s.Load(ctx, "service", each)
		}}},
		"goes on after errors": {finds: "want the caller's error", store: bad{load: func(s registry.Store, kind string, each func(string, []byte) error) error {
			return s.Load(ctx, kind, func(id string, data []byte) error { each(id, data); return nil })
		}}},
		"cuts long data": {finds: "odd records", store: bad{save: func(s registry.Store, records []registry.Record) error {
			for i := range records {
				records[i].Data = records[i].Data[:min(len(records[i].Data), 1<<16)]
			}
			return s.Save(ctx, records...)
		}}},
		"empty is nothing": {finds: "odd records", store: bad{save: func(s registry.Store, records []registry.Record) error {
			for i := range records {
				if len(records[i].Data) == 0 {
					records[i].Data = nil
				}
			}
			return s.Save(ctx, records...)
		}}},
		"keeps the caller's data": {finds: "data of callers", store: bad{Store: &keeper{data: map[string][]byte{}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := test.store
			if store.Store == nil {
				store.Store = new(storetest.MemoryStore)
			}
			err := storetest.Check(t.Context(), func() (registry.Store, error) {
				if test.fresh {
					store.Store = new(storetest.MemoryStore)
				}
				return store, nil
			})
			if err == nil || !strings.Contains(err.Error(), test.finds) {
				t.Errorf("Check: %v, want %q", err, test.finds)
			}
		})
	}
}

// A keeper is a MemoryStore that, for traces, keeps what callers may change afterwards.
type keeper struct {
	storetest.MemoryStore
	data map[string][]byte
}

func (k *keeper) Save(ctx context.Context, records ...registry.Record) error {
	for _, r := range records {
		if r.Kind == "trace" && bytes.Equal(r.Data, []byte("data")) {
			k.data[r.ID] = r.Data
		}
	}
	return k.MemoryStore.Save(ctx, records...)
}

func (k *keeper) Load(ctx context.Context, kind string, each func(string, []byte) error) error {
	return k.MemoryStore.Load(ctx, kind, func(id string, data []byte) error {
		if kept, ok := k.data[id]; ok && kind == "trace" {
			data = kept
		}
		return each(id, data)
	})
}
