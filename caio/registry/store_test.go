package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
)

// A registry that is opened again holds what the last one held, traces included, and leases start anew.
func TestStoreOutlivesTheRegistry(t *testing.T) {
	t.Parallel()
	ct := parse(t, codexContract)
	leased := parse(t, offer{id: "leased", accuracy: map[string]float64{"chat": 0.9}, price: -1}.yaml())
	gone := parse(t, offer{id: "gone", accuracy: map[string]float64{"chat": 0.9}, price: -1}.yaml())
	synctest.Test(t, func(t *testing.T) {
		store := new(storetest.MemoryStore)
		opts := &registry.Options{Store: store, MaxTraces: 3}
		reg := newRegistry(t, opts)
		stop := runRegistry(t, reg)
		reg.Register(t.Context(), ct, nil)
		reg.Register(t.Context(), leased, &caio.RegisterOptions{TTL: time.Minute})
		reg.Register(t.Context(), gone, nil)
		reg.Unregister(t.Context(), "gone")
		var decisions []string
		for range 5 {
			decision, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"chat"}})
			if err != nil {
				t.Fatal(err)
			}
			decisions = append(decisions, decision.DecisionID)
			time.Sleep(time.Second)
		}
		stop()
		time.Sleep(time.Hour) // nothing runs

		reg = newRegistry(t, opts)
		services, _ := reg.Services(t.Context(), anyService)
		if len(services) != 2 || services[0].ID != "codex-bridge-001" || services[1].ID != "leased" {
			t.Errorf("services %+v", services)
		}
		if service, err := reg.Service(t.Context(), ct.ID); err != nil || !service.Contract.Equal(ct) {
			t.Errorf("the contract came back as %+v, %v", service, err)
		}
		for i, id := range decisions {
			trace, err := reg.Trace(t.Context(), id)
			if (err == nil) != (i >= 2) {
				t.Errorf("trace %d of 5, of which 3 are kept: %v", i, err)
			}
			if err == nil && registry.Verify(trace.Raw) != nil {
				t.Errorf("trace %d: %v", i, registry.Verify(trace.Raw))
			}
		}
		time.Sleep(time.Minute)
		if services, _ := reg.Services(t.Context(), anyService); len(services) != 1 {
			t.Errorf("after the lease: %+v", services)
		}
		reg = newRegistry(t, opts)
		if services, _ := reg.Services(t.Context(), anyService); len(services) != 1 {
			t.Errorf("after the lease and another start: %+v", services)
		}
	})
}

// A contract that is larger as it is stored than as it came does not keep a registry from starting.
func TestStoredContractsCanBeReadAgain(t *testing.T) {
	t.Parallel()
	opts := &registry.Options{Store: new(storetest.MemoryStore)}
	reg := newRegistry(t, opts)
	for id, remark := range map[string]string{"html": strings.Repeat("<", 60_000), "controls": strings.Repeat(`\v`, 40_000), "del": `\x7f`} {
		ct := parse(t, offer{id: id, accuracy: map[string]float64{id: 0.9}, price: -1}.yaml()+"  alignment:\n    remark: \""+remark+"\"\n")
		if _, err := reg.Register(t.Context(), ct, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"html", "controls", "del"} {
		decision, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, reg, decision)
	}
	if services, err := newRegistry(t, opts).Services(t.Context(), anyService); err != nil || len(services) != 3 {
		t.Errorf("after a restart: %d services, %v", len(services), err)
	}
}

type brokenStore struct{ storetest.MemoryStore }

func (*brokenStore) Save(context.Context, ...registry.Record) error {
	return errors.New("the disk is full")
}

// What cannot be stored is not acknowledged, and not there.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, &registry.Options{Store: new(brokenStore)})
	if _, err := reg.Register(t.Context(), parse(t, codexContract), nil); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("Register: %v", err)
	}
	status, body := exchange{method: "POST", path: "/api/v1/services", contentType: "application/yaml", body: codexContract}.send(t, reg)
	if code, message := refusal(body); status != 500 || code != "INTERNAL_ERROR" || strings.Contains(message, "disk") {
		t.Errorf("%d %v, want an error without its cause", status, body)
	}
	if isThere(t, reg, "codex-bridge-001") {
		t.Error("it is there")
	}
	store := new(storetest.MemoryStore)
	store.Save(t.Context(), registry.Record{Kind: "service", ID: "x", Data: []byte("{}")}, registry.Record{Kind: "service", ID: "y", Data: []byte("nonsense")})
	if _, err := registry.New(&registry.Options{Store: store}); err == nil || !strings.Contains(err.Error(), "stored service x") || !strings.Contains(err.Error(), "stored service y") {
		t.Errorf("New with broken records: %v", err)
	}
}

// A fullStore is on a disk that becomes full.
type fullStore struct {
	storetest.MemoryStore
	full bool
}

func (s *fullStore) Save(ctx context.Context, records ...registry.Record) error {
	if s.full {
		return &fs.PathError{Op: "write", Path: "/var/lib/registry.db", Err: syscall.ENOSPC}
	}
	return s.MemoryStore.Save(ctx, records...)
}

