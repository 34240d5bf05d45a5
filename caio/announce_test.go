package caio_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A stage is a CAIO whose behaviour tests change while a service is announced.
type stage struct {
	mu       sync.Mutex
	registry *registry.Registry
	status   int  // if not 0, every call is answered with it
	down     bool // no connection at all
	calls    int
}

func newStage(t *testing.T) *stage { return &stage{registry: newRegistry(t, nil)} }

func (s *stage) set(change func(*stage)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *stage) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *stage) has(t *testing.T, id string) bool {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.registry.Service(t.Context(), id)
	return err == nil
}

func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.calls++
	down, status, handler := s.down, s.status, http.Handler(s.registry)
	s.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	if status != 0 {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	return inMemory{handler}.RoundTrip(r)
}

// An announcing runs Announce beside the test.
type announcing struct {
	stage *stage
	log   bytes.Buffer // to be read when the bubble is idle
	stop  context.CancelFunc
	done  chan error
}

func announce(t *testing.T, s *stage, ct *contract.Contract) *announcing {
	t.Helper()
	a := &announcing{stage: s, done: make(chan error, 1)}
	client, err := caio.NewClient("http://localhost:8080", &caio.Options{
		HTTPClient: &http.Client{Transport: s}, Logger: slog.New(slog.NewTextHandler(&a.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a.stop = cancel
	go func() { a.done <- client.Announce(ctx, ct) }()
	synctest.Wait()
	return a
}

// pass lets simulated time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (a *announcing) end(t *testing.T) {
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
		s := newStage(t)
		a := announce(t, s, ct)
		if !s.has(t, "mine") {
			t.Error("not registered at once")
		}
		pass(10 * time.Minute)
		if calls := s.count(); calls < 16 || calls > 27 { // one to register, then one each 24 to 36 s
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

func TestAnnounceOutlastsFailures(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for name, fail := range map[string]func(*stage){
		"down":            func(s *stage) { s.down = true },
		"500":             func(s *stage) { s.status = http.StatusInternalServerError },
		"503":             func(s *stage) { s.status = http.StatusServiceUnavailable },
		"token refused":   func(s *stage) { s.status = http.StatusUnauthorized },
		"role refused":    func(s *stage) { s.status = http.StatusForbidden },
		"something else":  func(s *stage) { s.status = http.StatusMethodNotAllowed },
		"answers nothing": func(s *stage) { s.status = http.StatusNoContent },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.set(fail)
				a := announce(t, s, ct)
				pass(5 * time.Minute)
				if calls := s.count(); calls < 8 || calls > 60 {
					t.Errorf("%d attempts in five minutes", calls)
				}
				s.set(func(s *stage) { s.down, s.status = false, 0 })
				pass(time.Minute)
				if !s.has(t, "mine") {
					t.Error("not registered a minute after the recovery")
				}
				if got := strings.Count(a.log.String(), "\n"); got != 2 {
					t.Errorf("want one line for the failure and one for the recovery:\n%s", &a.log)
				}

				s.set(fail) // and once more while it is registered
				pass(5 * time.Minute)
				s.set(func(s *stage) { s.down, s.status = false, 0 })
				pass(time.Minute)
				a.end(t)
				if s.has(t, "mine") {
					t.Error("not withdrawn at the end")
				}
			})
		})
	}
}

func TestAnnounceNoticesAForgetfulRegistry(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		a := announce(t, s, ct)
		for range 3 {
			s.set(func(s *stage) { s.registry = newRegistry(t, nil) }) // restarted
			pass(40 * time.Second)
			if !s.has(t, "mine") {
				t.Error("not registered again within a heartbeat")
			}
		}
		a.end(t)
	})
}

func TestAnnounceReturnsInvalidContractAtOnce(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.status = http.StatusUnprocessableEntity
		a := announce(t, s, ct)
		select {
		case err := <-a.done:
			if !errors.Is(err, caio.ErrInvalidContract) || s.calls != 1 {
				t.Errorf("after %d calls: %v, want ErrInvalidContract after one", s.calls, err)
			}
		default:
			t.Error("Announce still tries")
		}
		a.stop()
	})
}

// Another contract holds the id: it is waited out, and never touched.
func TestAnnounceWaitsForATakenID(t *testing.T) {
	t.Parallel()
	ct, other := newContract(t, "mine", "1.0.0"), newContract(t, "mine", "2.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.registry.Register(t.Context(), other)
		a := announce(t, s, ct)
		pass(5 * time.Minute)
		if got := strings.Count(a.log.String(), "taken"); got != 1 {
			t.Errorf("logged %d times that the id is taken:\n%s", got, &a.log)
		}
		a.end(t)
		if service, err := s.registry.Service(t.Context(), "mine"); err != nil || service.Version != "2.0.0" {
			t.Errorf("the other's entry after the end: %+v, %v, want it untouched", service, err)
		}

		a = announce(t, s, ct)
		s.registry.Unregister(t.Context(), "mine")
		pass(time.Minute)
		if service, err := s.registry.Service(t.Context(), "mine"); err != nil || service.Version != "1.0.0" {
			t.Errorf("after the id was freed: %+v, %v, want our registration", service, err)
		}
		a.end(t)
	})
}

