package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

var soak = flag.Duration("soak", 2*time.Second, "how long TestSoak runs")

const (
	soakRate    = 40              // things that callers do per second; each is one call, or a few
	soakCallers = 64              // that may be at it at the same time
	soakSamples = 30              // of what the process holds, at most
	soakPatient = 5 * time.Second // for calls of long soaks; short ones do not wait for a deadline
)

// TestSoak calls a bridge as callers do for long: most get what they want, some come upon faults, some leave. What the
// process holds when nobody calls must not grow with the calls it has served.
//
// It has the machine's goroutines and files to itself, for it is not parallel.
func TestSoak(t *testing.T) {
	patience, calls := time.Minute, soakCalls
	if *soak >= time.Minute {
		patience, calls = soakPatient, append(calls, patientCalls...)
	}
	s := startSoak(t, patience)
	var samples []sample
	for start := time.Now(); time.Since(start) < *soak; {
		s.call(t, calls, *soak/soakSamples)
		samples = append(samples, s.measure(t, time.Since(start)))
	}
	t.Logf("%d calls in %v, of each kind:\n%s", s.done.Load(), *soak, s.counts())
	report(t, samples)
	if n := s.errors.Load(); n > 0 {
		t.Errorf("the log has %d errors", n)
	}
	if found := discover(t, s.registry, "code_review"); found.Status != "active" {
		t.Errorf("at the end the registry has the service as %s", found.Status)
	}
}

// A soaked is the whole process under test: the bridge with its provider, the model's server, the registry, metrics.
type soaked struct {
	bridge   *bridge.Bridge
	model    string // URL
	url      string
	client   *http.Client // of the callers
	registry *caio.Client
	errors   atomic.Int64 // records of the log at level ERROR

	done   atomic.Int64
	mu     sync.Mutex
	byName map[string]int
}

