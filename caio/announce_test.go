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
	"net/http/httptest"
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
)

// A stage is a CAIO whose behaviour tests change while a service is announced.
type stage struct {
	mu       sync.Mutex
	registry *registry.Registry
	status   int  // if not 0, every call is answered with it
	down     bool // no connection at all
	calls    int

	past          *registry.Registry // if not nil, what is shown of services is from there, and no leases are granted
	hideContracts bool               // as some CAIOs do
	quick         *quickCAIO         // instead of the registry
}

// A quickCAIO knows one service by its id only.
type quickCAIO struct {
	mu    sync.Mutex
	known bool
}

func (q *quickCAIO) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
		handler = http.HandlerFunc(s.fromThePast)
	}
	if s.hideContracts && r.Method == http.MethodGet {
		handler = http.HandlerFunc(s.withoutContract)
	}
	return inMemory{handler}.RoundTrip(r)
}

func (s *stage) fromThePast(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.past.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	s.registry.ServeHTTP(answer, r)
	w.WriteHeader(answer.Code)
	io.WriteString(w, strings.Replace(answer.Body.String(), "max_ttl_seconds", "of_no_interest", 1))
}

func (s *stage) withoutContract(w http.ResponseWriter, r *http.Request) {
	service, err := s.registry.Service(r.Context(), path.Base(r.URL.Path))
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	service.Contract = nil
	json.NewEncoder(w).Encode(service)
}

// An announcing runs Announce beside the test.
type announcing struct {
	stage  *stage
	client *caio.Client
	log    bytes.Buffer // to be read when the bubble is idle, as
	states []string
	stop   context.CancelFunc
	done   chan error
}

func announce(t *testing.T, s *stage, ct *contract.Contract) *announcing {
	t.Helper()
	return announceAt(t, s, "http://localhost:8080", ct)
}

func announceAt(t *testing.T, s *stage, url string, ct *contract.Contract) *announcing {
	t.Helper()
	a := &announcing{stage: s, done: make(chan error, 1)}
	client, err := caio.NewClient(url, &caio.Options{
		HTTPClient: &http.Client{Transport: s}, Logger: slog.New(slog.NewTextHandler(&a.log, nil)),
		Announced: func(_, state string, _ error) { a.states = append(a.states, state) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a.stop, a.client = cancel, client
	go func() { a.done <- client.Announce(ctx, ct) }()
	synctest.Wait()
	return a
}

// elsewhere is the contract of a service with another address.
func elsewhere(t *testing.T, ct *contract.Contract) *contract.Contract {
	t.Helper()
	ct, err := ct.WithBaseURL("http://other.example:8082")
	if err != nil {
		t.Fatal(err)
	}
	return ct
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
			if !errors.Is(err, caio.ErrInvalidContract) || s.calls != 2 {
				t.Errorf("after %d calls: %v, want ErrInvalidContract after the question for the paths and one registration", s.calls, err)
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
	ct, other := newContract(t, "mine", "1.0.0"), elsewhere(t, newContract(t, "mine", "2.0.0"))
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

// A CAIO that comes and goes all the time finds the service registered as soon as it stays.
func TestAnnounceOutlastsFlapping(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		a := announce(t, s, ct)
		for i := range 60 {
			s.set(func(s *stage) {
				s.down, s.status = i%3 == 0, map[bool]int{true: http.StatusInternalServerError}[i%3 == 1]
				if i%5 == 0 {
					s.registry = newRegistry(t, nil)
				}
			})
			pass(7 * time.Second)
		}
		if calls := s.count(); calls > 100 {
			t.Errorf("%d calls in seven minutes", calls)
		}
		s.set(func(s *stage) { s.down, s.status = false, 0 })
		pass(time.Minute)
		if !s.has(t, "mine") || a.client.Announcement("mine") != "registered" {
			t.Errorf("a minute after the last change the state is %q", a.client.Announcement("mine"))
		}
		a.end(t)
		if s.has(t, "mine") || a.client.Announcement("mine") != "withdrawn" {
			t.Errorf("at the end the state is %q", a.client.Announcement("mine"))
		}
	})
}

// A slow CAIO is waited for. If it is too slow, what it did after all is known once it is fast again, and withdrawn.
func TestAnnounceWithASlowRegistry(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for name, test := range map[string]struct {
		delay time.Duration
		state string
	}{
		"slow":     {9 * time.Second, "registered"},
		"too slow": {11 * time.Second, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reg := newRegistry(t, nil)
				var delay atomic.Int64
				delay.Store(int64(test.delay))
				client, err := caio.NewClient("http://localhost:8080", &caio.Options{Paths: "services", HTTPClient: &http.Client{Transport: lagging{reg, &delay}}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- client.Announce(ctx, ct) }()
				pass(10 * time.Minute)
				if got := client.Announcement("mine"); got != test.state {
					t.Errorf("after ten minutes the state is %q, want %q", got, test.state)
				}
				delay.Store(0)
				pass(time.Minute)
				if got := client.Announcement("mine"); got != "registered" {
					t.Errorf("a minute after CAIO became fast the state is %q", got)
				}
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Announce: %v", err)
				}
				pass(time.Minute)
				if _, err := reg.Service(t.Context(), "mine"); !errors.Is(err, caio.ErrNotFound) {
					t.Errorf("the registration remained: %v", err)
				}
			})
		})
	}
}

