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
		c.Guarantees = append(c.Guarantees, contract.Guarantee{Name: "latency", Property: property, Bound: contract.Bound{Max: new(float64(random.IntN(1000)))}})
	}
	c.Constraints = contract.Constraints{MaxConcurrentRequests: random.IntN(20), RequiresGPU: pick(random, nil, new(true), new(false)),
		RateLimit: contract.RateLimit{PerMinute: random.IntN(100)}, Other: map[string]any{"zone": pick(random, "eu", "us"), "required_trust_level": float64(random.IntN(3))}}
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
	switch random.IntN(4) {
	case 0:
		r.Guarantees["accuracy"] = contract.Bound{Min: new(float64(random.IntN(100)) / 100)}
	case 1:
		r.Guarantees["p95_latency_ms"] = contract.Bound{Max: new(float64(random.IntN(1000)))}
	case 2:
		r.Constraints["requires_gpu"] = pick[any](random, true, false, "no")
		r.Constraints["max_concurrent_requests"] = random.IntN(20)
	}
	if random.IntN(3) == 0 {
		r.Constraints[pick(random, "zone", "constraints.zone", "privacy.data_locality", "encryption")] = pick[any](random, "eu", "local", true)
	}
	if random.IntN(4) == 0 {
		r.TrustLevel = new(float64(random.IntN(3)))
	}
	return r
}

func pick[T any](random *rand.Rand, list ...T) T { return list[random.IntN(len(list))] }

// An index answers as a scan of all contracts does, whatever was put and removed before.
func TestIndexAnswersLikeAScan(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var index contract.Index
	held := map[string]*contract.Contract{}
	hits := 0
	for range 600 {
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
		for _, c := range index.All() {
			if held[c.ID] != c {
				t.Fatalf("%s is not what was put", c.ID)
			}
			if c.Match(r).OK {
				want = append(want, c.ID)
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
	if hits < 300 {
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
