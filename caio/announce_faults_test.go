package caio_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestAnnounceOutlastsFailures(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for name, fail := range map[string]func(*fakeCAIO){
		"down":            func(s *fakeCAIO) { s.down = true },
		"500":             func(s *fakeCAIO) { s.status = http.StatusInternalServerError },
		"503":             func(s *fakeCAIO) { s.status = http.StatusServiceUnavailable },
		"token refused":   func(s *fakeCAIO) { s.status = http.StatusUnauthorized },
		"role refused":    func(s *fakeCAIO) { s.status = http.StatusForbidden },
		"something else":  func(s *fakeCAIO) { s.status = http.StatusMethodNotAllowed },
		"answers nothing": func(s *fakeCAIO) { s.status = http.StatusNoContent },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeCAIO(t)
				s.set(fail)
				a := startAnnounce(t, s, ct)
				pass(5 * time.Minute)
				if calls := s.count(); calls < 8 || calls > 60 {
					t.Errorf("%d attempts in five minutes", calls)
				}
				s.set(func(s *fakeCAIO) { s.down, s.status = false, 0 })
				pass(time.Minute)
				if !s.has(t, "mine") {
					t.Error("not registered a minute after the recovery")
				}
				if got := strings.Count(a.log.String(), "\n"); got != 2 {
					t.Errorf("want one line for the failure and one for the recovery:\n%s", &a.log)
				}

				s.set(fail) // the same failure while the service is registered
				pass(5 * time.Minute)
				s.set(func(s *fakeCAIO) { s.down, s.status = false, 0 })
				pass(time.Minute)
				a.end(t)
				if s.has(t, "mine") {
					t.Error("not withdrawn at the end")
				}
			})
		})
	}
}

// Announce registers within a minute after an unstable CAIO becomes stable.
func TestAnnounceOutlastsFlapping(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newFakeCAIO(t)
		a := startAnnounce(t, s, ct)
		for i := range 60 {
			s.set(func(s *fakeCAIO) {
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
		s.set(func(s *fakeCAIO) { s.down, s.status = false, 0 })
		pass(time.Minute)
		if !s.has(t, "mine") || a.state() != "registered" {
			t.Errorf("a minute after the last change the state is %q", a.state())
		}
		a.end(t)
		if s.has(t, "mine") || a.state() != "withdrawn" {
			t.Errorf("at the end the state is %q", a.state())
		}
	})
}

// Announce waits for a slow CAIO. It finds and withdraws the registration of a CAIO slower than
// Timeout.
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
				late := lateTransport{reg, func(*http.Request) time.Duration { return time.Duration(delay.Load()) }}
				opts := &caio.Options{Paths: "services", HTTPClient: &http.Client{Transport: late}}
				client, err := caio.NewClient("http://localhost:8080", opts)
				if err != nil {
					t.Fatal(err)
				}
				state := lastState(client)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- client.Announce(ctx, ct) }()
				pass(10 * time.Minute)
				if got := state(); got != test.state {
					t.Errorf("after ten minutes the state is %q, want %q", got, test.state)
				}
				delay.Store(0)
				pass(time.Minute)
				if got := state(); got != "registered" {
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

// lateTransport delivers requests late to a handler, even after the client gave up.
type lateTransport struct {
	handler http.Handler
	delay   func(*http.Request) time.Duration
}

func (l lateTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answered := make(chan *http.Response, 1)
	go func() {
		time.Sleep(l.delay(r))
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

// Announce works with a CAIO that answers reads from an old copy: without the service, or with its
// last version. The state stays "registered".
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
				s, past := newFakeCAIO(t), newRegistry(t, nil)
				if test.shown != nil {
					s.registry.Register(t.Context(), test.shown, nil)
					past.Register(t.Context(), test.shown, nil)
				}
				s.past = past
				a := startAnnounce(t, s, ct)
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
				states := strings.Join(a.states, " ")
				if !strings.HasPrefix(states+" withdrawn", "registering registered withdrawn") {
					t.Errorf("states %q", states)
				}
			})
		})
	}
}

// A thousand replicas that lose CAIO at the same moment spread their calls afterwards.
func TestAnnouncersDoNotStampede(t *testing.T) {
	t.Parallel()
	const replicas = 1000
	ct := newContract(t, "mine", "1.0.0")
	for name, lose := range map[string]func(*testing.T, *fakeCAIO){
		"down": func(_ *testing.T, s *fakeCAIO) {
			s.set(func(s *fakeCAIO) { s.down = true })
			pass(10 * time.Minute)
			s.set(func(s *fakeCAIO) { s.down = false })
		},
		"forgetful": func(_ *testing.T, s *fakeCAIO) {
			pass(10 * time.Minute)
			s.set(func(s *fakeCAIO) { s.quick = new(oneServiceCAIO) })
		},
		"restarted at once": func(_ *testing.T, s *fakeCAIO) { s.set(func(s *fakeCAIO) { s.quick = new(oneServiceCAIO) }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &fakeCAIO{quick: new(oneServiceCAIO)}
				var all []*announcer
				for range replicas {
					all = append(all, startAnnounce(t, s, ct))
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
