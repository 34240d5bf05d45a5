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

	"go.opentelemetry.io/otel/metric"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

var (
	soak        = flag.Duration("soak", 2*time.Second, "duration of TestSoak")
	soakHostile = flag.Bool("soak-hostile", true, "let a tenth of TestSoak's calls be hostile")
)

const (
	soakRate    = 40              // calls per second, hostile ones included; a few kinds make several requests
	soakShare   = 10              // one call of so many is hostile
	soakCallers = 128             // calls at a time
	soakSamples = 30              // maximum number of samples
	soakPatient = 5 * time.Second // for calls of long soaks; short ones do not wait for a deadline

	// soakSettle is for long soaks: net/http keeps a connection for half a second if it refused the
	// request without reading all of it.
	soakSettle = 600 * time.Millisecond
)

// TestSoak calls a bridge for long, as a mix of callers does: most get their answers, some meet
// faults, some leave, and a tenth is hostile. Each call must get the answer or the refusal that it
// deserves. The memory, goroutines and files of the idle process must not grow with the calls
// served.
//
// Without hostile callers (-soak-hostile=false) the others call at the same rate, for comparison:
// see TestSoakComparison. The test is not parallel, so that the process's goroutines and files are
// its own.
func TestSoak(t *testing.T) {
	patience, calls := time.Minute, soakMix{soakCalls, hostileCalls}
	settle := time.Duration(0)
	if *soak >= time.Minute {
		patience, settle = soakPatient, soakSettle
		calls = soakMix{slices.Concat(soakCalls, patientCalls), slices.Concat(hostileCalls, patientHostileCalls)}
	}
	s := startSoak(t, patience)
	s.settle = settle
	s.callEach(t, calls)
	resetPeak()
	var samples []sample
	for start := time.Now(); time.Since(start) < *soak; {
		s.call(t, calls, *soak/soakSamples)
		samples = append(samples, s.measure(t, time.Since(start)))
	}
	t.Logf("%d calls in %v, of each kind:\n%s", s.done.Load(), *soak, s.counts())
	report(t, samples)
	logFigures(t, s.figures(samples))
	if n := s.errors.Load(); n > 0 {
		t.Errorf("the log has %d errors", n)
	}
	if found := discover(t, s.registry, "code_review"); found.Status != "active" {
		t.Errorf("at the end the registry has the service as %s", found.Status)
	}
}

// A soakEnv is the process under test: the bridge and its provider, a model's server, a registry,
// metrics.
type soakEnv struct {
	bridge   *bridge.Bridge
	model    string // URL
	meters   metric.MeterProvider
	url      string
	client   *http.Client // of the callers
	registry *caio.Client
	errors   atomic.Int64 // records of the log at level ERROR

	hostileBodies string        // folder
	settle        time.Duration // without a change in the number of goroutines, before they are counted

	done      atomic.Int64
	mu        sync.Mutex
	byName    map[string]int
	latencies []time.Duration // of timedCalls
}

