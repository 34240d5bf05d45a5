package registry_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

var anyService = caio.Filter{}

// An offer is a service in the terms of the test's own reference, from which its contract is written.
type offer struct {
	id           string
	accuracy     map[string]float64 // by capability; 0 for not stated
	p95          float64            // 0 for not stated
	price        float64            // per call; negative for not stated
	availability float64            // 0 for not stated
	gpu          bool
	locality     string // "" for no privacy section
	encryption   bool
	trust        float64 // 0 for not stated
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
	if o.p95 > 0 || o.availability > 0 {
		b.WriteString("  guarantees:\n")
	}
	if o.p95 > 0 {
		fmt.Fprintf(&b, "    latency:\n      property: p95_latency_ms\n      bound: {max: %g}\n", o.p95)
	}
	if o.availability > 0 {
		fmt.Fprintf(&b, "    availability:\n      property: availability\n      bound: {min: %g}\n", o.availability)
	}
	if o.price >= 0 {
		fmt.Fprintf(&b, "  cost:\n    model: per_request\n    base_cost: %g\n    currency: USD\n", o.price)
	}
	if o.locality != "" {
		fmt.Fprintf(&b, "  privacy:\n    data_locality: %s\n    encryption: %t\n", o.locality, o.encryption)
	}
	fmt.Fprintf(&b, "  constraints:\n    requires_gpu: %t\n", o.gpu)
	if o.trust > 0 {
		fmt.Fprintf(&b, "    required_trust_level: %g\n", o.trust)
	}
	b.WriteString("  api:\n    protocol: http\n    base_url: http://localhost:9000\n    endpoints:\n      - path: /call\n        method: POST\n")
	return b.String()
}

// A wish is a request in the reference's terms.
type wish struct {
	capabilities []string
	p95          float64 // 0 for no matter
	noGPU        bool
	local        bool // by policy, for German only
	german       bool
	sensitive    bool
	trust        float64
}

func (w wish) request() caio.Request {
	r := caio.Request{Capabilities: w.capabilities, TrustLevel: w.trust, Sensitive: w.sensitive}
	if w.p95 > 0 {
		r.Guarantees = map[string]contract.Bound{"p95_latency_ms": {Max: &w.p95}}
	}
	if w.noGPU {
		r.Constraints = map[string]any{"requires_gpu": false}
	}
	if w.local {
		r.Policies = []caio.Policy{{Type: "constraint", Field: "privacy.data_locality", Value: "local", When: map[string]any{"context.language": []any{"german", "dutch"}}}}
		r.Context = map[string]any{"language": "english", "secret": "hunter2"}
	}
	if w.german {
		r.Context = map[string]any{"language": "german", "secret": "hunter2"}
	}
	return r
}

func (w wish) metBy(o offer) bool {
	for _, c := range w.capabilities {
		if _, ok := o.accuracy[c]; !ok {
			return false
		}
	}
	return (w.p95 == 0 || o.p95 > 0 && o.p95 <= w.p95) && !(w.noGPU && o.gpu) &&
		(!w.local || !w.german || o.locality == "local") &&
		(!w.sensitive || o.locality == "local" || o.locality == "on_device" || o.encryption) &&
		w.trust >= o.trust
}

// score is the documented one, with the default weights.
func (w wish) score(o offer) float64 {
	total := 0.0
	weakest := 1.0
	for _, c := range w.capabilities {
		weakest = min(weakest, o.accuracy[c])
	}
	total += 4 * weakest
	if o.p95 > 0 {
		total += 3 / (1 + o.p95/1000)
	}
	if o.price >= 0 {
		total += 2 / (1 + 10*o.price)
	}
	return (total + o.availability) / 10
}

// reference is the rule of choice, by brute force: the best offers, best first.
func (w wish) reference(offers []offer) []offer {
	var met []offer
	for _, o := range offers {
		if w.metBy(o) {
			met = append(met, o)
		}
	}
	slices.SortFunc(met, func(a, b offer) int {
		if difference := w.score(b) - w.score(a); math.Abs(difference) > 1e-12 {
			return cmp.Compare(difference, 0)
		}
		return cmp.Compare(a.id, b.id)
	})
	return met[:min(len(met), 5)]
}

func randomOffer(random *rand.Rand, id string) offer {
	pick := func(values ...float64) float64 { return values[random.IntN(len(values))] }
	o := offer{id: id, accuracy: make(map[string]float64), p95: pick(0, 100, 200, 500), price: pick(-1, 0, 0.01, 0.02),
		availability: pick(0, 0.9, 0.99), gpu: random.IntN(2) == 0, trust: pick(0, 0, 0, 1, 2)}
	if o.locality = []string{"", "cloud", "local", "on_device"}[random.IntN(4)]; o.locality != "" {
		o.encryption = random.IntN(2) == 0
	}
	for range 1 + random.IntN(3) {
		o.accuracy["capability_"+string(rune('a'+random.IntN(5)))] = pick(0, 0.8, 0.9)
	}
	return o
}

