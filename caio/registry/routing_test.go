package registry_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

var anyService = caio.Query{}

// An offer is a service in the terms of the test's own reference, from which its contract is written.
type offer struct {
	id       string
	accuracy map[string]float64 // by capability; 0 for not stated
	p95      float64            // 0 for not stated
	price    float64            // per call; negative for not stated
	gpu      bool
}

func (o offer) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service:\n  id: %s\n  name: Service %[1]s\n  version: 1.0.0\n  capabilities:\n", o.id)
	for _, capability := range slices.Sorted(maps.Keys(o.accuracy)) {
		fmt.Fprintf(&b, "    - type: %s\n", capability)
		if o.accuracy[capability] > 0 {
			fmt.Fprintf(&b, "      accuracy: {min: %g}\n", o.accuracy[capability])
		}
	}
	if o.p95 > 0 {
		fmt.Fprintf(&b, "  guarantees:\n    latency:\n      property: p95_latency_ms\n      bound: {max: %g}\n", o.p95)
	}
	if o.price >= 0 {
		fmt.Fprintf(&b, "  cost:\n    model: per_request\n    base_cost: %g\n    currency: USD\n", o.price)
	}
	fmt.Fprintf(&b, "  constraints:\n    requires_gpu: %t\n", o.gpu)
	b.WriteString("  api:\n    protocol: http\n    base_url: http://localhost:9000\n    endpoints:\n      - path: /call\n        method: POST\n")
	return b.String()
}

// A wish is a request in the reference's terms.
type wish struct {
	capabilities []string
	p95          float64 // 0 for no matter
	noGPU        bool
}

func (w wish) request() caio.Request {
	r := caio.Request{Capabilities: w.capabilities}
	if w.p95 > 0 {
		r.Guarantees = map[string]contract.Bound{"p95_latency_ms": {Max: &w.p95}}
	}
	if w.noGPU {
		r.Constraints = map[string]any{"requires_gpu": false}
	}
	return r
}

func (w wish) metBy(o offer) bool {
	for _, c := range w.capabilities {
		if _, ok := o.accuracy[c]; !ok {
			return false
		}
	}
	return (w.p95 == 0 || o.p95 > 0 && o.p95 <= w.p95) && !(w.noGPU && o.gpu)
}

// reference is the rule of choice, by brute force: the id of the best offer, "" if none meets the wish.
func (w wish) reference(offers []offer) string {
	var met []offer
	for _, o := range offers {
		if w.metBy(o) {
			met = append(met, o)
		}
	}
	if len(met) == 0 {
		return ""
	}
	weakest := func(o offer) float64 {
		lowest := math.Inf(1)
		for _, c := range w.capabilities {
			lowest = min(lowest, o.accuracy[c])
		}
		return lowest
	}
	unstatedLast := func(v float64, stated bool) float64 {
		if !stated {
			return math.Inf(1)
		}
		return v
	}
	slices.SortFunc(met, func(a, b offer) int {
		return cmp.Or(
			cmp.Compare(weakest(b), weakest(a)),
			cmp.Compare(unstatedLast(a.p95, a.p95 > 0), unstatedLast(b.p95, b.p95 > 0)),
			cmp.Compare(unstatedLast(a.price, a.price >= 0), unstatedLast(b.price, b.price >= 0)),
			cmp.Compare(a.id, b.id))
	})
	return met[0].id
}

func randomOffer(random *rand.Rand, id string) offer {
	pick := func(values ...float64) float64 { return values[random.IntN(len(values))] }
	o := offer{id: id, accuracy: make(map[string]float64), p95: pick(0, 100, 200, 500), price: pick(-1, 0, 0.01, 0.02), gpu: random.IntN(2) == 0}
	for range 1 + random.IntN(3) {
		o.accuracy["capability_"+string(rune('a'+random.IntN(5)))] = pick(0, 0.8, 0.9)
	}
	return o
}

func randomWish(random *rand.Rand) wish {
	w := wish{p95: []float64{0, 0, 100, 200, 300}[random.IntN(5)], noGPU: random.IntN(3) == 0}
	for range 1 + random.IntN(2) {
		if c := "capability_" + string(rune('a'+random.IntN(5))); !slices.Contains(w.capabilities, c) {
			w.capabilities = append(w.capabilities, c)
		}
	}
	return w
}

// Whatever comes and goes, the choice meets every clause, is the reference's choice, and stays the same when asked again.
func TestRouteEqualsReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 40 {
		reg := newRegistry(t, nil)
		var offers []offer
		for i := range 1 + random.IntN(25) {
			o := randomOffer(random, fmt.Sprintf("service-%02d", i))
			offers = append(offers, o)
			if _, err := reg.Register(t.Context(), parse(t, o.yaml())); err != nil {
				t.Fatal(err)
			}
		}
		for range random.IntN(5) { // some go
			gone := random.IntN(len(offers))
			if err := reg.Unregister(t.Context(), offers[gone].id); err != nil {
				t.Fatal(err)
			}
			if offers = slices.Delete(offers, gone, gone+1); len(offers) == 0 {
				break
			}
		}
		for range 50 {
			w := randomWish(random)
			want := w.reference(offers)
			for range 2 {
				decision, err := reg.Route(t.Context(), w.request())
				if want == "" {
					if !errors.Is(err, caio.ErrNoMatch) {
						t.Fatalf("round %d: Route(%+v) = %v, %v, want ErrNoMatch", round, w, decision, err)
					}
					continue
				}
				if err != nil || decision.ServiceID != want {
					t.Fatalf("round %d: Route(%+v) = %+v, %v, want %s", round, w, decision, err, want)
				}
				for _, clause := range decision.Proofs[0].Clauses {
					if !clause.Met {
						t.Fatalf("round %d: chosen %s fails %+v", round, want, clause)
					}
				}
			}
		}
	}
}

