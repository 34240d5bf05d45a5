package etcdstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/etcdtest"
)

// On a cluster whose members are killed.
func TestKilledMembers(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, 3)
	t.Run("leader", func(t *testing.T) { losesLeader(t, cluster) })
	t.Run("majority", func(t *testing.T) { losesMajority(t, cluster) })
	t.Run("history", func(t *testing.T) { keepsHistory(t, cluster) })
}

// The loss of the leader costs callers a moment at most. Leases, which etcd starts anew then, still end in time.
func losesLeader(t *testing.T, cluster *etcdtest.Cluster) {
	nodes := startNodes(t, 2, cluster.Endpoints(), "/leader/")
	if _, err := nodes[0].Register(t.Context(), newContract(t, "leased", "1.0.0"), &caio.RegisterOptions{TTL: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(2 * time.Second)
	leader := cluster.Leader(t)
	leader.Kill()
	var want []string
	for i := range 10 {
		id := fmt.Sprintf("service-%d", i)
		if _, err := nodes[i%2].client.Register(t.Context(), newContract(t, id, "1.0.0"), nil); err != nil {
			t.Fatalf("during the election, which the client's attempts outlast: %v", err)
		}
		want = append(want, id+"=1.0.0")
	}
	leader.Restart(t)
	for i, n := range nodes {
		await(t, fmt.Sprintf("the lease ends at registry %d", i), func() bool {
			now := time.Now()
			listed := n.listed(t)
			if strings.Contains(listed, "leased") && now.After(end) {
				t.Error("it is served after its end")
			}
			return listed == strings.Join(want, " ")
		})
	}
	if _, err := nodes[1].Register(t.Context(), newContract(t, "leased", "2.0.0"), nil); err != nil {
		t.Errorf("the id is free after the end, but: %v", err)
	}
}

// Without a majority nothing is registered, and everything served; with it, all goes on by itself.
func losesMajority(t *testing.T, cluster *etcdtest.Cluster) {
	n := startNode(t, cluster.Endpoints(), "/majority/")
	if _, err := n.Register(t.Context(), newContract(t, "a", "1.0.0"), nil); err != nil {
		t.Fatal(err)
	}
	cluster.Members[0].Kill()
	cluster.Members[1].Kill()
	var refusal *caio.Error
	if _, err := n.Register(t.Context(), newContract(t, "b", "1.0.0"), nil); !errors.As(err, &refusal) || refusal.Status != 503 {
		t.Errorf("without a majority: %v", err)
	}
	await(t, "it notices", func() bool {
		health, err := n.client.Health(t.Context())
		return err == nil && health.Status == "degraded"
	})
	if decision, err := n.client.Route(t.Context(), caio.Request{Capabilities: []string{"chat"}}); err != nil || decision.ServiceID != "a" {
		t.Errorf("without a majority it does not route: %v", err)
	}
	var both sync.WaitGroup
	for _, m := range cluster.Members[:2] {
		both.Go(func() { m.Restart(t) })
	}
	both.Wait()
	await(t, "it registers again", func() bool {
		_, err := n.Register(t.Context(), newContract(t, "b", "1.0.0"), nil)
		return err == nil
	})
	await(t, "it is well", func() bool {
		health, err := n.client.Health(t.Context())
		return err == nil && health.Status == "healthy"
	})
}

// A history is what a caller was told about its services.
type history struct {
	there     map[string]string // versions, by id
	uncertain map[string]bool   // ids whose last change was neither acknowledged nor refused
	changes   int
}

// keepsHistory lets callers register and unregister at random registries while members and registries go and come. What
// was acknowledged is so afterwards, at all registries alike.
func keepsHistory(t *testing.T, cluster *etcdtest.Cluster) {
	const callers, kills = 4, 5
	nodes := startNodes(t, 3, cluster.Endpoints(), "/history/")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	histories := make([]history, callers)
	for i := range histories {
		running.Go(func() { histories[i] = live(ctx, t, fmt.Sprintf("caller-%d", i), nodes) })
	}
	for i := range kills {
		down := []*etcdtest.Member{cluster.Leader(t)}
		if i%2 == 1 { // and with it the majority
			down = append(down, cluster.Members[(slices.Index(cluster.Members, down[0])+1)%3])
		}
		for _, m := range down {
			m.Kill()
		}
		pause(ctx, time.Duration(rand.IntN(1500))*time.Millisecond)
		var restarting sync.WaitGroup
		for _, m := range down {
			restarting.Go(func() { m.Restart(t) })
		}
		restarting.Wait()
		pause(ctx, time.Duration(rand.IntN(300))*time.Millisecond)
	}
	cancel()
	running.Wait()

	fresh := startNode(t, cluster.Endpoints(), "/history/")
	for i, n := range nodes {
		await(t, fmt.Sprintf("registry %d agrees with a new one", i), func() bool { return n.listed(t) == fresh.listed(t) })
	}
	held := make(map[string]string)
	services, err := fresh.Services(t.Context(), caio.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range services {
		held[service.ID] = service.Version
	}
	changes, uncertain := 0, 0
	for _, h := range histories {
		changes, uncertain = changes+h.changes, uncertain+len(h.uncertain)
		for _, id := range slices.Sorted(maps.Keys(h.there)) {
			if version := h.there[id]; held[id] != version && !h.uncertain[id] {
				t.Errorf("%s %s was acknowledged, and %q is there", id, version, held[id])
			}
		}
		for id := range h.uncertain {
			delete(held, id)
		}
		for id := range h.there {
			delete(held, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(held)) {
		t.Errorf("%s is there, and its removal was acknowledged", id)
	}
	if changes < 20 {
		t.Errorf("only %d changes were acknowledged", changes)
	}
	t.Logf("%d changes were acknowledged, %d are uncertain", changes, uncertain)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// live changes its own services at random until ctx ends, and goes by what it was told.
func live(ctx context.Context, t *testing.T, name string, nodes []*node) history {
	h := history{there: make(map[string]string), uncertain: make(map[string]bool)}
	for i := 0; ctx.Err() == nil; i++ {
		n := nodes[rand.IntN(len(nodes))]
		id := fmt.Sprintf("%s-%d", name, rand.IntN(20))
		version, there := h.there[id]
		switch {
		case h.uncertain[id]: // what etcd has not done yet it may do later
		case there && rand.IntN(3) == 0:
			h.note(id, n.Unregister(context.WithoutCancel(ctx), id), func() { delete(h.there, id) }, t)
		case there:
			_, err := n.Register(context.WithoutCancel(ctx), newContract(t, id, version), nil) // once more
			h.note(id, err, func() {}, t)
		default:
			version = fmt.Sprintf("1.%d.0", i)
			_, err := n.Register(context.WithoutCancel(ctx), newContract(t, id, version), nil)
			h.note(id, err, func() { h.there[id] = version }, t)
		}
		pause(ctx, time.Millisecond)
	}
	return h
}

// note takes in an answer. The only refusal that may be is that of a store out of reach.
func (h *history) note(id string, err error, acknowledged func(), t *testing.T) {
	var refusal *caio.Error
	switch {
	case err == nil:
		acknowledged()
		h.changes++
	case errors.As(err, &refusal) && refusal.Status == 503:
		h.uncertain[id] = true
	default:
		t.Errorf("%s: %v", id, err)
	}
}
