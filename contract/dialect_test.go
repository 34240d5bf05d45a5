package contract_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// The ways in which guarantees are written in the field.
func TestGuaranteesInAllDialects(t *testing.T) {
	t.Parallel()
	bound := func(name, property string, b contract.Bound) contract.Guarantee {
		return contract.Guarantee{Name: name, Property: property, Bound: b}
	}
	for text, want := range map[string][]contract.Guarantee{
		"latency: {property: p95_latency_ms, bound: {max: 500}}": {bound("latency", "p95_latency_ms", contract.Bound{Max: new(500.0)})},
		"latency: {p95_ms: 500, p99_ms: 900}":                    {bound("latency", "p95_latency_ms", contract.Bound{Max: new(500.0)}), bound("latency", "p99_latency_ms", contract.Bound{Max: new(900.0)})},
		"latency: {p99: 900, p95: 500}":                          {bound("latency", "p95_latency_ms", contract.Bound{Max: new(500.0)}), bound("latency", "p99_latency_ms", contract.Bound{Max: new(900.0)})},
		"latency: {max: 500}":                                    {bound("latency", "max_latency_ms", contract.Bound{Max: new(500.0)})},
		"latency: 500":                                           {bound("latency", "p95_latency_ms", contract.Bound{Max: new(500.0)})},
		"latency_ms: 500":                                        {bound("latency_ms", "p95_latency_ms", contract.Bound{Max: new(500.0)})},
		"p99_latency_ms: 500":                                    {bound("p99_latency_ms", "p99_latency_ms", contract.Bound{Max: new(500.0)})},
		"accuracy: 0.95":                                         {bound("accuracy", "classification_accuracy", contract.Bound{Min: new(0.95)})},
		"accuracy: {min: 0.9}":                                   {bound("accuracy", "classification_accuracy", contract.Bound{Min: new(0.9)})},
		"accuracy: {min: 0.9, target: 0.95}":                     {bound("accuracy", "classification_accuracy", contract.Bound{Min: new(0.9), Other: map[string]any{"target": 0.95}})},
		"accuracy: {recall_accuracy: 0.9}":                       {bound("accuracy", "recall_accuracy", contract.Bound{Min: new(0.9)})},
		"determinism: true":                                      {bound("determinism", "deterministic_output", contract.Bound{SeedRequired: new(false)})},
		"determinism: false":                                     nil,
		"determinism: {seed_required: true}":                     {bound("determinism", "deterministic_output", contract.Bound{SeedRequired: new(true)})},
		"throughput: 20":                                         {bound("throughput", "requests_per_second", contract.Bound{Min: new(20.0)})},
		"throughput_tokens_per_sec: 50":                          {bound("throughput_tokens_per_sec", "tokens_per_second", contract.Bound{Min: new(50.0)})},
		"throughput: {tokens_per_second: 50}":                    {bound("throughput", "tokens_per_second", contract.Bound{Min: new(50.0)})},
		"availability: {target: 99.9}":                           {bound("availability", "availability", contract.Bound{Min: new(0.999)})},
		"availability: 99.95":                                    {bound("availability", "availability", contract.Bound{Min: new(0.9995)})},
		"conformance: 1":                                         {bound("conformance", "schema_conformance", contract.Bound{Min: new(1.0)})},
		"availability: {min: 0.99}":                              {bound("availability", "availability", contract.Bound{Min: new(0.99)})},
		"energy: {property: energy, bound: {type: equality, max_deviation: 1.0e-12}}": {bound("energy", "energy",
			contract.Bound{Other: map[string]any{"type": "equality", "max_deviation": 1e-12}})},
		"latency: {property: p95_latency_ms, bound: {max: 5, unit: ms}, window: 1h}": {bound("latency", "p95_latency_ms",
			contract.Bound{Max: new(5.0), Other: map[string]any{"unit": "ms"}})},
	} {
		c := mustParse(t, plain+"guarantees: {"+text+"}\n")
		if diff := cmp.Diff(want, c.Guarantees); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestGuaranteesInSeveralDialectsAreEqual(t *testing.T) {
	t.Parallel()
	full := mustParse(t, plain+`guarantees:
  accuracy: {property: classification_accuracy, bound: {min: 0.95}}
  latency: {property: p95_latency_ms, bound: {max: 500}}
`)
	short := mustParse(t, plain+"guarantees: {latency: {p95: 500}, accuracy: 0.950}\n")
	if !cmp.Equal(full, short) {
		t.Error("the full and the short form differ")
	}
}

func TestCostInAllDialects(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*contract.Cost{
		"cost: {model: per_token, token_cost: 0.1, currency: USD}":              {Model: "per_token", TokenCost: new(0.1), Currency: "USD"},
		"cost: {per_token: 0.1, currency: USD}":                                 {Model: "per_token", TokenCost: new(0.1), Currency: "USD"},
		"cost: {per_request: 2, per_image: 3, currency: EUR}":                   {Model: "per_request", BaseCost: new(2.0), Currency: "EUR", Other: map[string]any{"per_image": 3.0}},
		"constraints: {cost: {per_request: 2, currency: EUR}}":                  {Model: "per_request", BaseCost: new(2.0), Currency: "EUR"},
		"cost: {model: per_second, base_cost: 1, currency: USD, free_calls: 5}": {Model: "per_second", BaseCost: new(1.0), Currency: "USD", Other: map[string]any{"free_calls": 5.0}},
		"cost: {model: free}": {Model: "free"},
	} {
		if diff := cmp.Diff(want, mustParse(t, plain+text+"\n").Cost); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestInvariantsAndFurtherMembersAreKept(t *testing.T) {
	t.Parallel()
	c := mustParse(t, plain+`
guarantees: {accuracy: {min: 0.9, invariant: B}}
constraints: {rate_limit: {per_minute: 5, tokens_per_minute: 100}, context_length: {max_tokens: 10, unit: bpe}, zone: eu}
invariants:
  - {id: A, verification: notebooks/a.ipynb, artifact: a.json}
  - id: B
    verification: {type: telemetry, path: metrics, frequency: daily}
    artifact: {path: b.json, checks: ["energy_deviation <= 1e-12"]}
    threshold: {min: 0.9}
x-owner: {team: 7}
`)
	wantInvariants := []contract.Invariant{
		{ID: "A", Verification: "notebooks/a.ipynb", Artifact: "a.json"},
		{ID: "B", Verification: map[string]any{"type": "telemetry", "path": "metrics", "frequency": "daily"},
			Artifact: map[string]any{"path": "b.json", "checks": []any{"energy_deviation <= 1e-12"}}, Other: map[string]any{"threshold": map[string]any{"min": 0.9}}},
	}
	if diff := cmp.Diff(wantInvariants, c.Invariants); diff != "" {
		t.Errorf("invariants (-want +got):\n%s", diff)
	}
	wantConstraints := contract.Constraints{RateLimit: contract.RateLimit{PerMinute: 5}, MaxContextTokens: 10, Other: map[string]any{
		"zone": "eu", "rate_limit": map[string]any{"tokens_per_minute": 100.0}, "context_length": map[string]any{"unit": "bpe"}}}
	if diff := cmp.Diff(wantConstraints, c.Constraints); diff != "" {
		t.Errorf("constraints (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"x-owner": map[string]any{"team": 7.0}}, c.Extensions); diff != "" {
		t.Errorf("extensions (-want +got):\n%s", diff)
	}
}

// What YAML readers disagree about, or turn into other types, stays what it was written as.
func TestScalarsAreReadAsWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]any{
		"2026-01-07": "2026-01-07", "12:30": "12:30", "yes": "yes", "1.0.0": "1.0.0", "'1'": "1", "!!str 1": "1", "1": 1.0, "-0.5e3": -500.0, "+5": 5.0,
		".5": 0.5, "5.": 5.0, "~": nil, "true": true, "False": false, "\"\\U0001F600\"": "😀", "<a>": "<a>", "9007199254740993": 9007199254740992.0,
		"[1, {a: b}]": []any{1.0, map[string]any{"a": "b"}}, "{<<: {a: 1, b: 1}, b: 2}": map[string]any{"a": 1.0, "b": 2.0},
		"{<<: [{a: 1}, {a: 2, c: 3}]}": map[string]any{"a": 1.0, "c": 3.0}, "{'<<': 1}": map[string]any{"<<": 1.0}, "|\n  a\n  b\n": "a\nb\n",
	} {
		c := mustParse(t, plain+"x-a: "+text+"\n")
		if diff := cmp.Diff(want, c.Extensions["x-a"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	body := `{"x-a": "\ud83d\ude00",` + string(mustJSON(t, mustParse(t, plain)))[1:]
	if got := mustParse(t, body).Extensions["x-a"]; got != "😀" {
		t.Errorf("a surrogate pair became %q", got)
	}
}
