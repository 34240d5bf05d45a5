package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// chain is a request for one service after the other. Policies, trust and sensitivity are those of the first wish.
func chain(wishes []wish) caio.Request {
	r := wishes[0].request()
	r.Capabilities, r.Guarantees, r.Constraints = nil, nil, nil
	for _, w := range wishes {
		step := w.request()
		r.Steps = append(r.Steps, caio.Step{Capabilities: step.Capabilities, Guarantees: step.Guarantees, Constraints: step.Constraints})
	}
	return r
}

// Each step of a chain goes where the reference sends it, or the first that nobody meets is named; the trace verifies.
func TestChainsEqualReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(21, 22))
	routed := 0
	for range 20 {
		reg, offers := randomRegistry(t, random)
		for range 10 {
			wishes := []wish{randomWish(random)}
			for range random.IntN(4) {
				w := randomWish(random)
				w.local, w.german, w.sensitive, w.trust = wishes[0].local, wishes[0].german, wishes[0].sensitive, wishes[0].trust
				wishes = append(wishes, w)
			}
			decision, err := reg.Route(t.Context(), chain(wishes))
			unmet := slices.IndexFunc(wishes, func(w wish) bool { return len(w.reference(offers)) == 0 })
			if unmet >= 0 {
				if !errors.Is(err, caio.ErrNoMatch) || !strings.Contains(err.Error(), fmt.Sprintf("for step %d", unmet+1)) {
					t.Fatalf("Route(%+v) = %+v, %v, want no match for step %d", wishes, decision, err, unmet+1)
				}
				continue
			}
			if err != nil || len(decision.Steps) != len(wishes) {
				t.Fatalf("Route(%+v) = %+v, %v", wishes, decision, err)
			}
			for i, w := range wishes {
				if got, want := decision.Steps[i].ServiceID, w.reference(offers)[0].id; got != want {
					t.Fatalf("Route(%+v): step %d goes to %s, want %s", wishes, i+1, got, want)
				}
			}
			verify(t, reg, decision)
			routed++
		}
	}
	if routed < 40 {
		t.Errorf("the test says little: %d chains were routed", routed)
	}
}

func verify(t *testing.T, reg *registry.Registry, decision *caio.Decision) []byte {
	t.Helper()
	trace, err := reg.Trace(t.Context(), decision.DecisionID)
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Verify(trace.Raw); err != nil {
		t.Fatalf("Verify: %v\n%s", err, trace.Raw)
	}
	return trace.Raw
}

// randomDemand requires all kinds of things, also ones that the test's reference does not know.
func randomDemand(random *rand.Rand) contract.Requirements {
	pick := func(values ...any) any { return values[random.IntN(len(values))] }
	bound := func(property string) contract.Bound {
		if property == "availability" {
			return contract.Bound{Min: new(pick(0.8, 0.9, 0.95).(float64))}
		}
		return contract.Bound{Max: new(pick(100.0, 200.0, 400.0).(float64))}
	}
	r := contract.Requirements{Guarantees: map[string]contract.Bound{}, Constraints: map[string]any{}}
	switch random.IntN(3) {
	case 0:
		property := pick("p95_latency_ms", "p50_latency_ms", "latency", "availability").(string)
		r.Guarantees[property] = bound(property)
	case 1:
		field := pick("requires_gpu", "constraints.requires_gpu", "requires_internet", "encryption").(string)
		r.Constraints[field] = pick(true, false)
	case 2:
		field := pick("data_locality", "privacy.data_locality").(string)
		r.Constraints[field] = pick("local", "cloud", "on_device")
	}
	return r
}

// policyFor is the rule that requires what randomDemand does.
func policyFor(r contract.Requirements) caio.Policy {
	for property, bound := range r.Guarantees {
		return caio.Policy{Type: "constraint", Field: "guarantees." + property, Value: bound}
	}
	for field, value := range r.Constraints {
		return caio.Policy{Type: "constraint", Field: field, Value: value}
	}
	return caio.Policy{}
}