// A full disk is an outage that callers can tell from a bug. Reading goes on, and so does a start.
func TestFullStore(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	store := new(fullStore)
	opts := &registry.Options{Store: store, MaxTraces: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	reg := newRegistry(t, opts)
	if _, err := reg.Register(t.Context(), parse(t, codexContract), nil); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"old", "new"} { // one more than are kept, to be deleted at a start
		if err := store.Save(t.Context(), registry.Record{Kind: "trace", ID: id, Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	store.full = true
	for name, reg := range map[string]*registry.Registry{"running": reg, "started then": newRegistry(t, opts)} {
		for _, request := range []exchange{
			{method: "POST", path: "/api/v1/services", contentType: "application/yaml", body: strings.Replace(codexContract, "codex-bridge-001", "other", 1)},
			{method: "DELETE", path: "/api/v1/services/codex-bridge-001"},
		} {
			req := httptest.NewRequest(request.method, "http://localhost"+request.path, strings.NewReader(request.body))
			req.Header.Set("Content-Type", request.contentType)
			recorder := httptest.NewRecorder()
			reg.ServeHTTP(recorder, req)
			body := recorder.Body.String()
			if recorder.Code != 503 || !strings.Contains(body, `"STORE_UNAVAILABLE"`) || recorder.Header().Get("Retry-After") != "2" || strings.Contains(body, "/var/lib") {
				t.Errorf("%s, %s = %d %v %s, want 503 with Retry-After", name, request.method, recorder.Code, recorder.Header(), body)
			}
		}
		if services, err := reg.Services(t.Context(), anyService); err != nil || len(services) != 1 || services[0].ID != "codex-bridge-001" {
			t.Errorf("%s, after refused changes the services are %+v, %v", name, services, err)
		}
	}
	if !strings.Contains(log.String(), "no space left") {
		t.Errorf("the log does not say why:\n%s", log.String())
	}
}

// A modestStore takes no more at once than a Store has to.
type modestStore struct{ storetest.MemoryStore }

func (s *modestStore) Save(ctx context.Context, records ...registry.Record) error {
	size := 0
	for _, record := range records {
		size += len(record.Data)
	}
	if len(records) > 100 || size > 1<<20 {
		return errors.New("that is too much at once")
	}
	return s.MemoryStore.Save(ctx, records...)
}

// However many leases end at once, all of them leave the store, so that a restart does not bring them back.
func TestManyLeasesEndAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := &registry.Options{Store: new(modestStore)}
		reg := newRegistry(t, opts)
		lease := func(id string, ttl time.Duration) {
			t.Helper()
			if _, err := reg.Register(t.Context(), parse(t, offer{id: id, accuracy: map[string]float64{"chat": 0.9}, price: -1}.yaml()), &caio.RegisterOptions{TTL: ttl}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 250 {
			lease(fmt.Sprintf("brief-%d", i), time.Minute)
		}
		lease("lasting", time.Hour)
		time.Sleep(time.Minute)
		for range 2 {
			for _, query := range []caio.Filter{{}, {Capability: "chat"}} {
				if services, err := reg.Services(t.Context(), query); err != nil || len(services) != 1 || services[0].ID != "lasting" {
					t.Errorf("%+v: %d services, %v, want the lasting one", query, len(services), err)
				}
			}
			reg = newRegistry(t, opts)
		}
	})
}

// Traces for which a registry has no room when it starts are removed from the store.
func TestStoredTracesAreBounded(t *testing.T) {
	t.Parallel()
	ct := parse(t, codexContract)
	synctest.Test(t, func(t *testing.T) {
		store := new(storetest.MemoryStore)
		for _, limit := range []int{10, 3} {
			reg := newRegistry(t, &registry.Options{Store: store, MaxTraces: limit})
			stop := runRegistry(t, reg)
			reg.Register(t.Context(), ct, nil)
			for range 10 {
				reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_review"}})
			}
			stop()
			stored := 0
			store.Load(t.Context(), "trace", func(string, []byte) error { stored++; return nil })
			if stored != limit {
				t.Errorf("%d traces are stored, want %d", stored, limit)
			}
		}
	})
}

// Traces take no more memory than they may, however large contracts and chains are; what a store need not take it is not given,
// and the others are stored all the same.
func TestLargeTracesAreBounded(t *testing.T) {
	t.Parallel()
	big := parse(t, offer{id: "big", accuracy: map[string]float64{"chat": 0.9}, price: -1}.yaml()+"  alignment:\n    remark: "+strings.Repeat("x", 200_000)+"\n")
	synctest.Test(t, func(t *testing.T) {
		opts := &registry.Options{Store: new(modestStore), MaxTraces: 40} // of 2.5 MiB together
		reg := newRegistry(t, opts)
		stop := runRegistry(t, reg)
		if _, err := reg.Register(t.Context(), big, nil); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, steps := range []int{1, 1, 8, 5, 1, 1, 16, 1, 1} { // each of 200 kB
			decision, err := reg.Route(t.Context(), caio.Request{Steps: slices.Repeat([]caio.Step{{Capabilities: []string{"chat"}}}, steps)})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, decision.DecisionID)
			if _, err := reg.Trace(t.Context(), decision.DecisionID); err != nil {
				t.Errorf("the latest, of %d steps: %v", steps, err)
			}
			time.Sleep(time.Second)
		}
		stop()
		for name, one := range map[string]struct {
			reg  *registry.Registry
			want []bool
		}{
			"at once":         {reg, []bool{false, false, false, false, false, false, false, true, true}},
			"after a restart": {newRegistry(t, opts), []bool{false, false, false, false, false, false, false, true, true}},
		} {
			for i, id := range ids {
				trace, err := one.reg.Trace(t.Context(), id)
				if (err == nil) != one.want[i] {
					t.Errorf("%s, trace %d: %v", name, i, err)
				}
				if err == nil {
					if err := registry.Verify(trace.Raw); err != nil {
						t.Errorf("%s, trace %d: %v", name, i, err)
					}
				}
			}
		}
	})
}
