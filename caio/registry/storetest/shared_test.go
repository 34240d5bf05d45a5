package storetest_test

import (
	"context"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/internal/sharedmem"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
)

// A badShared is a good store that several registries share but for one thing.
type badShared struct {
	registry.SharedStore
	swap  func(good registry.SharedStore, next registry.Record) (registry.Record, int64, error)
	watch func(registry.Changes) (changed registry.Changes, goOn bool)
}

func (b badShared) Swap(ctx context.Context, next registry.Record) (registry.Record, int64, error) {
	if b.swap == nil {
		return b.SharedStore.Swap(ctx, next)
	}
	return b.swap(b.SharedStore, next)
}

func (b badShared) Watch(ctx context.Context, kind string) iter.Seq2[registry.Changes, error] {
	return func(yield func(registry.Changes, error) bool) {
		for changes, err := range b.SharedStore.Watch(ctx, kind) {
			goOn := true
			if b.watch != nil {
				changes, goOn = b.watch(changes)
			}
			if !goOn || !yield(changes, err) {
				return
			}
		}
	}
}

func TestCheckFindsFaultsOfSharing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, test := range map[string]struct {
		store badShared
		finds string
	}{
		"compares nothing": {finds: "swapping: step 2", store: badShared{swap: func(good registry.SharedStore, next registry.Record) (registry.Record, int64, error) {
			held, err := good.Get(ctx, next.Kind, next.ID)
			if err != nil {
				return held, 0, err
			}
			next.Version = held.Version
			return good.Swap(ctx, next)
		}}},
		"says yes to all": {finds: "swapping: step 0", store: badShared{swap: func(good registry.SharedStore, next registry.Record) (registry.Record, int64, error) {
			held, _, err := good.Swap(ctx, next)
			return held, 1, err
		}}},
		"keeps what it holds to itself": {finds: "swapping: step 2", store: badShared{swap: func(good registry.SharedStore, next registry.Record) (registry.Record, int64, error) {
			held, at, err := good.Swap(ctx, next)
			if at == 0 {
				held = registry.Record{}
			}
			return held, at, err
		}}},
		"ends early": {finds: "watching: swap 1", store: badShared{swap: func(good registry.SharedStore, next registry.Record) (registry.Record, int64, error) {
			if !next.Until.IsZero() {
				next.Until = next.Until.Add(-time.Second)
			}
			return good.Swap(ctx, next)
		}}},
		"tells nobody": {finds: "the watch ended", store: badShared{watch: func(changes registry.Changes) (registry.Changes, bool) {
			return changes, changes.Whole
		}}},
		"tells of no removal": {finds: "watching: swap 5", store: badShared{watch: func(changes registry.Changes) (registry.Changes, bool) {
			changes.Gone = nil
			return changes, true
		}}},
		"tells of no renewal": {finds: "watching: swap 3", store: badShared{watch: func(changes registry.Changes) (registry.Changes, bool) {
			changes.Renewed = nil
			return changes, true
		}}},
		"begins in the middle": {finds: "watching: first", store: badShared{watch: func(changes registry.Changes) (registry.Changes, bool) {
			changes.Whole = false
			return changes, true
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hub := new(sharedmem.Hub)
			err := storetest.Check(t.Context(), func() (registry.Store, error) {
				store := test.store
				store.SharedStore = hub.Open()
				return store, nil
			})
			if err == nil || !strings.Contains(err.Error(), test.finds) {
				t.Errorf("Check: %v, want %q", err, test.finds)
			}
		})
	}
}