// The chosen service meets every clause and every policy that applies, as contract.Match says of its contract; if none is
// chosen, every contract fails one.
func TestRouteNeverBreaksAClause(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(31, 32))
	routed := 0
	for range 20 {
		reg, offers := randomRegistry(t, random)
		contracts := map[string]*contract.Contract{}
		for _, o := range offers {
			contracts[o.id] = parse(t, o.yaml())
		}
		for range 30 {
			w := randomWish(random)
			required, rule, idle := randomDemand(random), randomDemand(random), policyFor(randomDemand(random))
			required.Capabilities = w.capabilities
			idle.When = map[string]any{"sensitive": !w.sensitive}
			request := caio.Request{Capabilities: w.capabilities, Guarantees: required.Guarantees, Constraints: required.Constraints,
				Policies: []caio.Policy{idle, policyFor(rule)}, TrustLevel: w.trust, Sensitive: w.sensitive}
			required.TrustLevel = &w.trust
			meets := func(ct *contract.Contract) bool {
				return ct.Match(required).OK && ct.Match(rule).OK && (!w.sensitive || ct.Privacy != nil &&
					(ct.Privacy.DataLocality != "cloud" || ct.Privacy.Encryption != nil && *ct.Privacy.Encryption))
			}
			decision, err := reg.Route(t.Context(), request)
			if errors.Is(err, caio.ErrNoMatch) {
				for id, ct := range contracts {
					if meets(ct) {
						t.Fatalf("Route(%+v) = %v, but %s meets it", request, err, id)
					}
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, candidate := range decision.Candidates {
				if !meets(contracts[candidate.ServiceID]) {
					t.Fatalf("Route(%+v) = %+v, but %s does not meet it", request, decision, candidate.ServiceID)
				}
			}
			verify(t, reg, decision)
			routed++
		}
	}
	if routed < 60 {
		t.Errorf("the test says little: %d requests were routed", routed)
	}
}

// Neither the order in which services registered nor a restart changes a decision, down to its words and proofs.
func TestRouteIsDeterministic(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(41, 42))
	var offers []offer
	for i := range 40 {
		offers = append(offers, randomOffer(random, fmt.Sprintf("service-%02d", i)))
	}
	store := new(storetest.MemoryStore)
	first, other := newRegistry(t, &registry.Options{Store: store}), newRegistry(t, nil)
	for _, reg := range []*registry.Registry{first, other} {
		random.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
		for _, o := range offers {
			if _, err := reg.Register(t.Context(), parse(t, o.yaml()), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	restarted := newRegistry(t, &registry.Options{Store: store})
	for range 100 {
		request := randomWish(random).request()
		if random.IntN(3) == 0 {
			request = chain([]wish{randomWish(random), randomWish(random)})
		}
		want, wantErr := first.Route(t.Context(), request)
		for _, reg := range []*registry.Registry{first, other, restarted} {
			got, err := reg.Route(t.Context(), request)
			if fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("Route(%+v): %v, then %v", request, wantErr, err)
			}
			if diff := gocmp.Diff(withoutID(t, want), withoutID(t, got)); diff != "" {
				t.Fatalf("Route(%+v) (-first +again):\n%s", request, diff)
			}
		}
	}
}

// withoutID is all of a decision but its id, as JSON; "" for none.
func withoutID(t *testing.T, decision *caio.Decision) string {
	t.Helper()
	if decision == nil {
		return ""
	}
	rest := *decision
	rest.DecisionID = ""
	text, err := json.Marshal(rest)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whatever stands in a contract, what a trace has of it suffices to verify the decision.
func TestTracesOfRealContractsVerify(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../../providers/codex/contract.yaml", "../../contract/testdata/planned_codex.yaml", "../../contract/testdata/questionable.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ct := parse(t, string(text))
		reg := newRegistry(t, nil)
		if _, err := reg.Register(t.Context(), ct, nil); err != nil {
			t.Fatal(err)
		}
		decision, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{ct.Capabilities[0].Type}, TrustLevel: 100})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		verify(t, reg, decision)
	}
}

// Of many services the nearest is named, also if it is the worst by score.
func TestNoMatchFindsTheNearestOfMany(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	for i := range 400 {
		o := offer{id: fmt.Sprintf("good-%03d", i), accuracy: map[string]float64{"chat": 0.99}, p95: 200, price: 0}
		if i == 200 {
			o = offer{id: "poor", accuracy: map[string]float64{"chat": 0.1}, p95: 101, price: -1}
		}
		if _, err := reg.Register(t.Context(), parse(t, o.yaml()), nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err := reg.Route(t.Context(), wish{capabilities: []string{"chat"}, p95: 100}.request())
	if err == nil || !strings.Contains(err.Error(), "the nearest, poor, fails") {
		t.Errorf("Route = %v", err)
	}
}