func randomWish(random *rand.Rand) wish {
	w := wish{p95: []float64{0, 0, 100, 200, 300}[random.IntN(5)], noGPU: random.IntN(3) == 0, sensitive: random.IntN(4) == 0,
		local: random.IntN(3) == 0, german: random.IntN(2) == 0, trust: float64(random.IntN(3))}
	for range 1 + random.IntN(2) {
		if c := "capability_" + string(rune('a'+random.IntN(5))); !slices.Contains(w.capabilities, c) {
			w.capabilities = append(w.capabilities, c)
		}
	}
	return w
}

// randomRegistry returns a registry with what it holds after some services came and went.
func randomRegistry(t *testing.T, random *rand.Rand) (*registry.Registry, []offer) {
	t.Helper()
	reg := newRegistry(t, nil)
	var offers []offer
	for i := range 1 + random.IntN(25) {
		o := randomOffer(random, fmt.Sprintf("service-%02d", i))
		offers = append(offers, o)
		if _, err := reg.Register(t.Context(), parse(t, o.yaml()), nil); err != nil {
			t.Fatal(err)
		}
	}
	for range random.IntN(5) {
		gone := random.IntN(len(offers))
		if err := reg.Unregister(t.Context(), offers[gone].id); err != nil {
			t.Fatal(err)
		}
		if offers = slices.Delete(offers, gone, gone+1); len(offers) == 0 {
			break
		}
	}
	return reg, offers
}

// Whatever comes and goes, the choice and its runners-up are the reference's, stay the same when asked again, and have a
// trace that verifies and does not hold what the request is about.
func TestRouteEqualsReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		reg, offers := randomRegistry(t, random)
		for range 20 {
			w := randomWish(random)
			want := w.reference(offers)
			for again := range 2 {
				decision, err := reg.Route(t.Context(), w.request())
				if len(want) == 0 {
					if !errors.Is(err, caio.ErrNoMatch) {
						t.Fatalf("round %d: Route(%+v) = %v, %v, want ErrNoMatch", round, w, decision, err)
					}
					continue
				}
				if err != nil || decision.ServiceID != want[0].id || len(decision.Candidates) != len(want) {
					t.Fatalf("round %d: Route(%+v) = %+v, %v, want %+v", round, w, decision, err, want)
				}
				for i, candidate := range decision.Candidates {
					if candidate.ServiceID != want[i].id || math.Abs(candidate.Score-w.score(want[i])) > 1e-12 {
						t.Fatalf("round %d: Route(%+v): candidate %d is %+v, want %+v with %v", round, w, i, candidate, want[i], w.score(want[i]))
					}
				}
				if again > 0 {
					continue
				}
				trace, err := reg.Trace(t.Context(), decision.DecisionID)
				if err != nil {
					t.Fatal(err)
				}
				if err := registry.Verify(trace.Raw); err != nil || strings.Contains(string(trace.Raw), "hunter2") {
					t.Fatalf("round %d: Verify: %v\n%s", round, err, trace.Raw)
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
		{id: "less-near", accuracy: map[string]float64{"chat": 0.8}, p95: 400, price: -1},
	} {
		if _, err := reg.Register(t.Context(), parse(t, o.yaml()), nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err := reg.Route(t.Context(), wish{capabilities: []string{"chat"}, p95: 100, noGPU: true}.request())
	var refusal *caio.Error
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Message, "the nearest, near, fails") || !strings.Contains(refusal.Message, "<= 300, <= 100 was required") {
		t.Errorf("Route = %v, want it to name the nearest service, what it fails, and by how much", err)
	}
	_, err = reg.Route(t.Context(), caio.Request{Capabilities: []string{"chat"}, Sensitive: true,
		Policies: []caio.Policy{{Type: "constraint", Field: "guarantees.p95_latency_ms", Value: contract.Bound{Max: new(350.0)}}}})
	if !errors.As(err, &refusal) {
		t.Fatalf("Route = %v, want a caio.Error", err)
	}
	details, _ := json.Marshal(refusal.Details)
	for _, want := range []string{`[{"service_id":"near","failed":[{"requirement":"security.sensitive data"`, `"policies.guarantees.p95_latency_ms"`} {
		if !strings.Contains(string(details), want) {
			t.Errorf("details miss %s: %s", want, details)
		}
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
	if _, err := reg.Register(t.Context(), stable, nil); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, ct := range []*contract.Contract{better, other} {
		wg.Go(func() {
			for range 300 {
				if _, err := reg.Register(t.Context(), ct, nil); err != nil {
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
				if services, err := reg.Services(t.Context(), caio.Filter{Capability: "chat"}); err != nil || len(services) == 0 {
					t.Errorf("Services = %v, %v", services, err)
				}
			}
		})
	}
	wg.Wait()
}
