package etcdstore_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/caio/internal/etcdtest"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/etcdstore"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// On a cluster that works.
func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, 3)
	for name, test := range map[string]func(*testing.T, *etcdtest.Cluster){
		"kit":                  passesKit,
		"bounds":               keepsBounds,
		"large lists":          readsLargeLists,
		"registries":           servesTheSame,
		"cut off":              survivesPartition,
		"cut off from a part":  changesMembers,
		"leases without owner": endsLeases,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, cluster)
		})
	}
}

func passesKit(t *testing.T, cluster *etcdtest.Cluster) {
	err := storetest.Check(t.Context(), func() (registry.Store, error) {
		return etcdstore.Open(etcdstore.Options{Endpoints: cluster.Endpoints(), Prefix: "/kit/"})
	})
	if err != nil {
		t.Error(err)
	}
}

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

// What does not fit is refused here, with words, instead of by etcd.
func keepsBounds(t *testing.T, cluster *etcdtest.Cluster) {
	store := open(t, etcdstore.Options{Endpoints: cluster.Endpoints(), Prefix: "/bounds/"})
	large, many := make([]byte, 2_000_000), make([]registry.Record, 200)
	for i := range many {
		many[i] = registry.Record{Kind: "trace", ID: strings.Repeat("x", i+1), Data: []byte("1")}
	}
	_, _, swapping := store.Swap(t.Context(), registry.Record{Kind: "service", ID: "x", Data: large})
	for name, err := range map[string]error{
		"2000000 bytes": swapping,
		"1250000":       store.Save(t.Context(), registry.Record{Kind: "trace", ID: "x", Data: large[:700_000]}, registry.Record{Kind: "trace", ID: "y", Data: large[:700_000]}),
		"200 records":   store.Save(t.Context(), many...),
		"id has":        store.Save(t.Context(), registry.Record{Kind: "trace", ID: strings.Repeat("x", 2000), Data: []byte("1")}),
		"slash":         store.Save(t.Context(), registry.Record{Kind: "trace/y", ID: "x", Data: []byte("1")}),
	} {
		if err == nil || !strings.Contains(err.Error(), name) || len(err.Error()) > 300 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A list of several pages is whole, and as it was at one time.
func readsLargeLists(t *testing.T, cluster *etcdtest.Cluster) {
	store := open(t, etcdstore.Options{Endpoints: cluster.Endpoints(), Prefix: "/large/"})
	var records []registry.Record
	for a := range 50 {
		for b := range 10 {
			records = append(records, registry.Record{Kind: "trace", ID: string(rune('A'+a)) + string(rune('0'+b)), Data: []byte("1")})
		}
	}
	for len(records) > 0 {
		if err := store.Save(t.Context(), records[:100]...); err != nil {
			t.Fatal(err)
		}
		records = records[100:]
	}
	var ids []string
	if err := store.Load(t.Context(), "trace", func(id string, _ []byte) error { ids = append(ids, id); return nil }); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(ids, ""); len(ids) != 500 || !strings.HasPrefix(text, "A0A1") || !strings.HasSuffix(text, "r8r9") {
		t.Errorf("%d ids: %s", len(ids), text)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts etcdstore.Options
		want string
	}{
		"no endpoint":       {etcdstore.Options{}, "127.0.0.1:2379"},
		"no port":           {etcdstore.Options{Endpoints: []string{"etcd.example"}}, "endpoint 1 is not host:port"},
		"a path":            {etcdstore.Options{Endpoints: []string{"127.0.0.1:2379", "http://127.0.0.1:2379/v3"}}, "endpoint 2"},
		"a password in it":  {etcdstore.Options{Endpoints: []string{"http://user:canary@127.0.0.1:2379"}}, "endpoint 1"},
		"http and https":    {etcdstore.Options{Endpoints: []string{"http://127.0.0.1:1", "https://127.0.0.1:2"}}, "one or the other"},
		"TLS without https": {etcdstore.Options{Endpoints: []string{"http://127.0.0.1:1"}, TLS: new(tls.Config)}, "write https"},
		"no password":       {etcdstore.Options{Endpoints: []string{"127.0.0.1:2379"}, Username: "caio"}, "needs a password"},
		"timeout":           {etcdstore.Options{Endpoints: []string{"127.0.0.1:2379"}, Timeout: time.Hour}, "1m"},
		"prefix":            {etcdstore.Options{Endpoints: []string{"127.0.0.1:2379"}, Prefix: strings.Repeat("x", 2000)}, "prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := etcdstore.Open(test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("Open: %v, want %q", err, test.want)
			}
		})
	}
}

// A registry that cannot reach etcd does not start, and says what to look at.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	store := open(t, etcdstore.Options{Endpoints: []string{"127.0.0.1:1"}, Timeout: 300 * time.Millisecond})
	if _, err := registry.New(&registry.Options{Store: store}); err == nil || !strings.Contains(err.Error(), "etcd at http://127.0.0.1:1 does not answer within 300ms: does it run") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("New: %v", err)
	}
}