func startSoak(t *testing.T, patience time.Duration) *soaked {
	t.Helper()
	s := &soaked{byName: map[string]int{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakCallers}}}
	log := slog.New(errorCounter{slog.DiscardHandler, t, &s.errors})
	model := httptest.NewServer(soakModel(newDemo()))
	t.Cleanup(model.Close)
	cfg := &config{caioAddr: "127.0.0.1:0", metricsAddr: "127.0.0.1:0"}
	orchestrator, stopCAIO, err := chooseCAIO(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stopCAIO)
	s.registry = newClient(t, orchestrator)
	announcer, err := caio.NewClient(orchestrator, &caio.Options{Logger: log, Heartbeat: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	meters, stopMetrics, err := serveMetrics(cfg, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stopMetrics)
	s.model = model.URL
	provider, err := s.newProvider()
	if err != nil {
		t.Fatal(err)
	}
	s.bridge, err = bridge.New(generous(t), provider, &bridge.Options{
		Logger: log, MeterProvider: meters, Announcer: announcer,
		StoreFile: filepath.Join(t.TempDir(), "jobs.db"), KeepFor: 5 * time.Second,
		Timeout: patience, JobTimeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = urlOf(ln)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.bridge.Serve(ctx, ln) }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	discover(t, s.registry, "code_generation")
	return s
}

func (s *soaked) newProvider() (*codex.Provider, error) {
	return codex.New(&codex.Options{BaseURL: s.model + "/v1", Model: "soaked"})
}

// generous returns the provider's contract with limits that the soak does not meet. Limits per hour
// are left out: their windows remember calls for an hour.
func generous(t *testing.T) *contract.Contract {
	t.Helper()
	c, err := contract.Load(editedContract(t, 200), "contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// editedContract returns the provider's contract.yaml and schemas, with so many concurrent requests,
// 20,000 per minute, and no limit per hour.
func editedContract(t *testing.T, concurrent int) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	source := os.DirFS("../../providers/codex")
	schemas, err := fs.Glob(source, "schemas/*.json")
	if err != nil {
		t.Fatal(err)
	}
	edits := strings.NewReplacer("max_concurrent_requests: 10", fmt.Sprintf("max_concurrent_requests: %d", concurrent),
		"per_minute: 60", "per_minute: 20000", "per_hour: 1000", "")
	for _, name := range append(schemas, "contract.yaml") {
		text, err := fs.ReadFile(source, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: []byte(edits.Replace(string(text)))}
	}
	return files
}

// call lets callers come at the soak's rate, and waits until all have what they came for.
func (s *soaked) call(t *testing.T, calls []soakCall, d time.Duration) {
	t.Helper()
	var lots []soakCall
	for _, c := range calls {
		lots = append(lots, slices.Repeat([]soakCall{c}, c.weight)...)
	}
	var callers sync.WaitGroup
	places := make(chan struct{}, soakCallers)
	ticker := time.NewTicker(time.Second / soakRate)
	defer ticker.Stop()
	for end := time.After(d); ; {
		select {
		case <-end:
			callers.Wait()
			return
		case <-ticker.C:
		}
		places <- struct{}{}
		callers.Go(func() {
			defer func() { <-places }()
			c := lots[rand.N(len(lots))]
			if err := c.do(t.Context(), s); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			s.done.Add(1)
			s.mu.Lock()
			s.byName[c.name]++
			s.mu.Unlock()
		})
	}
}

func (s *soaked) counts() string {
	var b strings.Builder
	for c := range slices.Values(slices.Concat(soakCalls, patientCalls)) {
		fmt.Fprintf(&b, "%6d %s\n", s.byName[c.name], c.name)
	}
	return b.String()
}

// A sample is what the process holds at one moment.
type sample struct {
	at    time.Duration
	calls int64
	held  [4]float64 // as in holdings
}

// holdings are what is measured, and how much more of it may be there in the last third than in the first, after a start
// of a fifth: connections come and go, the store's file is mapped by pages, and a heap is never as large twice.
var holdings = [4]struct {
	name            string
	slack, fraction float64
}{
	{"goroutines", 12, 0},
	{"open files", 12, 0},
	{"heap, MiB", 1, 0.1},
	{"resident, MiB", 12, 0.1},
}

// measure waits until nothing goes on, and counts what is left.
func (s *soaked) measure(t *testing.T, at time.Duration) sample {
	t.Helper()
	for inProgress := 1.0; inProgress > 0; time.Sleep(10 * time.Millisecond) {
		_, health := call(t, http.MethodGet, s.url+"/health", nil)
		inProgress = health["calls_in_progress"].(float64)
	}
	s.client.CloseIdleConnections()
	goroutines := runtime.NumGoroutine()
	for range 100 { // connections take a moment to close
		before := goroutines
		time.Sleep(10 * time.Millisecond)
		if goroutines = runtime.NumGoroutine(); goroutines == before {
			break
		}
	}
	debug.FreeOSMemory()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	files, _ := os.ReadDir("/proc/self/fd") // none where there is no such thing
	return sample{at, s.done.Load(), [4]float64{float64(goroutines), float64(len(files)), float64(mem.HeapAlloc) / (1 << 20), residentMiB()}}
}

// residentMiB is 0 where there is no /proc.
func residentMiB() float64 {
	text, _ := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// report prints the samples, and compares the last third with the first.
func report(t *testing.T, samples []sample) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| after | calls |")
	for _, h := range holdings {
		b.WriteString(" " + h.name + " |")
	}
	b.WriteString("\n| --: | --: | --: | --: | --: | --: |\n")
	for _, s := range samples {
		fmt.Fprintf(&b, "| %v | %d | %.0f | %.0f | %.1f | %.1f |\n", s.at.Round(100*time.Millisecond), s.calls, s.held[0], s.held[1], s.held[2], s.held[3])
	}
	samples = samples[len(samples)/5:]
	third := len(samples) / 3
	for i, h := range holdings {
		first, last := median(samples[:third], i), median(samples[len(samples)-third:], i)
		fmt.Fprintf(&b, "%s: median %.1f in the first third, %.1f in the last\n", h.name, first, last)
		if last > first+h.slack+first*h.fraction {
			t.Errorf("%s grow: %.1f in the first third, %.1f in the last", h.name, first, last)
		}
	}
	t.Log("\n" + b.String())
}

func median(samples []sample, i int) float64 {
	sorted := slices.SortedFunc(slices.Values(samples), func(a, b sample) int { return cmp.Compare(a.held[i], b.held[i]) })
	return sorted[len(sorted)/2].held[i]
}

// An errorCounter shows the log's errors, and nothing else.
type errorCounter struct {
	slog.Handler
	t     *testing.T
	count *atomic.Int64
}

func (errorCounter) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (h errorCounter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		h.count.Add(1)
		return slog.NewTextHandler(h.t.Output(), nil).Handle(ctx, r)
	}
	return nil
}

func (h errorCounter) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h errorCounter) WithGroup(string) slog.Handler      { return h }
