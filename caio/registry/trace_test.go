package registry_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
)

// chainRegistry holds services for a chain, and a trace of one.
func chainRegistry(t *testing.T) (*registry.Registry, *caio.Decision, []byte) {
	t.Helper()
	reg := newRegistry(t, nil)
	const guarantees = `  guarantees:
    accuracy: {property: classification_accuracy, bound: {min: %g}, invariant: INV-1}
    latency: {property: p95_latency_ms, bound: {max: %d}}
    determinism: {property: deterministic_output, bound: {seed_required: %t}}
    throughput: {property: requests_per_second, bound: {min: 1}}
  invariants:
    - {id: INV-1, description: it is right, formula: a >= b}
  privacy: {data_locality: local, encryption: false}
`
	for i, o := range []offer{
		{id: "draft", accuracy: map[string]float64{"write": 0.9}, price: 0.5},
		{id: "check", accuracy: map[string]float64{"review": 0.8, "write": 0.1}, price: -1},
		{id: "other", accuracy: map[string]float64{"review": 0.7}, price: 3},
	} {
		text := o.yaml() + fmt.Sprintf(guarantees, 0.9-0.1*float64(i), 100*(i+1), i == 1)
		if _, err := reg.Register(t.Context(), parse(t, text), nil); err != nil {
			t.Fatal(err)
		}
	}
	decision, err := reg.Route(t.Context(), caio.Request{
		Steps: []caio.Step{
			{Capabilities: []string{"write"}, Guarantees: map[string]contract.Bound{"latency": {Max: new(1e19)}}},
			{Capabilities: []string{"review"}, Constraints: map[string]any{"requires_gpu": false}},
		},
		Policies: []caio.Policy{
			{Type: "constraint", Field: "guarantees.accuracy", Value: contract.Bound{Min: new(0.75)}, When: map[string]any{"intent.type": "publish", "user.trust_level": 2}},
			{Type: "constraint", Field: "capabilities", Value: "swim", When: map[string]any{"intent.type": "holiday"}},
		},
		TrustLevel: 2, Sensitive: true, Intent: map[string]any{"type": "publish", "other": "private"},
	})
	if err != nil {
		t.Fatal(err)
	}
	trace, err := reg.Trace(t.Context(), decision.DecisionID)
	if err != nil {
		t.Fatal(err)
	}
	return reg, decision, trace.Raw
}

func TestChainComposesGuarantees(t *testing.T) {
	t.Parallel()
	_, decision, trace := chainRegistry(t)
	want := map[string]any{
		"accuracy":    map[string]any{"property": "classification_accuracy", "bound": map[string]any{"min": 0.8}},
		"latency":     map[string]any{"property": "p95_latency_ms", "bound": map[string]any{"max": 300.0}},
		"determinism": map[string]any{"property": "deterministic_output", "bound": map[string]any{"seed_required": true}},
	}
	if diff := cmp.Diff(want, decision.Guarantees); diff != "" {
		t.Errorf("guarantees (-want +got):\n%s", diff)
	}
	if len(decision.Steps) != 2 || decision.Steps[0].ServiceID != "draft" || decision.Steps[1].ServiceID != "check" || decision.ServiceID != "draft" {
		t.Errorf("steps %+v", decision.Steps)
	}
	var kinds []string
	for _, proof := range decision.Proofs {
		kinds = append(kinds, fmt.Sprint(proof.Step, proof.Type))
		if !proof.Valid || proof.Statement == "" || proof.Verification == "" || proof.Evidence == nil {
			t.Errorf("proof misses something: %+v", proof)
		}
	}
	steps := "1contract_matching 1rules 1security 1selection 2contract_matching 2rules 2security 2selection 0guarantee_composition"
	if got := strings.Join(kinds, " "); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(steps, " ", "") {
		t.Errorf("proofs %s, want %s", got, steps)
	}
	if err := registry.Verify(trace); err != nil {
		t.Error(err)
	}
	if strings.Contains(string(trace), "private") {
		t.Errorf("the trace keeps more of the intent than policies depend on: %s", trace)
	}
}