// lagging is a transport to a handler that gets each request late, and serves it even if the client has gone.
type lagging struct {
	handler http.Handler
	delay   *atomic.Int64
}

func (l lagging) RoundTrip(r *http.Request) (*http.Response, error) {
	answered := make(chan *http.Response, 1)
	go func() {
		time.Sleep(time.Duration(l.delay.Load()))
		recorder := httptest.NewRecorder()
		l.handler.ServeHTTP(recorder, r.WithContext(context.WithoutCancel(r.Context())))
		answered <- recorder.Result()
	}()
	select {
	case response := <-answered:
		return response, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// A CAIO without leases that shows what was true long ago: before we registered, or of our own last version. Ours is there
// all the time, the state does not waver, and nothing is left behind but what looks like another's.
func TestAnnounceWithStaleAnswers(t *testing.T) {
	t.Parallel()
	ct, former := newContract(t, "mine", "1.1.0"), newContract(t, "mine", "1.0.0")
	for name, test := range map[string]struct {
		shown   *contract.Contract // nil for none
		remains bool
	}{
		"nothing":          {nil, false},
		"our last version": {former, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, past := newStage(t), newRegistry(t, nil)
				if test.shown != nil {
					s.registry.Register(t.Context(), test.shown)
					past.Register(t.Context(), test.shown)
				}
				s.past = past
				a := announce(t, s, ct)
				for range 20 {
					pass(30 * time.Second)
					if service, err := s.registry.Service(t.Context(), "mine"); err != nil || !service.Contract.Equal(ct) {
						t.Fatalf("the entry is %+v, %v, want ours", service, err)
					}
				}
				if calls := s.count(); calls > 60 {
					t.Errorf("%d calls in ten minutes", calls)
				}
				a.end(t)
				if s.has(t, "mine") != test.remains {
					t.Errorf("there at the end: %t", !test.remains)
				}
				if states := strings.Join(a.states, " "); !strings.HasPrefix(states+" withdrawn", "registered withdrawn") {
					t.Errorf("states %q", states)
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

// What a crashed run left behind is replaced; what another announced is not, nor what came after us.
func TestAnnounceTakesOverItsOwnStaleEntry(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.1.0")
	public, err := newContract(t, "mine", "1.0.0").WithBaseURL("https://codex.example")
	if err != nil {
		t.Fatal(err)
	}
	nextPublic, err := ct.WithBaseURL("https://codex.example/")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		held, announced *contract.Contract
		caio            string
		taken           bool
	}{
		"same address":                        {newContract(t, "mine", "1.0.0"), ct, "http://localhost:8080", true},
		"newer one, rolled back":              {newContract(t, "mine", "2.0.0"), ct, "http://localhost:8080", true},
		"same public address":                 {public, nextPublic, "http://caio.example", true},
		"another address":                     {elsewhere(t, newContract(t, "mine", "1.0.0")), ct, "http://localhost:8080", false},
		"this machine, but CAIO is elsewhere": {newContract(t, "mine", "1.0.0"), ct, "http://caio.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &stage{registry: newRegistry(t, &registry.Options{Hosts: []string{"*"}})}
				s.registry.Register(t.Context(), test.held)
				a := announceAt(t, s, test.caio, test.announced)
				pass(time.Minute)
				service, err := s.registry.Service(t.Context(), "mine")
				if err != nil || service.Contract.Equal(test.announced) != test.taken {
					t.Errorf("the entry is %+v, %v, want ours: %t", service, err, test.taken)
				}
				a.end(t)
				if s.has(t, "mine") == test.taken {
					t.Errorf("there at the end: %t", !test.taken)
				}
			})
		})
	}
}

// Some CAIOs do not show contracts. Then an entry is ours only if nothing tells it from ours, and even then it stays.
func TestAnnounceWithoutContracts(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for name, test := range map[string]struct {
		held  *contract.Contract
		state string
	}{
		"looks the same":  {elsewhere(t, ct), "registered"},
		"another version": {newContract(t, "mine", "1.0.1"), "taken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.hideContracts = true
				s.registry.Register(t.Context(), test.held)
				a := announce(t, s, ct)
				pass(5 * time.Minute)
				if got := strings.Join(a.states, " "); got != test.state {
					t.Errorf("states %q, want %q", got, test.state)
				}
				a.end(t)
				if service, err := s.registry.Service(t.Context(), "mine"); err != nil || !service.Contract.Equal(test.held) {
					t.Errorf("the other's entry afterwards: %+v, %v", service, err)
				}
			})
		})
	}
}