// Somebody replaced our entry: at the end theirs stays, even if it came after the last heartbeat.
func TestAnnounceLeavesAReplacementAlone(t *testing.T) {
	t.Parallel()
	ct, other := newContract(t, "mine", "1.0.0"), newContract(t, "mine", "2.0.0")
	for name, wait := range map[string]time.Duration{"noticed": 5 * time.Minute, "not noticed": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				a := announce(t, s, ct)
				s.registry.Unregister(t.Context(), "mine")
				s.registry.Register(t.Context(), other)
				pass(wait)
				a.end(t)
				if !s.has(t, "mine") {
					t.Error("the other's registration was withdrawn")
				}
			})
		})
	}
}

// CAIO took the registration but its answer was lost, and then the announcement ends: it must be withdrawn all the same.
func TestAnnounceWithdrawsAnUnconfirmedRegistration(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry(t, nil)
		lossy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				reg.ServeHTTP(discard{w.Header()}, r)
				w.WriteHeader(http.StatusGatewayTimeout)
				return
			}
			reg.ServeHTTP(w, r)
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		client := newInMemoryClient(t, lossy, caio.Options{})
		go func() { done <- client.Announce(ctx, ct) }()
		synctest.Wait()
		if _, err := reg.Service(ctx, "mine"); err != nil {
			t.Fatalf("the registration did not arrive: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Announce: %v", err)
		}
		if _, err := reg.Service(t.Context(), "mine"); !errors.Is(err, caio.ErrNotFound) {
			t.Errorf("the registration remained: %v", err)
		}
	})
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header.Clone() }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// The announcement ends while CAIO still works on the registration: it must not be left behind.
func TestAnnounceEndsDuringRegistration(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for name, test := range map[string]struct {
		delay   time.Duration // until CAIO looks at the registration
		atMost  time.Duration // until Announce has returned
		remains bool
	}{
		"slow":    {delay: time.Second, atMost: time.Second},
		"hanging": {delay: time.Hour, atMost: 5 * time.Second, remains: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reg := newRegistry(t, nil)
				ctx, cancel := context.WithCancel(t.Context())
				client, err := caio.NewClient("http://localhost:8080", &caio.Options{HTTPClient: &http.Client{Transport: busy{reg, test.delay}}})
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- client.Announce(ctx, ct) }()
				synctest.Wait()
				start := time.Now()
				cancel()
				if err := <-done; err != nil || time.Since(start) > test.atMost {
					t.Errorf("Announce after %v: %v", time.Since(start), err)
				}
				pass(2 * time.Hour)
				if _, err := reg.Service(t.Context(), "mine"); (err == nil) != test.remains {
					t.Errorf("the registration afterwards: %v", err)
				}
			})
		})
	}
}

// busy is a transport to a handler that takes its time before each POST, and serves it even if the client has gone.
type busy struct {
	handler http.Handler
	delay   time.Duration
}

func (b busy) RoundTrip(r *http.Request) (*http.Response, error) {
	answered := make(chan *http.Response, 1)
	go func() {
		if r.Method == http.MethodPost {
			time.Sleep(b.delay)
		}
		recorder := httptest.NewRecorder()
		b.handler.ServeHTTP(recorder, r.WithContext(context.WithoutCancel(r.Context())))
		answered <- recorder.Result()
	}()
	select {
	case response := <-answered:
		return response, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// The end is bounded even if CAIO has become unreachable, and says that the registration may have remained.
func TestAnnounceEndsWithoutCAIO(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		a := announce(t, s, ct)
		s.set(func(s *stage) { s.down = true })
		start := time.Now()
		a.stop()
		if err := <-a.done; err == nil || !strings.Contains(err.Error(), "may have remained") || time.Since(start) > 6*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // never reached: nothing can have remained
		s := newStage(t)
		s.down = true
		announce(t, s, ct).end(t)
	})
}

// A thousand services that lose their registry at the same moment do not all come back at the same moment.
func TestAnnouncersDoNotStampede(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		var all []*announcing
		for range 100 {
			all = append(all, announce(t, s, newContract(t, "mine", "1.0.0")))
		}
		s.set(func(s *stage) { s.down = true })
		pass(10 * time.Minute)
		s.set(func(s *stage) { s.down = false })
		most := 0
		for range 60 {
			before := s.count()
			pass(time.Second)
			most = max(most, s.count()-before)
		}
		if most > 30 {
			t.Errorf("%d of %d came within one second", most, len(all))
		}
		for _, a := range all {
			a.end(t)
		}
	})
}