// Every single byte counts: whichever is changed to whatever, the trace does not verify any more. Each run tries some, of
// the trace of a chain and of one that is not.
func TestVerifyNoticesEveryByte(t *testing.T) {
	t.Parallel()
	reg, _, ofChain := chainRegistry(t)
	decision, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"review"}, TrustLevel: 1,
		Constraints: map[string]any{"requires_gpu": false}, Policies: []caio.Policy{{Type: "constraint", Field: "capabilities", Value: "review"}}})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(rand.Uint64(), 4))
	likely := `0123456789"{}[],:.-+eE atflnsu\` + "\n"
	for _, trace := range [][]byte{ofChain, verify(t, reg, decision)} {
		for at := random.IntN(7); at < len(trace); at += 1 + random.IntN(149) {
			altered := append([]byte(nil), trace...)
			altered[at] = likely[random.IntN(len(likely))]
			if random.IntN(3) == 0 {
				altered[at] = byte(random.IntN(256))
			}
			if altered[at] == trace[at] {
				altered[at] ^= 1
			}
			if registry.Verify(altered) == nil {
				t.Fatalf("byte %d changed from %q to %q, and it verifies: …%s…", at, trace[at], altered[at], altered[max(0, at-40):min(len(altered), at+40)])
			}
		}
	}
}

// Digits of escapes count, too, whose value is the same in capitals.
func TestVerifyNoticesCapitals(t *testing.T) {
	t.Parallel()
	reg, _, _ := chainRegistry(t)
	when := map[string]any{"context.note": "another"}
	decision, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"review"}, TrustLevel: 1, Context: map[string]any{"note": "one\x1f\\u001F"},
		Policies: []caio.Policy{{Type: "constraint", Field: "requires_gpu", Value: true, When: when}}})
	if err != nil {
		t.Fatal(err)
	}
	trace := string(verify(t, reg, decision))
	altered := strings.Replace(trace, `one\u001f`, `one\u001F`, 1)
	if err := registry.Verify([]byte(altered)); altered == trace || err == nil || !strings.Contains(err.Error(), "capitals") {
		t.Errorf("Verify of %q instead of %q: %v", altered, trace, err)
	}
}

// A forger who also repairs the hash is found out by the proofs.
func TestVerifyRecomputesProofs(t *testing.T) {
	t.Parallel()
	_, _, trace := chainRegistry(t)
	for name, forgery := range map[string]struct {
		was, is, finds string
		inProofs       bool
	}{
		"another service":     {`"service_id":"check"`, `"service_id":"other"`, "decision", false},
		"better score":        {`"score":0.`, `"score":0.9`, "selection", false},
		"weights":             {`"cost":2`, `"cost":20`, "selection", false},
		"promise":             {`"bound":{"max":100}`, `"bound":{"max":10}`, "contract_matching", true},
		"failing promise":     {`"bound":{"min":0.9}`, `"bound":{"min":0.1}`, "fails", true},
		"requirement":         {`"max":10000000000000000000`, `"max":1`, "guarantees.latency fails", false},
		"policy":              {`"intent.type":"publish"`, `"intent.type":"holiday"`, "proof 2 (rules)", false},
		"composition":         {`{"max":300}`, `{"max":30}`, "guarantee_composition", true},
		"locality":            {`"data_locality":"local"`, `"data_locality":"cloud"`, "security", true},
		"a proof less":        {`"proof_type":"rules"`, `"proof_type":"hope"`, "proof 2 (rules)", false},
		"no such contract":    {`"version":"1.0.0"`, `"version":"one"`, "not valid", true},
		"unknown member":      {`"trust_level":2`, `"trust_level":2,"x":1`, "request", false},
		"considered too many": {`"considered":2`, `"considered":0`, "selection", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := 0
			if forgery.inProofs {
				start = strings.Index(string(trace), `"proofs"`)
			}
			forged := string(trace[:start]) + strings.Replace(string(trace[start:]), forgery.was, forgery.is, 1)
			if forged == string(trace) {
				t.Fatalf("there is no %s in %s", forgery.was, trace)
			}
			err := registry.Verify(rehashed(t, forged))
			if err == nil || !strings.Contains(err.Error(), forgery.finds) || strings.Contains(err.Error(), "it was altered") {
				t.Errorf("Verify = %v, want it to find %q", err, forgery.finds)
			}
		})
	}
}

// rehashed gives the trace the hash that Verify says it should have.
func rehashed(t *testing.T, trace string) []byte {
	t.Helper()
	err := registry.Verify([]byte(trace))
	if err == nil {
		t.Fatal("the forgery verifies")
	}
	_, rest, ok := strings.Cut(err.Error(), "its content has ")
	if !ok {
		t.Fatalf("no hash in %v", err)
	}
	hash, _, _ := strings.Cut(rest, ": it was altered")
	start := strings.Index(trace, `"sha256:`)
	return []byte(trace[:start+1] + hash + trace[start+1+len(hash):])
}

// A trace verifies in whatever layout it is kept.
func TestVerifyReadsOtherLayouts(t *testing.T) {
	t.Parallel()
	_, _, trace := chainRegistry(t)
	var decoded map[string]any
	if err := json.Unmarshal(trace, &decoded); err != nil {
		t.Fatal(err)
	}
	indented, _ := json.MarshalIndent(decoded, "", "  ")
	if err := registry.Verify(indented); err != nil {
		t.Errorf("indented: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"hash":"sha256:0","decision":{},"decision_id":"d","guarantees":{},"proofs":[{"proof_type":"contract_matching","evidence":{}}],"request":{"requirements":["a"]},"timestamp":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, trace []byte) {
		defer costtest.AllocatesAtMost(t, 32<<20)()
		if registry.Verify(trace) == nil {
			t.Errorf("verifies: %s", trace)
		}
	})
}
