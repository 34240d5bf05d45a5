package registry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/boltstore"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const manyServices = 10_000

// A market is a registry of many services, whose capabilities are as popular as words are (Zipf), and requests to it.
type market struct {
	*registry.Registry
	random *rand.Rand
	zipf   *rand.Zipf
}

func newMarket(b *testing.B) *market {
	b.Helper()
	m, err := openMarket(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func openMarket(ctx context.Context) (*market, error) {
	random := rand.New(rand.NewPCG(1, 2))
	reg, err := registry.New(&registry.Options{MaxServices: manyServices + 1})
	m := &market{reg, random, rand.NewZipf(random, 1.1, 2, 399)}
	for i := range manyServices {
		var ct *contract.Contract
		if err == nil {
			ct, err = contract.Parse("market", []byte(m.offer(fmt.Sprintf("service-%05d", i)).yaml()))
		}
		if err == nil {
			_, err = m.Register(ctx, ct, nil)
		}
	}
	return m, err
}

func (m *market) capability() string { return fmt.Sprintf("capability_%03d", m.zipf.Uint64()) }

func (m *market) offer(id string) offer {
	o := randomOffer(m.random, id)
	clear(o.accuracy)
	for range 1 + m.random.IntN(5) {
		o.accuracy[m.capability()] = float64(70+m.random.IntN(30)) / 100
	}
	return o
}

// requests are of all kinds: one to three capabilities, with and without bounds, constraints, policies and sensitive data.
func (m *market) requests(n int) []caio.Request {
	list := make([]caio.Request, n)
	for i := range list {
		w := randomWish(m.random)
		w.capabilities = nil
		for range 1 + m.random.IntN(3)*m.random.IntN(2) {
			if c := m.capability(); !slices.Contains(w.capabilities, c) {
				w.capabilities = append(w.capabilities, c)
			}
		}
		list[i] = w.request()
	}
	return list
}

// BenchmarkRoute measures mixed requests to 10,000 services and reports percentiles of those that are routed, and of those
// that no service meets, which are refused with an explanation.
func BenchmarkRoute(b *testing.B) {
	m := newMarket(b)
	requests := m.requests(1000)
	var routed, refused []time.Duration
	measure := func(request caio.Request) {
		start := time.Now()
		_, err := m.Route(b.Context(), request)
		switch {
		case err == nil:
			routed = append(routed, time.Since(start))
		case errors.Is(err, caio.ErrNoMatch):
			refused = append(refused, time.Since(start))
		default:
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		measure(requests[i%len(requests)])
	}
	reportPercentiles(b, "", routed)
	reportPercentiles(b, "refused-", refused)
	b.ReportMetric(float64(len(routed))/float64(len(routed)+len(refused)), "matched/op")
}

// BenchmarkList measures the whole answer to a list with a filter, without the network.
func BenchmarkList(b *testing.B) {
	m := newMarket(b)
	for _, capability := range []string{"capability_000", "capability_010", "capability_100"} {
		services, err := m.Services(b.Context(), caio.Filter{Capability: capability})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("of-%d", len(services)), func(b *testing.B) {
			b.ReportAllocs()
			request := httptest.NewRequest("GET", "http://localhost/api/v1/services?capability="+capability, nil)
			for b.Loop() {
				m.ServeHTTP(nowhere{}, request)
			}
		})
	}
}

type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// BenchmarkRegister measures a registration over HTTP, without the network, with 10,000 others there: of contracts that
// come as JSON, in memory and in a file.
func BenchmarkRegister(b *testing.B) {
	m := newMarket(b)
	store, err := boltstore.Open(filepath.Join(b.TempDir(), "registry.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	for name, reg := range map[string]*registry.Registry{"memory": m.Registry, "file": newRegistry(b, &registry.Options{Store: store})} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			body := `{"contract": ` + codexJSON(b) + `}`
			for i := 0; b.Loop(); i++ {
				e := exchange{method: "POST", path: "/api/v1/services", contentType: asJSON, body: body}
				if status, answer := e.send(b, reg); status != 200 {
					b.Fatal(answer)
				}
				if err := reg.Unregister(b.Context(), "codex-bridge-001"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNoMatch measures the explanation of why none of thousands matches.
func BenchmarkNoMatch(b *testing.B) {
	m := newMarket(b)
	request := caio.Request{Capabilities: []string{"capability_000"}, Guarantees: map[string]contract.Bound{"p95_latency_ms": {Max: new(1.0)}}, Sensitive: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Route(b.Context(), request); !errors.Is(err, caio.ErrNoMatch) {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen measures the start of a registry whose store holds 10,000 services.
func BenchmarkOpen(b *testing.B) {
	m, store := newMarket(b), new(storetest.MemoryStore)
	reg := newRegistry(b, &registry.Options{Store: store})
	for i := range manyServices {
		service, err := m.Service(b.Context(), fmt.Sprintf("service-%05d", i))
		if err == nil {
			_, err = reg.Register(b.Context(), service.Contract, nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		newRegistry(b, &registry.Options{Store: store})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/manyServices, "ns/service")
}

// BenchmarkMemory reports what holding a registered service takes, its contract included: of the market, and of a contract
// as large as that of the Codex bridge. B/op is of the whole registration of one.
func BenchmarkMemory(b *testing.B) {
	codex, err := os.ReadFile("../../providers/codex/contract.yaml")
	if err != nil {
		b.Fatal(err)
	}
	m := &market{random: rand.New(rand.NewPCG(1, 2))}
	m.zipf = rand.NewZipf(m.random, 1.1, 2, 399)
	for name, text := range map[string]func(id string) string{
		"market": func(id string) string { return m.offer(id).yaml() },
		"codex":  func(id string) string { return strings.Replace(string(codex), "codex-bridge-001", id, 1) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			reg := newRegistry(b, &registry.Options{MaxServices: 1_000_000})
			before, objects := held()
			i := 0
			for ; b.Loop(); i++ {
				if _, err := reg.Register(b.Context(), parse(b, text(fmt.Sprintf("service-%07d", i))), nil); err != nil {
					b.Fatal(err)
				}
			}
			after, more := held()
			b.ReportMetric((after-before)/float64(i), "held-B/service")
			b.ReportMetric((more-objects)/float64(i), "objects/service")
			runtime.KeepAlive(reg)
		})
	}
}

// held returns how many bytes of how many objects are in use.
func held() (bytes, objects float64) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc), float64(stats.HeapObjects)
}
