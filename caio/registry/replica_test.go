package registry_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/internal/sharedmem"
)

// replica runs a registry on the hub until the test ends.
func replica(t *testing.T, hub *sharedmem.Hub) (*registry.Registry, *sharedmem.Store) {
	t.Helper()
	store := hub.Open()
	reg := newRegistry(t, &registry.Options{Store: store})
	t.Cleanup(runRegistry(t, reg))
	return reg, store
}

// What happens at one registry is so at the others.
func TestReplicasServeTheSame(t *testing.T) {
	t.Parallel()
	ct := parse(t, codexContract)
	other := parse(t, strings.Replace(codexContract, "1.0.0", "2.0.0", 1))
	synctest.Test(t, func(t *testing.T) {
		hub := new(sharedmem.Hub)
		a, _ := replica(t, hub)
		b, _ := replica(t, hub)
		if _, err := a.Register(t.Context(), ct, nil); err != nil {
			t.Fatal(err)
		}
		if !isThere(t, a, ct.ID) {
			t.Error("it is not where it was registered")
		}
		if _, err := b.Register(t.Context(), other, nil); !errors.Is(err, caio.ErrAlreadyRegistered) || !strings.Contains(err.Error(), "version 1.0.0") {
			t.Errorf("another contract at the other registry: %v", err)
		}
		if _, err := b.Register(t.Context(), ct, nil); err != nil {
			t.Errorf("the same contract at the other registry: %v", err)
		}
		if !isThere(t, b, ct.ID) {
			t.Error("it is not at the other registry")
		}
		decision, err := a.Route(t.Context(), caio.Request{Capabilities: []string{"code_review"}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // traces are stored every second
		if trace, err := b.Trace(t.Context(), decision.DecisionID); err != nil || registry.Verify(trace.Raw) != nil {
			t.Errorf("the decision at the other registry: %v", err)
		}
		if _, err := b.Trace(t.Context(), "dec-nobody-made"); !errors.Is(err, caio.ErrNotFound) {
			t.Errorf("a decision that nobody made: %v", err)
		}
		if err := b.Unregister(t.Context(), ct.ID); err != nil {
			t.Error(err)
		}
		if err := a.Unregister(t.Context(), ct.ID); !errors.Is(err, caio.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		if _, err := a.Register(t.Context(), other, nil); err != nil {
			t.Errorf("another contract after the removal: %v", err)
		}
		synctest.Wait()
		if service, err := b.Service(t.Context(), ct.ID); err != nil || service.Version != "2.0.0" {
			t.Errorf("the other registry has %+v, %v", service, err)
		}
	})
}

// A lease is renewed at any registry, and ends at all, also at one that started in the meantime.
func TestReplicasShareLeases(t *testing.T) {
	t.Parallel()
	ct := parse(t, codexContract)
	other := parse(t, strings.Replace(codexContract, "1.0.0", "2.0.0", 1))
	synctest.Test(t, func(t *testing.T) {
		hub := new(sharedmem.Hub)
		a, _ := replica(t, hub)
		b, _ := replica(t, hub)
		a.Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Minute})
		time.Sleep(50 * time.Second)
		if _, err := b.Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Second)
		c, _ := replica(t, hub)
		for name, reg := range map[string]*registry.Registry{"a": a, "b": b, "c": c} {
			if !isThere(t, reg, ct.ID) {
				t.Errorf("%s: not renewed", name)
			}
		}
		time.Sleep(10 * time.Second)
		for name, reg := range map[string]*registry.Registry{"a": a, "b": b, "c": c} {
			if isThere(t, reg, ct.ID) {
				t.Errorf("%s: there after the end", name)
			}
		}
		if _, err := c.Register(t.Context(), other, nil); err != nil {
			t.Errorf("another contract after the end: %v", err)
		}
		time.Sleep(time.Hour)
		if service, err := a.Service(t.Context(), ct.ID); err != nil || service.Version != "2.0.0" {
			t.Errorf("the registration without lease is %+v, %v", service, err)
		}
		b.Register(t.Context(), other, &caio.RegisterOptions{TTL: time.Minute})
		a.Register(t.Context(), other, nil) // the last registration counts
		time.Sleep(time.Hour)
		if !isThere(t, b, other.ID) {
			t.Error("the lease outlasted a registration without one")
		}
	})
}

