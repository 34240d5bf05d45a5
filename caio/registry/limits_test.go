package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/internal/sharedmem"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// repeat joins the texts of n items.
func repeat(n int, text func(i int) string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = text(i)
	}
	return strings.Join(items, ", ")
}

// withMembers returns a contract with further members.
func withMembers(id, capabilities, endpoints, members string) string {
	return fmt.Sprintf("service:\n  id: %s\n  name: X\n  version: 1.0.0\n  capabilities: [%s]\n  api: {protocol: http, base_url: \"http://127.0.0.1:1\", endpoints: [%s]}\n%s",
		id, capabilities, endpoints, members)
}

const oneEndpoint = "{path: /x, method: POST}"

// largeContract takes about 400 KB of memory.
func largeContract(t testing.TB, id string) *contract.Contract {
	t.Helper()
	return parse(t, withRemark(id, 120_000))
}

func withRemark(id string, length int) string {
	return offer{id: id, accuracy: map[string]float64{"chat": 0.9}, price: -1}.yaml() + "  alignment:\n    remark: " + strings.Repeat("x", length) + "\n"
}

func serviceIDs(t testing.TB, reg *registry.Registry) (ids []string) {
	t.Helper()
	services, err := reg.Services(t.Context(), anyService)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		ids = append(ids, s.ID)
	}
	return ids
}

// checkFull checks the refusal of a service for which there is no room.
func checkFull(t testing.TB, err error, option string) {
	t.Helper()
	var refusal *caio.Error
	if !errors.As(err, &refusal) || refusal.Status != 507 || refusal.Code != "REGISTRY_FULL" ||
		!strings.Contains(refusal.Message, option) || !strings.Contains(refusal.Message, "unregister a service first") {
		t.Errorf("got %v, want 507 REGISTRY_FULL that names %s", err, option)
	}
}

// The services' memory is bounded beside their number. A service may be registered again while the registry is full. An
// unregistered service and an ended lease make room.
func TestMemoryOfServicesIsBounded(t *testing.T) {
	t.Parallel()
	var large []*contract.Contract
	for i := range 4 {
		large = append(large, largeContract(t, fmt.Sprintf("large-%d", i)))
	}
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry(t, &registry.Options{MaxBytes: 1 << 20})
		if _, err := reg.Register(t.Context(), large[0], nil); err != nil {
			t.Fatal(err)
		}
		if _, err := reg.Register(t.Context(), large[1], &caio.RegisterOptions{TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
		_, err := reg.Register(t.Context(), large[2], nil)
		checkFull(t, err, "Options.MaxBytes")
		if _, err := reg.Register(t.Context(), parse(t, codexContract), nil); err != nil {
			t.Errorf("a small service: %v", err)
		}
		if _, err := reg.Register(t.Context(), large[1], &caio.RegisterOptions{TTL: time.Minute}); err != nil {
			t.Errorf("renewing a lease: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := reg.Register(t.Context(), large[2], nil); err != nil {
			t.Errorf("after a lease ended: %v", err)
		}
		if err := reg.Unregister(t.Context(), "large-0"); err != nil {
			t.Fatal(err)
		}
		if _, err := reg.Register(t.Context(), large[3], nil); err != nil {
			t.Errorf("after a service was unregistered: %v", err)
		}
	})
}

// The different capabilities of all services are bounded in sum.
func TestCapabilitiesAreBounded(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, &registry.Options{MaxCapabilities: 3})
	register := func(id string, capabilities ...string) error {
		t.Helper()
		o := offer{id: id, accuracy: map[string]float64{}, price: -1}
		for _, capability := range capabilities {
			o.accuracy[capability] = 0.9
		}
		_, err := reg.Register(t.Context(), parse(t, o.yaml()), nil)
		return err
	}
	if err := register("first", "a", "b"); err != nil {
		t.Fatal(err)
	}
	checkFull(t, register("second", "a", "c", "d"), "Options.MaxCapabilities")
	if err := register("third", "a", "b", "c"); err != nil {
		t.Errorf("with one that is not offered yet: %v", err)
	}
	checkFull(t, register("fourth", "d"), "Options.MaxCapabilities")
	if err := reg.Unregister(t.Context(), "third"); err != nil {
		t.Fatal(err)
	}
	if err := register("fourth", "d"); err != nil {
		t.Errorf("after a capability is gone: %v", err)
	}
}

// A request for an unknown capability is answered with the first capabilities in order, however services came and went.
func TestRefusalNamesTheFirstCapabilities(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	names := func(from, to int) (list []string) {
		for i := from; i < to; i++ {
			list = append(list, fmt.Sprintf("c-%03d", i))
		}
		return list
	}
	register := func(id string, capabilities []string) {
		t.Helper()
		if _, err := reg.Register(t.Context(), parse(t, withMembers(id, strings.Join(capabilities, ", "), oneEndpoint, "")), nil); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want []string) {
		t.Helper()
		_, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"unknown"}})
		var refusal *caio.Error
		if !errors.As(err, &refusal) {
			t.Fatal(err)
		}
		details, _ := refusal.Details.(map[string]any)
		if diff := cmp.Diff(want, details["available_capabilities"]); diff != "" {
			t.Errorf("available capabilities (-want +got):\n%s", diff)
		}
	}
	register("late", names(20, 120))
	check(names(20, 70))
	register("early", names(0, 30))
	check(names(0, 50))
	if err := reg.Unregister(t.Context(), "late"); err != nil {
		t.Fatal(err)
	}
	check(names(0, 30))
}

