package registry_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/boltstore"
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
	random := rand.New(rand.NewPCG(1, 2))
	m := &market{newRegistry(b, &registry.Options{MaxServices: manyServices + 1}), random, rand.NewZipf(random, 1.1, 2, 399)}
	for i := range manyServices {
		if _, err := m.Register(b.Context(), parse(b, m.offer(fmt.Sprintf("service-%05d", i)).yaml())); err != nil {
			b.Fatal(err)
		}
	}
	return m
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

// BenchmarkRoute measures mixed requests to 10,000 services and reports percentiles of those that are routed.
func BenchmarkRoute(b *testing.B) {
	m := newMarket(b)
	requests := m.requests(1000)
	var took []time.Duration
	matched, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		_, err := m.Route(b.Context(), requests[i%len(requests)])
		switch i++; {
		case err == nil:
			took = append(took, time.Since(start))
			matched++
		case !errors.Is(err, caio.ErrNoMatch):
			b.Fatal(err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*95/100].Nanoseconds()), "p95-ns")
	b.ReportMetric(float64(matched)/float64(i), "matched/op")
}

// BenchmarkList measures the whole answer to a list with a filter, without the network.
func BenchmarkList(b *testing.B) {
	m := newMarket(b)
	for _, capability := range []string{"capability_000", "capability_010", "capability_100"} {
		services, err := m.Services(b.Context(), caio.Query{Capability: capability})
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

// BenchmarkLoopback measures routed requests over TCP on this machine, on 32 connections with a client that does no more
// than send and read. With -cpu 1 server and client share one core.
func BenchmarkLoopback(b *testing.B) {
	m := newMarket(b)
	server := httptest.NewServer(m)
	defer server.Close()
	const connections = 32
	var left atomic.Int64
	b.ResetTimer()
	left.Store(int64(b.N))
	start := time.Now()
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			reader := bufio.NewReader(conn)
			for i := 0; left.Add(-1) >= 0; i++ {
				body := fmt.Sprintf(`{"requirements": ["capability_%03d"], "context": {}}`, i%20)
				fmt.Fprintf(conn, "POST /api/v1/orchestrate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				if err := readAnswer(reader); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "req/s")
}

// readAnswer reads one answer of status 200.
func readAnswer(reader *bufio.Reader) error {
	length := -1
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(line))
		switch {
		case first && !strings.Contains(text, " 200 "):
			return errors.New(text)
		case text == "":
			_, err := reader.Discard(length)
			return err
		case strings.HasPrefix(text, "Content-Length: "):
			if _, err := fmt.Sscan(text[16:], &length); err != nil {
				return err
			}
		}
	}
}
