package contract_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// randomContract has 1 to 5 of many capabilities, few of which are frequent, and terms of every kind.
func randomContract(random *rand.Rand, id int) *contract.Contract {
	c := &contract.Contract{ID: fmt.Sprintf("service-%05d", id)}
	for range 1 + random.IntN(5) {
		c.Capabilities = append(c.Capabilities, contract.Capability{Type: randomType(random)})
	}
	if random.IntN(3) > 0 {
		c.Guarantees = append(c.Guarantees, contract.Guarantee{Name: "accuracy", Property: "classification_accuracy", Bound: contract.Bound{Min: new(float64(random.IntN(100)) / 100)}})
	}
	if random.IntN(3) > 0 {
		property := pick(random, "p50_latency_ms", "p95_latency_ms", "p99_latency_ms")
		name := pick(random, "latency", "latency", "p50_latency_ms", "accuracy")
		c.Guarantees = append(c.Guarantees, contract.Guarantee{Name: name, Property: property, Bound: contract.Bound{Max: new(float64(random.IntN(1000)))}})
	}
	if random.IntN(3) == 0 {
		c.Guarantees = append(c.Guarantees, contract.Guarantee{Name: "determinism", Property: "deterministic_output",
			Bound: contract.Bound{SeedRequired: pick(random, nil, new(true), new(false)), Other: map[string]any{"type": pick[any](random, "equality", 1.0, nil)}}})
	}
	c.Constraints = contract.Constraints{MaxConcurrentRequests: random.IntN(20), RequiresGPU: pick(random, nil, new(true), new(false)),
		RateLimit: contract.RateLimit{PerMinute: random.IntN(100)}, Other: map[string]any{"zone": pick(random, "eu", "us")}, MaxContextTokens: random.IntN(3) * 1000}
	if level := pick[any](random, nil, 0.0, 1.0, 2.0, "high"); level != nil {
		c.Constraints.Other["required_trust_level"] = level
	}
	if random.IntN(4) == 0 {
		c.Alignment = &contract.Alignment{SafetyLevel: pick(random, "", "high"), Other: map[string]any{"zone": []any{"eu"}, "required_trust_level": 1.0}}
	}
	if random.IntN(8) == 0 {
		return c
	}
	c.Privacy = &contract.Privacy{DataLocality: pick(random, "cloud", "local"), Encryption: pick(random, nil, new(true), new(false))}
	return c
}

func randomType(random *rand.Rand) string {
	return fmt.Sprintf("type-%d", int(float64(400)*random.Float64()*random.Float64()*random.Float64()))
}

func randomRequirements(random *rand.Rand) contract.Requirements {
	r := contract.Requirements{Guarantees: map[string]contract.Bound{}, Constraints: map[string]any{}}
	for range random.IntN(3) {
		r.Capabilities = append(r.Capabilities, randomType(random))
	}
	for range random.IntN(3) {
		r.AnyOf = append(r.AnyOf, randomType(random))
	}
	switch random.IntN(8) {
	case 0:
		r.Guarantees["accuracy"] = contract.Bound{Min: new(float64(random.IntN(100)) / 100)}
	case 1:
		r.Guarantees["p95_latency_ms"] = contract.Bound{Max: new(float64(random.IntN(1000)))}
	case 2:
		r.Constraints["requires_gpu"] = pick[any](random, true, false, "no")
		r.Constraints["max_concurrent_requests"] = random.IntN(20)
	case 3:
		r.Guarantees[pick(random, "latency", "p50_latency_ms", "max_latency_ms")] = contract.Bound{Max: new(float64(random.IntN(2000)))}
	case 4:
		r.Guarantees[pick(random, "determinism", "deterministic_output")] = contract.Bound{SeedRequired: pick(random, nil, new(true), new(false)),
			Other: pick(random, nil, map[string]any{"type": "equality"}, map[string]any{"type": 1}, map[string]any{"type": nil})}
	case 5:
		r.Constraints[pick(random, "max_context_tokens", "context_length.max_tokens", "constraints.max_context_tokens")] = random.IntN(3000)
	}
	if random.IntN(3) == 0 {
		r.Constraints[pick(random, "zone", "constraints.zone", "alignment.zone", "privacy.data_locality", "encryption", "safety_level")] = pick[any](random, "eu", "local", true, "high", []any{"eu"})
	}
	if random.IntN(4) == 0 {
		r.TrustLevel = new(float64(random.IntN(3)))
	}
	return r
}