// A registry starts with a store that exceeds its limits. It logs the services that it leaves out, which stay stored.
func TestOverfullStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts registry.Options
		want []string
		log  string
	}{
		"services":     {registry.Options{MaxServices: 2}, []string{"a", "b"}, "Options.MaxServices"},
		"bytes":        {registry.Options{MaxBytes: 1 << 20}, []string{"a", "b"}, "Options.MaxBytes"},
		"capabilities": {registry.Options{MaxCapabilities: 1}, []string{"a", "b", "c"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := new(storetest.MemoryStore)
			full := newRegistry(t, &registry.Options{Store: store})
			for _, id := range []string{"a", "b", "c"} {
				if _, err := full.Register(t.Context(), largeContract(t, id), nil); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			test.opts.Store, test.opts.Logger = store, slog.New(slog.NewTextHandler(&log, nil))
			reg := newRegistry(t, &test.opts)
			if diff := cmp.Diff(test.want, serviceIDs(t, reg)); diff != "" {
				t.Errorf("services (-want +got):\n%s", diff)
			}
			if !strings.Contains(log.String(), test.log) || test.log == "" && log.Len() > 0 {
				t.Errorf("got the log %q, want %q in it", log.String(), test.log)
			}
			if ids := serviceIDs(t, newRegistry(t, &registry.Options{Store: store})); len(ids) != 3 {
				t.Errorf("with more room: got %v, want all three", ids)
			}
		})
	}
}

// A registry that shares a store leaves out services for which it has no room, and serves them when they are registered
// again and there is room.
func TestSharedStoreWithMoreThanThereIsRoomFor(t *testing.T) {
	t.Parallel()
	var large []*contract.Contract
	for i := range 3 {
		large = append(large, largeContract(t, fmt.Sprintf("large-%d", i)))
	}
	synctest.Test(t, func(t *testing.T) {
		hub := new(sharedmem.Hub)
		roomy := newRegistry(t, &registry.Options{Store: hub.Open()})
		tight := newRegistry(t, &registry.Options{Store: hub.Open(), MaxBytes: 1 << 20})
		defer runRegistry(t, roomy)()
		defer runRegistry(t, tight)()
		for _, ct := range large {
			if _, err := roomy.Register(t.Context(), ct, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if ids := serviceIDs(t, tight); len(ids) != 2 {
			t.Errorf("got %v, want the two for which there is room", ids)
		}
		_, err := tight.Register(t.Context(), large[2], nil)
		checkFull(t, err, "Options.MaxBytes")
		if err := roomy.Unregister(t.Context(), "large-0"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := tight.Register(t.Context(), large[2], nil); err != nil {
			t.Errorf("when there is room: %v", err)
		}
		time.Sleep(time.Second)
		if diff := cmp.Diff([]string{"large-1", "large-2"}, serviceIDs(t, tight)); diff != "" {
			t.Errorf("services (-want +got):\n%s", diff)
		}
	})
}

func TestLimitsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := registry.New(&registry.Options{MaxBytes: 1000, MaxCapabilities: -1})
	for _, want := range []string{"MaxBytes is 1000", "MaxCapabilities is -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// A service that was read from the registry has its whole contract, which routing does not look at.
func TestServiceHasTheWholeContract(t *testing.T) {
	t.Parallel()
	ct := parse(t, withMembers("whole", `{type: x, parameters: {a: 1}}`, `{path: /x, method: POST, input_schema: {type: object}}`,
		"  description: text\n  metadata: {provider: y}\n  x-more: [1]\n"))
	reg := newRegistry(t, nil)
	if _, err := reg.Register(t.Context(), ct, nil); err != nil {
		t.Fatal(err)
	}
	service, err := reg.Service(t.Context(), "whole")
	if err != nil {
		t.Fatal(err)
	}
	got := service.Contract
	if !got.Equal(ct) || got.Description != "text" || got.Metadata.Provider != "y" || got.API.Endpoints[0].InputSchema == nil {
		t.Errorf("got %+v, want the contract that was registered", got)
	}
}

// The diagnostics of a contract with a long name are a small multiple of the contract, although each has the name in its path.
func TestDiagnosticsAreBounded(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	text := `{"service_id": "s", "name": "X", "version": "1.0.0", "capabilities": ["x"], "api": {"protocol": "http", "base_url": "http://127.0.0.1:1", "endpoints":
		[{"path": "/x", "method": "POST"}]}, "guarantees": {"` + strings.Repeat("k", 100_000) + `": [` + repeat(100, func(int) string { return `{"property": "p"}` }) + `]}}`
	for path, want := range map[string]int{"/api/v1/integration/validate-contract": 200, "/api/v1/services": 400} {
		request := httptest.NewRequest("POST", "http://localhost"+path, strings.NewReader(text))
		request.Header.Set("Content-Type", asJSON)
		answer := httptest.NewRecorder()
		reg.ServeHTTP(answer, request)
		if answer.Code != want || answer.Body.Len() > 500_000 || !strings.Contains(answer.Body.String(), "guarantees.kkk") {
			t.Errorf("%s: got %d with %d bytes, want %d with diagnostics of at most 500,000 bytes", path, answer.Code, answer.Body.Len(), want)
		}
	}
}
