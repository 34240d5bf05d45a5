package etcdstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/etcdtest"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/etcdstore"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// timeout of operations in these tests; what is refused is refused within it.
const timeout = time.Second

func newContract(t testing.TB, id, version string) *contract.Contract {
	t.Helper()
	ct, err := contract.Parse(id, fmt.Appendf(nil, `{"service_id": %q, "name": "S", "version": %q, "capabilities": ["chat"],
		"api": {"protocol": "http", "base_url": "http://localhost:8082", "endpoints": [{"path": "/chat", "method": "POST"}]}}`, id, version))
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

// A node is a registry with its store, as caioctl serve runs it.
type node struct {
	*registry.Registry
	client *caio.Client
	stop   func()
}

// startNode runs a registry until the test ends or stop is called.
func startNode(t *testing.T, endpoints []string, prefix string) *node {
	t.Helper()
	store, err := etcdstore.Open(etcdstore.Options{Endpoints: endpoints, Prefix: prefix, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.New(&registry.Options{Store: store})
	if err != nil {
		store.Close()
		t.Fatal(err)
	}
	server := httptest.NewServer(reg)
	client, err := caio.NewClient(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- reg.Run(ctx) }()
	stopped := false
	n := &node{reg, client, func() {
		if stopped {
			return
		}
		stopped = true
		server.Close()
		cancel()
		if err := errors.Join(<-ran, store.Close()); err != nil {
			t.Error(err)
		}
	}}
	t.Cleanup(n.stop)
	return n
}

func startNodes(t *testing.T, n int, endpoints []string, prefix string) []*node {
	t.Helper()
	var nodes []*node
	for range n {
		nodes = append(nodes, startNode(t, endpoints, prefix))
	}
	return nodes
}

// listed returns the ids and versions that the registry serves: "a=1.0.0 b=2.0.0".
func (n *node) listed(t testing.TB) string {
	t.Helper()
	services, err := n.client.Services(t.Context(), caio.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, service := range services {
		list = append(list, service.ID+"="+service.Version)
	}
	return strings.Join(list, " ")
}

// await waits until something is so; what it is not is a failure of the test.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("it does not happen that %s", what)
		}
	}
}

// The life of services over three registries, of which one is restarted.
func servesTheSame(t *testing.T, cluster *etcdtest.Cluster) {
	nodes := startNodes(t, 3, cluster.Endpoints(), "/registries/")
	everywhere := func(want string) {
		t.Helper()
		for i, n := range nodes {
			await(t, fmt.Sprintf("registry %d lists %q", i, want), func() bool { return n.listed(t) == want })
		}
	}
	if _, err := nodes[0].client.Register(t.Context(), newContract(t, "a", "1.0.0"), nil); err != nil {
		t.Fatal(err)
	}
	if got := nodes[0].listed(t); got != "a=1.0.0" {
		t.Errorf("where it was registered, %q is listed", got)
	}
	everywhere("a=1.0.0")
	decision, err := nodes[1].client.Route(t.Context(), caio.Request{Capabilities: []string{"chat"}})
	if err != nil || decision.ServiceID != "a" {
		t.Fatalf("registered at one, routed at another: %+v, %v", decision, err)
	}
	if _, err := nodes[2].client.Register(t.Context(), newContract(t, "a", "2.0.0"), nil); !errors.Is(err, caio.ErrAlreadyRegistered) {
		t.Errorf("the id is taken, but: %v", err)
	}

	// Hot swap: the new one comes at one registry before the old one goes at another. Callers always find one.
	swapped, stop := make(chan error, 1), make(chan struct{})
	go func() {
		for {
			if _, err := nodes[0].client.Route(t.Context(), caio.Request{Capabilities: []string{"chat"}}); err != nil {
				swapped <- err
				return
			}
			select {
			case <-stop:
				swapped <- nil
				return
			default:
			}
		}
	}()
	_, registering := nodes[1].client.Register(t.Context(), newContract(t, "b", "1.0.0"), nil)
	everywhere("a=1.0.0 b=1.0.0")
	unregistering := nodes[2].client.Unregister(t.Context(), "a")
	everywhere("b=1.0.0")
	close(stop)
	if err := errors.Join(registering, unregistering, <-swapped); err != nil {
		t.Errorf("during the swap: %v", err)
	}
	if err := nodes[1].client.Unregister(t.Context(), "a"); !errors.Is(err, caio.ErrNotFound) {
		t.Errorf("removed a second time: %v", err)
	}

	nodes[1].stop()
	if _, err := nodes[0].client.Register(t.Context(), newContract(t, "c", "1.0.0"), nil); err != nil {
		t.Fatal(err)
	}
	nodes[1] = startNode(t, cluster.Endpoints(), "/registries/")
	if got := nodes[1].listed(t); got != "b=1.0.0 c=1.0.0" {
		t.Errorf("restarted, %q is listed", got)
	}
	for i, n := range nodes {
		trace, err := n.client.Trace(t.Context(), decision.DecisionID)
		if err != nil || registry.Verify(trace.Raw) != nil {
			t.Errorf("the trace, also after its registry has gone, at registry %d: %v", i, err)
		}
	}
}

// A lease ends everywhere, and in etcd, although the registry that granted it has stopped; renewed at any, it goes on.
func endsLeases(t *testing.T, cluster *etcdtest.Cluster) {
	nodes := startNodes(t, 3, cluster.Endpoints(), "/leases/")
	kept, ending := newContract(t, "kept", "1.0.0"), newContract(t, "ending", "1.0.0")
	for _, ct := range []*contract.Contract{kept, ending} {
		if _, err := nodes[0].Register(t.Context(), ct, &caio.RegisterOptions{TTL: 2 * time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	end := time.Now().Add(2 * time.Second)
	nodes[0].stop()
	await(t, "it is at the others", func() bool {
		return nodes[1].listed(t) == "ending=1.0.0 kept=1.0.0" && nodes[2].listed(t) == "ending=1.0.0 kept=1.0.0"
	})
	if _, err := nodes[1].Register(t.Context(), kept, &caio.RegisterOptions{TTL: 2 * time.Second}); err != nil { // a renewal
		t.Fatal(err)
	}
	if _, err := nodes[2].Register(t.Context(), kept, &caio.RegisterOptions{TTL: time.Hour}); err != nil { // a longer lease
		t.Fatal(err)
	}
	for _, n := range nodes[1:] {
		await(t, "the lease ends", func() bool {
			before := time.Now()
			_, err := n.Service(t.Context(), "ending")
			if err == nil && before.After(end) {
				t.Error("it is served after its end")
			}
			return err != nil
		})
	}
	client := cluster.Client(t)
	await(t, "etcd removes it", func() bool {
		held, err := client.Get(t.Context(), "/leases/service/data/ending")
		return err == nil && held.Count == 0
	})
	if got := nodes[1].listed(t); got != "kept=1.0.0" {
		t.Errorf("after the end %q is listed", got)
	}
}

// A registry that no member can be reached from serves what it knows, and nothing longer than its lease; it refuses
// changes, and catches up, even if etcd has compacted what happened in the meantime.
func survivesPartition(t *testing.T, cluster *etcdtest.Cluster) {
	links := cluster.Links(t)
	far, near := startNode(t, links.Endpoints(), "/partition/"), startNode(t, cluster.Endpoints(), "/partition/")
	leased := newContract(t, "leased", "1.0.0")
	for _, id := range []string{"stays", "goes", "changes"} {
		if _, err := near.Register(t.Context(), newContract(t, id, "1.0.0"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := near.Register(t.Context(), leased, &caio.RegisterOptions{TTL: 3 * time.Second}); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(3 * time.Second)
	const before = "changes=1.0.0 goes=1.0.0 leased=1.0.0 stays=1.0.0"
	await(t, "all is known", func() bool { return far.listed(t) == before })
	links.Cut()
	if _, err := near.Register(t.Context(), leased, &caio.RegisterOptions{TTL: time.Hour}); err != nil { // the far one cannot know
		t.Fatal(err)
	}
	for _, id := range []string{"goes", "changes"} {
		if err := near.Unregister(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := near.Register(t.Context(), newContract(t, "changes", "2.0.0"), nil); err != nil {
		t.Fatal(err)
	}
	var refusal *caio.Error
	if _, err := far.Register(t.Context(), newContract(t, "new", "1.0.0"), nil); !errors.As(err, &refusal) || refusal.Status != 503 || !strings.Contains(err.Error(), "does not answer within 1s") {
		t.Errorf("cut off, Register: %v", err)
	}
	if _, err := far.client.Route(t.Context(), caio.Request{Capabilities: []string{"chat"}}); err != nil {
		t.Errorf("cut off, Route: %v", err)
	}
	await(t, "it notices", func() bool {
		health, err := far.client.Health(t.Context())
		return err == nil && health.Status == "degraded"
	})
	await(t, "the lease ends", func() bool {
		now, got := time.Now(), far.listed(t)
		if strings.Contains(got, "leased") && now.After(end) {
			t.Error("cut off, it serves a lease after its end")
		}
		return got == "changes=1.0.0 goes=1.0.0 stays=1.0.0"
	})
	client := cluster.Client(t)
	if answer, err := client.Get(t.Context(), "x"); err != nil {
		t.Fatal(err)
	} else if _, err := client.Compact(t.Context(), answer.Header.Revision); err != nil {
		t.Fatal(err)
	}
	links.Mend()
	await(t, "it catches up", func() bool { return far.listed(t) == near.listed(t) })
	if got := near.listed(t); !strings.Contains(got, "changes=2.0.0 leased=1.0.0") || strings.Contains(got, "goes") {
		t.Errorf("listed %q", got)
	}
	await(t, "it is well", func() bool {
		health, err := far.client.Health(t.Context())
		return err == nil && health.Status == "healthy"
	})
	if _, err := far.Register(t.Context(), newContract(t, "new", "1.0.0"), nil); err != nil {
		t.Errorf("mended, Register: %v", err)
	}
}

// A registry that reaches one member only, whichever, works.
func changesMembers(t *testing.T, cluster *etcdtest.Cluster) {
	links := cluster.Links(t)
	far, near := startNode(t, links.Endpoints(), "/part/"), startNode(t, cluster.Endpoints(), "/part/")
	for _, i := range []int{0, 2} {
		for j, link := range links {
			if j != i {
				link.Cut()
			}
		}
		id := fmt.Sprintf("far-%d", i)
		await(t, "it registers", func() bool { // until it has noticed that some members are gone, it may give up
			_, err := far.Register(t.Context(), newContract(t, id, "1.0.0"), nil)
			return err == nil
		})
		if _, err := near.Service(t.Context(), id); err != nil {
			await(t, "the other registry knows", func() bool { _, err := near.Service(t.Context(), id); return err == nil })
		}
		id = fmt.Sprintf("near-%d", i)
		if _, err := near.Register(t.Context(), newContract(t, id, "1.0.0"), nil); err != nil {
			t.Fatal(err)
		}
		await(t, "it hears of others", func() bool { _, err := far.Service(t.Context(), id); return err == nil })
		for j, link := range links {
			if j != i {
				link.Mend()
			}
		}
	}
}
