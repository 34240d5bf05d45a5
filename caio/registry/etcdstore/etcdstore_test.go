package etcdstore_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/caio/internal/etcdtest"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/etcdstore"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, opts etcdstore.Options) *etcdstore.Store {
	t.Helper()
	store, err := etcdstore.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func TestKit(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, 3)
	err := storetest.Check(t.Context(), func() (registry.Store, error) {
		return etcdstore.Open(etcdstore.Options{Endpoints: cluster.Endpoints(), Prefix: "/kit/"})
	})
	if err != nil {
		t.Error(err)
	}
}