func startSoak(t *testing.T, patience time.Duration) *soakEnv {
	t.Helper()
	s := &soakEnv{
		byName:        map[string]int{},
		client:        &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakCallers}},
		hostileBodies: t.TempDir(),
		latencies:     make([]time.Duration, 0, int(soak.Seconds()+1)*soakRate), // at once: it counts for the memory held
	}
	writeHostileBodies(t, s.hostileBodies)
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
	s.model, s.meters = model.URL, meters
	provider, err := s.newProvider()
	if err != nil {
		t.Fatal(err)
	}
	ct := generousContract(t)
	allowed := limits.Limits{
		MaxConcurrentRequests: ct.Constraints.MaxConcurrentRequests,
		RateLimit:             ct.Constraints.RateLimit,
	}
	s.bridge, err = bridge.New(ct, provider, &bridge.Options{
		Logger: log, MeterProvider: meters, Announcer: announcer,
		Authenticate: bridge.BearerTokens(soakTokens), Limiter: soakLimiter{limits.NewLocal(allowed, limits.Limits{})},
		Jobs: bridge.JobOptions{
			Store:     openStore(t, filepath.Join(t.TempDir(), "jobs.db")),
			Retention: 5 * time.Second,
			Timeout:   patience,
		},
		Timeouts: bridge.Timeouts{Call: patience, Read: patience},
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

func (s *soakEnv) newProvider() (*codex.Provider, error) {
	return codex.New(&codex.Options{BaseURL: s.model + "/v1", Model: "soaked", MeterProvider: s.meters})
}

// generous returns the provider's contract with limits that the soak does not meet. Limits per hour
// are left out: their windows remember calls for an hour.
func generousContract(t *testing.T) *contract.Contract {
	t.Helper()
	c, err := contract.Load(editedContract(t, 200), "contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// editedContract returns the provider's contract.yaml and schemas. The contract allows so many
// concurrent requests and 20,000 per minute, without a limit per hour.
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

// A soakMix holds the kinds of calls to choose from.
type soakMix struct{ honest, hostile []soakCall }

// next chooses a call at random. It returns nil in place of a disabled hostile call.
func (m soakMix) next() *soakCall {
	calls := m.honest
	if rand.N(soakShare) == 0 {
		if !*soakHostile {
			return nil
		}
		calls = m.hostile
	}
	sum := 0
	for _, c := range calls {
		sum += c.weight
	}
	n := rand.N(sum)
	for i, c := range calls {
		if n -= c.weight; n < 0 {
			return &calls[i]
		}
	}
	panic("unreachable")
}

// timedCalls count for the latency: the model answers them at once.
var timedCalls = []string{"answer", "review", "stream"}

// callEach makes one call of each kind, so that also a short soak has them all.
func (s *soakEnv) callEach(t *testing.T, mix soakMix) {
	t.Helper()
	calls := mix.honest
	if *soakHostile {
		calls = slices.Concat(calls, mix.hostile)
	}
	for _, c := range calls {
		if err := c.do(t.Context(), s); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// call makes calls at the soak's rate, and waits until all are done.
func (s *soakEnv) call(t *testing.T, mix soakMix, d time.Duration) {
	t.Helper()
	var callers sync.WaitGroup
	places := make(chan struct{}, soakCallers)
	ticker := time.NewTicker(time.Second / soakRate)
	defer ticker.Stop()
	for end := time.After(d); ; {
		var due time.Time
		select {
		case <-end:
			callers.Wait()
			return
		case due = <-ticker.C:
		}
		c := mix.next()
		if c == nil {
			continue
		}
		places <- struct{}{}
		callers.Go(func() {
			defer func() { <-places }()
			if err := c.do(t.Context(), s); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			s.finished(c.name, time.Since(due)) // waiting for a place included
		})
	}
}

func (s *soakEnv) finished(name string, latency time.Duration) {
	s.done.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byName[name]++
	if slices.Contains(timedCalls, name) {
		s.latencies = append(s.latencies, latency)
	}
}

func (s *soakEnv) counts() string {
	var b strings.Builder
	for c := range slices.Values(slices.Concat(soakCalls, patientCalls, hostileCalls, patientHostileCalls)) {
		if n := s.byName[c.name]; n > 0 {
			fmt.Fprintf(&b, "%6d %s\n", n, c.name)
		}
	}
	return b.String()
}

// A sample counts the process's resources at one moment.
type sample struct {
	at    time.Duration
	calls int64
	held  [4]float64 // by the index of holdings
}

// holdings are the measured resources, with the growth that is allowed from the first third of the
// samples to the last, after a start of a fifth. Connections come and go, the store's file is
// mapped by pages, and the heap varies.
var holdings = [4]struct {
	name            string
	slack, fraction float64
}{
	{"goroutines", 12, 0},
	{"open files", 12, 0},
	{"heap, MiB", 1, 0.1},
	{"resident, MiB", 12, 0.1},
}

// measure waits until no call is in progress and counts the process's resources.
func (s *soakEnv) measure(t *testing.T, at time.Duration) sample {
	t.Helper()
	for inProgress := 1.0; inProgress > 0; time.Sleep(10 * time.Millisecond) {
		_, health := call(t, http.MethodGet, s.url+"/health", nil)
		inProgress = health["calls_in_progress"].(float64)
	}
	s.client.CloseIdleConnections()
	goroutines, since := runtime.NumGoroutine(), time.Now()
	for range 300 { // connections take a moment to close
		time.Sleep(10 * time.Millisecond)
		if n := runtime.NumGoroutine(); n != goroutines {
			goroutines, since = n, time.Now()
		} else if time.Since(since) >= s.settle {
			break
		}
	}
	debug.FreeOSMemory()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	files, _ := os.ReadDir("/proc/self/fd") // empty on other systems than Linux
	heapMiB := float64(mem.HeapAlloc) / (1 << 20)
	return sample{at, s.done.Load(), [4]float64{float64(goroutines), float64(len(files)), heapMiB, residentMiB()}}
}

// residentMiB returns the resident memory in MiB, or 0 on systems without /proc.
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
		fmt.Fprintf(&b, "| %v | %d | %.0f | %.0f | %.1f | %.1f |\n",
			s.at.Round(100*time.Millisecond), s.calls, s.held[0], s.held[1], s.held[2], s.held[3])
	}
	samples = samples[len(samples)/5:]
	third := len(samples) / 3
	if third == 0 {
		t.Logf("too few samples to compare: the calls took most of the time\n%s", &b)
		return
	}
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

// An errorCounter shows and counts the log's errors, and drops other records.
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
