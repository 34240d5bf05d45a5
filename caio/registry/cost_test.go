//go:build unix && !race

package registry_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
)

// gauge returns a value of /metrics.
func gauge(t testing.TB, reg *registry.Registry, name string) (value float64) {
	t.Helper()
	recorder := httptest.NewRecorder()
	reg.ServeHTTP(recorder, httptest.NewRequest("GET", "http://localhost/metrics", nil))
	_, rest, _ := strings.Cut(recorder.Body.String(), "\n"+name+" ")
	if _, err := fmt.Sscan(rest, &value); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}

func always(text string) func(int) string { return func(int) string { return text } }

// What services of any kind hold in memory is no more than the registry says, and not much less.
func TestCostOfHolding(t *testing.T) {
	large := func(members func(i int) string) func(i int) string {
		return func(i int) string { return withMembers(fmt.Sprintf("s-%d", i), "x", oneEndpoint, "  "+members(i)+"\n") }
	}
	for _, test := range []struct {
		name     string
		services int
		contract func(i int) string
	}{
		{"small", 500, large(always(""))},
		{"comment", 100, large(always("# " + strings.Repeat("x", 100_000)))},
		{"remark", 20, large(always("description: " + strings.Repeat("x", 200_000)))},
		{"own capabilities", 200, func(i int) string {
			return withMembers(fmt.Sprintf("s-%d", i), repeat(200, func(j int) string { return fmt.Sprintf("c-%d-%d", i, j) }), oneEndpoint, "")
		}},
		{"shared capabilities", 200, func(i int) string {
			return withMembers(fmt.Sprintf("s-%d", i), repeat(200, func(j int) string { return fmt.Sprintf("c-%d", j) }), oneEndpoint, "")
		}},
		{"schemas", 20, func(i int) string {
			return withMembers(fmt.Sprintf("s-%d", i), "x", repeat(190, func(j int) string {
				return fmt.Sprintf("{path: /x%d, method: POST, input_schema: {anyOf: [{pattern: '[a-z]{90}'}, {pattern: '[a-z]{91}'}]}}", j)
			}), "")
		}},
		{"endpoints", 20, func(i int) string {
			return withMembers(fmt.Sprintf("s-%d", i), "x", repeat(200, func(j int) string { return fmt.Sprintf("{path: /x%d, method: POST}", j) }), "")
		}},
		{"guarantees", 8, large(func(i int) string {
			return "guarantees: {g: [" + repeat(2000, func(j int) string { return fmt.Sprintf("{property: p%d-%d, bound: {max: 1}}", i, j) }) + "]}"
		})},
		{"objects in bounds", 5, large(always("guarantees: {g: {property: p, bound: {max: 1, o: [" + repeat(10_000, always("{a: 1}")) + "]}}}"))},
		{"constraints", 5, large(func(i int) string {
			return "constraints: {" + repeat(5000, func(j int) string { return fmt.Sprintf("a%d-%d: 1", i, j) }) + "}"
		})},
		{"objects in constraints", 5, large(always("constraints: {z: [" + repeat(10_000, always("{a: 1}")) + "]}"))},
		{"lists in constraints", 5, large(always("constraints: {z: [" + repeat(10_000, always("[]")) + "]}"))},
		{"objects in parameters", 10, func(i int) string {
			return withMembers(fmt.Sprintf("s-%d", i), "{type: x, parameters: {z: ["+repeat(10_000, always("{a: 1}"))+"]}}", oneEndpoint, "")
		}},
		{"objects in extensions", 10, large(always("x-z: [" + repeat(10_000, always("{a: 1}")) + "]"))},
		{"invariants", 20, large(always("invariants: [" + repeat(300, func(j int) string { return fmt.Sprintf("{id: i%d, verification: {a: {b: 1}}}", j) }) + "]"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := newRegistry(t, &registry.Options{MaxBytes: 1 << 40})
			before := heap()
			for i := range test.services {
				if _, err := reg.Register(t.Context(), parse(t, test.contract(i)), nil); err != nil {
					t.Fatal(err)
				}
			}
			held := heap() - before
			estimate := gauge(t, reg, "caio_registry_services_bytes")
			t.Logf("%.0f bytes each, %.2f of the estimate", held/float64(test.services), held/estimate)
			if held > 1.1*estimate || held < 0.4*estimate {
				t.Errorf("got %.0f bytes held, the estimate is %.0f", held, estimate)
			}
			for i := range test.services {
				if err := reg.Unregister(t.Context(), fmt.Sprintf("s-%d", i)); err != nil {
					t.Fatal(err)
				}
			}
			if left := gauge(t, reg, "caio_registry_services_bytes"); left != 0 {
				t.Errorf("got an estimate of %.0f bytes for no services", left)
			}
			// maps keep their room for names, of which there is a limit
			if left := heap() - before; left > 0.3*estimate+100_000 {
				t.Errorf("%.0f bytes are held after all services are gone", left)
			}
			runtime.KeepAlive(reg)
		})
	}
}

// heap returns the bytes in use. Interned names are freed by cleanups, which a garbage collection starts.
func heap() float64 {
	for range 4 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	bytes, _ := held()
	return bytes
}

// Contracts with as many capabilities as they may have, of their own or the same, cost little to register and to refuse
// requests for, however many services there are.
func TestCostOfCapabilities(t *testing.T) {
	for name, capability := range map[string]func(i, j int) string{
		"own":    func(i, j int) string { return fmt.Sprintf("c-%d-%d", i, j) },
		"shared": func(_, j int) string { return fmt.Sprintf("c-%d", j) },
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t, &registry.Options{MaxBytes: 1 << 30})
			contractOf := func(i int) string {
				return fmt.Sprintf(`{"service_id": "s-%d", "name": "X", "version": "1.0.0", "capabilities": [%s],
					"api": {"protocol": "http", "base_url": "http://127.0.0.1:1", "endpoints": [{"path": "/x", "method": "POST"}]}}`,
					i, repeat(200, func(j int) string { return `"` + capability(i, j) + `"` }))
			}
			services := 0
			for ; services < 1500; services++ {
				_, err := reg.Register(t.Context(), parse(t, contractOf(services)), nil)
				if err != nil && !strings.Contains(err.Error(), "Options.MaxCapabilities") {
					t.Fatal(err)
				}
				if err != nil {
					break
				}
			}
			if services < 400 {
				t.Errorf("%d services were admitted", services)
			}
			costtest.AtMost(t, costtest.Cost{CPU: 20 * time.Millisecond, Allocated: 1 << 20}, func() {
				for range 20 {
					if _, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"unknown"}}); !errors.Is(err, caio.ErrNoMatch) {
						t.Fatal(err)
					}
				}
			})
			id := fmt.Sprintf("s-%d", services-1)
			ct := parse(t, contractOf(services-1))
			costtest.AtMost(t, costtest.Cost{CPU: 100 * time.Millisecond, Allocated: 100 << 20}, func() {
				for range 20 {
					if err := reg.Unregister(t.Context(), id); err != nil {
						t.Fatal(err)
					}
					if _, err := reg.Register(t.Context(), ct, nil); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}