// A registry that is cut off serves what it knows, lets leases end, refuses changes and says so; then it catches up.
func TestReplicaOutOfReach(t *testing.T) {
	t.Parallel()
	ct := parse(t, codexContract)
	leased := parse(t, offer{id: "leased", accuracy: map[string]float64{"chat": 0.9}, price: -1}.yaml())
	removed := parse(t, offer{id: "removed", accuracy: map[string]float64{"chat": 0.9}, price: -1}.yaml())
	synctest.Test(t, func(t *testing.T) {
		hub := new(sharedmem.Hub)
		a, _ := replica(t, hub)
		b, link := replica(t, hub)
		a.Register(t.Context(), leased, &caio.RegisterOptions{TTL: time.Minute})
		a.Register(t.Context(), removed, nil)
		synctest.Wait()
		link.Cut(true)
		time.Sleep(30 * time.Second)
		a.Register(t.Context(), leased, &caio.RegisterOptions{TTL: time.Minute})
		a.Register(t.Context(), ct, nil)
		a.Unregister(t.Context(), "removed")
		ids := func(reg *registry.Registry) (text string) {
			services, err := reg.Services(t.Context(), anyService)
			if err != nil {
				t.Error(err)
			}
			for _, service := range services {
				text += service.ID + " "
			}
			return text
		}
		if got := ids(b); got != "leased removed " {
			t.Errorf("cut off, it lists %s", got)
		}
		time.Sleep(30 * time.Second)
		if got := ids(b); got != "removed " {
			t.Errorf("cut off, after the lease that it knows of, it lists %s", got)
		}
		if _, err := b.Route(t.Context(), caio.Request{Capabilities: []string{"chat"}}); err != nil {
			t.Errorf("cut off, it does not route: %v", err)
		}
		for _, request := range []exchange{
			{method: "POST", path: "/api/v1/services", contentType: "application/yaml", body: codexContract},
			{method: "DELETE", path: "/api/v1/services/removed"},
			{method: "GET", path: "/api/v1/trace/dec-of-another-registry"},
		} {
			status, body := request.send(t, b)
			if code, message := refusal(body); status != 503 || code != "STORE_UNAVAILABLE" || !strings.Contains(message, "try again") {
				t.Errorf("cut off, %s %s: %d %v", request.method, request.path, status, body)
			}
		}
		recorder := httptest.NewRecorder()
		b.ServeHTTP(recorder, httptest.NewRequest("DELETE", "http://localhost/api/v1/services/removed", nil))
		if recorder.Header().Get("Retry-After") == "" {
			t.Error("the refusal does not say when to try again")
		}
		if health, _ := b.Health(t.Context()); health.Status != "degraded" || health.Components["store"] != "out of reach for 1m0s" {
			t.Errorf("cut off, its health is %+v", health)
		}
		link.Cut(false)
		synctest.Wait()
		if got, want := ids(b), ids(a); got != want || got != "codex-bridge-001 leased " {
			t.Errorf("back, it lists %s, the other %s", got, want)
		}
		if health, _ := b.Health(t.Context()); health.Status != "healthy" || health.Components["store"] != "ok" {
			t.Errorf("back, its health is %+v", health)
		}
		if err := b.Unregister(t.Context(), ct.ID); err != nil {
			t.Errorf("back, it does not unregister: %v", err)
		}
	})
}

// A record that is not what this package stored does not keep the others from being served.
func TestReplicaSkipsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	ct := parse(t, codexContract)
	synctest.Test(t, func(t *testing.T) {
		hub := new(sharedmem.Hub)
		for _, id := range []string{"x", "y"} {
			hub.Open().Swap(t.Context(), registry.Record{Kind: "service", ID: id, Data: []byte("nonsense")})
		}
		reg, _ := replica(t, hub)
		if _, err := reg.Register(t.Context(), ct, nil); err != nil {
			t.Fatal(err)
		}
		if !isThere(t, reg, ct.ID) {
			t.Error("it is not there")
		}
		if err := reg.Unregister(t.Context(), "x"); err != nil {
			t.Errorf("what cannot be read cannot be removed: %v", err)
		}
	})
}

// A service that is registered again, with whatever lease, at whatever registry, is there all the time.
func TestReplicaNeverMissesAService(t *testing.T) {
	t.Parallel()
	ct, hub := parse(t, codexContract), new(sharedmem.Hub)
	a, _ := replica(t, hub)
	if _, err := a.Register(t.Context(), ct, nil); err != nil {
		t.Fatal(err)
	}
	b, _ := replica(t, hub)
	changed := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 30 && err == nil; i++ {
			_, err = []*registry.Registry{a, b}[i%2].Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Duration(60+i/3) * time.Second})
		}
		changed <- err
	}()
	for {
		for name, reg := range map[string]*registry.Registry{"a": a, "b": b} {
			if _, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_review"}}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		select {
		case err := <-changed:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}