func pick[T any](random *rand.Rand, list ...T) T { return list[random.IntN(len(list))] }

// An index and a query answer as a scan of all contracts does, whatever was put and removed before.
func TestIndexAnswersLikeAScan(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var index contract.Index
	held := map[string]*contract.Contract{}
	hits := 0
	for range 2000 {
		id := random.IntN(100)
		c := randomContract(random, id)
		if random.IntN(3) == 0 {
			_, want := held[c.ID]
			if got := index.Remove(c.ID); got != want {
				t.Fatalf("Remove(%s) = %t", c.ID, got)
			}
			delete(held, c.ID)
		} else {
			index.Put(c)
			held[c.ID] = c
		}
		r := randomRequirements(random)
		var want, got []string
		query := contract.NewQuery(r)
		for _, c := range index.All() {
			if held[c.ID] != c {
				t.Fatalf("%s is not what was put", c.ID)
			}
			match := c.Match(r)
			if match.OK {
				want = append(want, c.ID)
			}
			if query.MetBy(c) != match.OK {
				t.Fatalf("MetBy is %t of %+v for %+v:\n%+v", !match.OK, c, r, match)
			}
		}
		for _, c := range index.Find(r) {
			got = append(got, c.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(index.All()) != len(held) {
			t.Fatalf("%+v (-scan +index):\n%s", r, diff)
		}
		hits += len(got)
	}
	if hits < 1000 {
		t.Errorf("the test says little: %d hits", hits)
	}
}

func TestIndexServesReadersWhileItChanges(t *testing.T) {
	t.Parallel()
	var index contract.Index
	if _, found := index.Get("none"); found || len(index.Find(contract.Requirements{})) > 0 {
		t.Error("the zero index should be empty")
	}
	random := rand.New(rand.NewPCG(5, 6))
	steady := randomContract(random, 100_000)
	index.Put(randomContract(random, 1), steady, steady)
	if all := index.All(); len(all) != 2 || all[1] != steady {
		t.Errorf("%d contracts", len(all))
	}
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(worker)))
			for i := range 200 {
				index.Put(randomContract(random, i))
				if got, found := index.Get(steady.ID); !found || got != steady {
					t.Error("a contract was lost")
				}
				index.Find(randomRequirements(random))
				index.Remove(fmt.Sprintf("service-%05d", i))
			}
		})
	}
	group.Wait()
}

func BenchmarkIndex(b *testing.B) {
	for _, size := range []int{10, 1_000, 10_000} {
		random := rand.New(rand.NewPCG(1, 2))
		var contracts []*contract.Contract
		for id := range size {
			contracts = append(contracts, randomContract(random, id))
		}
		var index contract.Index
		index.Put(contracts...)
		var mixed []contract.Requirements
		for len(mixed) < 256 {
			if r := randomRequirements(random); len(r.Capabilities) > 0 {
				mixed = append(mixed, r)
			}
		}
		b.Run(fmt.Sprintf("find/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				index.Find(mixed[i%len(mixed)])
			}
		})
		b.Run(fmt.Sprintf("scan/%d", size), func(b *testing.B) {
			all := index.All()
			for i := 0; b.Loop(); i++ {
				for _, c := range all {
					c.Match(mixed[i%len(mixed)])
				}
			}
		})
		b.Run(fmt.Sprintf("put and remove/%d", size), func(b *testing.B) {
			c := randomContract(random, size/2)
			for b.Loop() {
				index.Put(c)
				index.Remove(c.ID)
			}
		})
	}
}