func TestNoMatchNamesTheNearest(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	for _, o := range []offer{
		{id: "far", accuracy: map[string]float64{"chat": 0.9}, p95: 500, price: -1, gpu: true},
		{id: "near", accuracy: map[string]float64{"chat": 0.8}, p95: 300, price: -1},
	} {
		if _, err := reg.Register(t.Context(), parse(t, o.yaml())); err != nil {
			t.Fatal(err)
		}
	}
	_, err := reg.Route(t.Context(), wish{capabilities: []string{"chat"}, p95: 100, noGPU: true}.request())
	var refusal *caio.Error
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Message, "near") || !strings.Contains(refusal.Message, "p95_latency_ms") {
		t.Errorf("Route = %v, want it to name the nearest service and what it fails", err)
	}
	_, err = reg.Route(t.Context(), caio.Request{Capabilities: []string{"chat", "chatt"}})
	if !errors.As(err, &refusal) {
		t.Fatalf("Route = %v, want a caio.Error", err)
	}
	want := map[string]any{"missing_capabilities": []string{"chatt"}, "available_capabilities": []string{"chat"}}
	if diff := gocmp.Diff(want, refusal.Details); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}

// Services come and go while requests are routed: no request is dropped as long as one service is there throughout, and
// none is answered with a service that lacks the capability.
func TestHotSwap(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	stable := parse(t, offer{id: "stable", accuracy: map[string]float64{"chat": 0.8}, price: -1}.yaml())
	better := parse(t, offer{id: "better", accuracy: map[string]float64{"chat": 0.9, "code": 0.9}, price: -1}.yaml())
	other := parse(t, offer{id: "other", accuracy: map[string]float64{"code": 0.9}, price: -1}.yaml())
	if _, err := reg.Register(t.Context(), stable); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, ct := range []*contract.Contract{better, other} {
		wg.Go(func() {
			for range 300 {
				if _, err := reg.Register(t.Context(), ct); err != nil {
					t.Errorf("Register(%s): %v", ct.ID, err)
				}
				if err := reg.Unregister(t.Context(), ct.ID); err != nil {
					t.Errorf("Unregister(%s): %v", ct.ID, err)
				}
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			for range 300 {
				decision, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"chat"}})
				if err != nil || decision.ServiceID == "other" {
					t.Errorf("Route = %+v, %v", decision, err)
					return
				}
				if _, err := reg.Trace(t.Context(), decision.DecisionID); err != nil && !errors.Is(err, caio.ErrNotFound) {
					t.Errorf("Trace: %v", err)
				}
				if services, err := reg.Services(t.Context(), caio.Query{Capability: "chat"}); err != nil || len(services) == 0 {
					t.Errorf("Services = %v, %v", services, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRoute(b *testing.B) {
	for _, services := range []int{10, 1_000, 10_000} {
		random := rand.New(rand.NewPCG(1, 2))
		reg := newRegistry(b, &registry.Options{MaxServices: services})
		for i := range services {
			if _, err := reg.Register(b.Context(), parse(b, randomOffer(random, fmt.Sprintf("service-%05d", i)).yaml())); err != nil {
				b.Fatal(err)
			}
		}
		for name, w := range map[string]wish{
			"one-capability":   {capabilities: []string{"capability_a"}},
			"two-capabilities": {capabilities: []string{"capability_a", "capability_b"}, p95: 200, noGPU: true},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, services), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := reg.Route(b.Context(), w.request()); err != nil && !errors.Is(err, caio.ErrNoMatch) {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkHTTP measures the whole way of an answer, without the network.
func BenchmarkHTTP(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	reg := newRegistry(b, nil)
	for i := range 10_000 {
		o := randomOffer(random, fmt.Sprintf("service-%05d", i))
		if i%100 == 0 {
			o.accuracy["rare"] = 0.9
		}
		if _, err := reg.Register(b.Context(), parse(b, o.yaml())); err != nil {
			b.Fatal(err)
		}
	}
	for name, e := range map[string]exchange{
		"route":     {method: "POST", path: "/api/v1/orchestrate", contentType: asJSON, body: `{"requirements": ["capability_a"], "context": {}}`},
		"no-match":  {method: "POST", path: "/api/v1/orchestrate", contentType: asJSON, body: `{"requirements": {"capabilities": ["capability_a"], "guarantees": {"p95_latency_ms": {"max": 1}}}}`},
		"list-100":  {method: "GET", path: "/api/v1/services?capability=rare"},
		"list-2000": {method: "GET", path: "/api/v1/services?capability=capability_a"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request := httptest.NewRequest(e.method, "http://localhost"+e.path, strings.NewReader(e.body))
				reg.ServeHTTP(httptest.NewRecorder(), request)
			}
		})
	}
}