// Where CAIO grants leases, a crash leaves nothing behind for long, and a live service stays.
func TestAnnounceLeases(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		a := announce(t, s, ct)
		for range 60 {
			pass(time.Minute)
			if !s.has(t, "mine") {
				t.Fatal("the lease was not renewed")
			}
		}
		s.set(func(s *stage) { s.registry = newRegistry(t, nil) })
		pass(40 * time.Second)
		if !s.has(t, "mine") {
			t.Error("not registered again within a heartbeat")
		}
		s.set(func(s *stage) { s.down = true }) // as if it had crashed
		pass(89 * time.Second)
		pass(2 * time.Second)
		if s.has(t, "mine") {
			t.Error("there after the lease")
		}
		s.set(func(s *stage) { s.down = false })
		pass(time.Minute)
		if !s.has(t, "mine") {
			t.Error("not registered again after the outage")
		}
		a.end(t)
		if got, want := strings.Join(a.states, " "), "registered unavailable registered withdrawn"; got != want {
			t.Errorf("states %q, want %q", got, want)
		}
	})
}

// A thousand replicas that lose their registry at the same moment do not all come back at the same moment, and do not beat
// in step afterwards.
func TestAnnouncersDoNotStampede(t *testing.T) {
	t.Parallel()
	const replicas = 1000
	ct := newContract(t, "mine", "1.0.0")
	for name, lose := range map[string]func(*testing.T, *stage){
		"down": func(_ *testing.T, s *stage) {
			s.set(func(s *stage) { s.down = true })
			pass(10 * time.Minute)
			s.set(func(s *stage) { s.down = false })
		},
		"forgetful": func(_ *testing.T, s *stage) {
			pass(10 * time.Minute)
			s.set(func(s *stage) { s.quick = new(quickCAIO) })
		},
		"restarted at once": func(_ *testing.T, s *stage) { s.set(func(s *stage) { s.quick = new(quickCAIO) }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &stage{quick: new(quickCAIO)}
				var all []*announcing
				for range replicas {
					all = append(all, announce(t, s, ct))
				}
				lose(t, s)
				most := 0
				for range 90 {
					before := s.count()
					pass(time.Second)
					most = max(most, s.count()-before)
				}
				if most > replicas/5 {
					t.Errorf("%d calls by %d replicas within one second", most, replicas)
				}
				if !s.quick.known {
					t.Error("not registered again")
				}
				for _, a := range all {
					a.stop()
				}
				for _, a := range all {
					if err := <-a.done; err != nil {
						t.Errorf("Announce: %v", err)
					}
				}
			})
		})
	}
}
