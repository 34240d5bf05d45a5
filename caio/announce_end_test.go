package caio_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
)

func TestAnnounceReturnsInvalidContractAtOnce(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newFakeCAIO(t)
		s.status = http.StatusUnprocessableEntity
		a := startAnnounce(t, s, ct)
		select {
		case err := <-a.done:
			if !errors.Is(err, caio.ErrInvalidContract) || s.calls != 2 {
				t.Errorf("after %d calls: %v, want ErrInvalidContract after the probe and one registration", s.calls, err)
			}
		default:
			t.Error("Announce still tries")
		}
		a.stop()
	})
}

// Announce goes on if CAIO forgot the service, and then refuses a contract that it accepted before.
func TestAnnounceOutlastsALaterRefusal(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newFakeCAIO(t)
		a := startAnnounce(t, s, ct)
		synctest.Wait()
		s.set(func(s *fakeCAIO) { s.status = http.StatusUnprocessableEntity })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := a.state(); got != "refused" {
			t.Errorf("the announcement is %q", got)
		}
		s.set(func(s *fakeCAIO) { s.status = 0 })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := a.state(); got != "registered" {
			t.Errorf("the announcement is %q in the end", got)
		}
		a.stop()
	})
}

// Announce withdraws a registration that CAIO accepted with a lost answer.
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

// An announcement that ends during its registration leaves none behind.
func TestAnnounceEndsDuringRegistration(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for name, test := range map[string]struct {
		delay  time.Duration // time until CAIO reads the registration
		atMost time.Duration // time until Announce returns
	}{
		"slow":    {delay: time.Second, atMost: time.Second},
		"hanging": {delay: time.Hour, atMost: 5 * time.Second}, // arrives after the withdrawal, and ends with its lease
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reg := newRegistry(t, nil)
				ctx, cancel := context.WithCancel(t.Context())
				late := lateTransport{reg, func(r *http.Request) time.Duration {
					if r.Method == http.MethodPost {
						return test.delay
					}
					return 0
				}}
				client, err := caio.NewClient("http://localhost:8080", &caio.Options{HTTPClient: &http.Client{Transport: late}})
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
				if _, err := reg.Service(t.Context(), "mine"); !errors.Is(err, caio.ErrNotFound) {
					t.Errorf("the registration afterwards: %v, want ErrNotFound", err)
				}
			})
		})
	}
}

// Without CAIO, Announce ends in time with an error: the registration may have remained.
func TestAnnounceEndsWithoutCAIO(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		s := newFakeCAIO(t)
		a := startAnnounce(t, s, ct)
		s.set(func(s *fakeCAIO) { s.down = true })
		start := time.Now()
		a.stop()
		err := <-a.done
		if err == nil || !strings.Contains(err.Error(), "may have remained") {
			t.Errorf("Announce: %v, want an error about the registration", err)
		}
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("Announce took %v, want at most 6 s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) { // CAIO was never reached, so no registration can have remained
		s := newFakeCAIO(t)
		s.down = true
		startAnnounce(t, s, ct).end(t)
	})
}
