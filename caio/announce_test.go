package caio_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/announce"
)

// A fakeCAIO is a transport to a registry with failures that tests switch on and off.
type fakeCAIO struct {
	mu       sync.Mutex
	registry *registry.Registry
	status   int  // status of every answer; 0 for the registry's
	down     bool // refuses connections
	calls    int

	past          *registry.Registry // answers all reads, and hides leases; nil for none
	hideContracts bool               // removes contracts from answers
	quick         *oneServiceCAIO    // replaces the registry; nil for none
}

// A oneServiceCAIO is a cheap CAIO for one service.
type oneServiceCAIO struct {
	mu    sync.Mutex
	known bool
}

func (q *oneServiceCAIO) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.Method == http.MethodPost {
		q.known = true
	}
	if !q.known {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	q.known = r.Method != http.MethodDelete
	io.WriteString(w, `{"service_id": "mine", "status": "registered", "version": "1.0.0"}`)
}

func newFakeCAIO(t *testing.T) *fakeCAIO { return &fakeCAIO{registry: newRegistry(t, nil)} }

func (s *fakeCAIO) set(change func(*fakeCAIO)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *fakeCAIO) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *fakeCAIO) has(t *testing.T, id string) bool {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.registry.Service(t.Context(), id)
	return err == nil
}

func (s *fakeCAIO) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.calls++
	down, status, handler := s.down, s.status, http.Handler(s.registry)
	if s.quick != nil {
		handler = s.quick
	}
	s.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	if status != 0 {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	if s.past != nil {
		handler = http.HandlerFunc(s.readFromPast)
	}
	if s.hideContracts && r.Method == http.MethodGet {
		handler = http.HandlerFunc(s.withoutContract)
	}
	return inMemory{handler}.RoundTrip(r)
}

func (s *fakeCAIO) readFromPast(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.past.ServeHTTP(w, r)
		return
	}
	ignoringLeases(s.registry).ServeHTTP(w, r)
}

func (s *fakeCAIO) withoutContract(w http.ResponseWriter, r *http.Request) {
	service, err := s.registry.Service(r.Context(), path.Base(r.URL.Path))
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	service.Contract = nil
	json.NewEncoder(w).Encode(service)
}

// An announcer is a running Announce.
type announcer struct {
	server *fakeCAIO
	client *caio.Client
	log    bytes.Buffer // read it, and states, only while the bubble is idle
	states []string
	stop   context.CancelFunc
	done   chan error
}

func startAnnounce(t *testing.T, s *fakeCAIO, ct *contract.Contract) *announcer {
	t.Helper()
	return startAnnounceAt(t, s, "http://localhost:8080", ct)
}

func startAnnounceAt(t *testing.T, s *fakeCAIO, url string, ct *contract.Contract) *announcer {
	t.Helper()
	a := &announcer{server: s, done: make(chan error, 1)}
	client, err := caio.NewClient(url, &caio.Options{
		HTTPClient: &http.Client{Transport: s}, Logger: slog.New(slog.NewTextHandler(&a.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	client.ReportAnnouncements(func(_ string, state announce.State, _ error) {
		a.states = append(a.states, string(state))
	})
	ctx, cancel := context.WithCancel(t.Context())
	a.stop, a.client = cancel, client
	go func() { a.done <- client.Announce(ctx, ct) }()
	synctest.Wait()
	return a
}

// state returns the last reported state.
func (a *announcer) state() string { return a.states[len(a.states)-1] }

// lastState returns a function that returns the last reported state of the client's announcements.
func lastState(client *caio.Client) func() string {
	var last atomic.Value
	client.ReportAnnouncements(func(_ string, state announce.State, _ error) { last.Store(string(state)) })
	return func() string { return last.Load().(string) }
}

// pass advances the simulated time.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (a *announcer) end(t *testing.T) {
	t.Helper()
	a.stop()
	if err := <-a.done; err != nil {
		t.Errorf("Announce: %v", err)
	}
}

func TestAnnounceRegistersAndWithdraws(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newFakeCAIO(t)
		a := startAnnounce(t, s, ct)
		if !s.has(t, "mine") {
			t.Error("not registered at once")
		}
		pass(10 * time.Minute)
		if calls := s.count(); calls < 16 || calls > 27 { // one to register, then one every 24 to 36 s
			t.Errorf("%d calls in ten minutes", calls)
		}
		a.end(t)
		if s.has(t, "mine") {
			t.Error("not withdrawn at the end")
		}
		if got := strings.Count(a.log.String(), "\n"); got != 2 {
			t.Errorf("want one line for registered and one for withdrawn:\n%s", &a.log)
		}
	})
}

func TestAnnounceNoticesAForgetfulRegistry(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newFakeCAIO(t)
		a := startAnnounce(t, s, ct)
		for range 3 {
			s.set(func(s *fakeCAIO) { s.registry = newRegistry(t, nil) }) // CAIO restarted
			pass(40 * time.Second)
			if !s.has(t, "mine") {
				t.Error("not registered again within a heartbeat")
			}
		}
		a.end(t)
	})
}
