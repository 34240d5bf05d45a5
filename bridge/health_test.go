package bridge_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// A checked provider says how it is as a test has it.
type checked struct {
	bridge.Provider
	check func(context.Context) error
}

func (p checked) CheckHealth(ctx context.Context) error { return p.check(ctx) }

const readyURL = "http://localhost:8082/readyz"

// A provider that does not answer health checks, whatever their deadline, makes the bridge unready, not mute: probes are answered
// in time, and do not pile up on it.
func TestHealthCheckThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		hang := make(chan struct{})
		p := checked{shouter(shout), func(context.Context) error {
			asked.Add(1)
			<-hang
			return nil
		}}
		inBubble(t, newBridge(t, loadContract(t), p, nil), func(client *http.Client) {
			for range 5 {
				start := time.Now()
				got := send(t, client, newRequest(t, "GET", readyURL, ""))
				if took := time.Since(start); got.Status != 503 || took > 2100*time.Millisecond {
					t.Errorf("after %v: %d %s, want 503 in about two seconds", took, got.Status, got.Body)
				}
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("the provider was asked %d times at once", n)
			}
			close(hang)
			time.Sleep(time.Second)
			if got := send(t, client, newRequest(t, "GET", readyURL, "")); got.Status != 200 || asked.Load() != 2 {
				t.Errorf("when it answers again: %d %s, asked %d times", got.Status, got.Body, asked.Load())
			}
		})
	})
}

// However many ask, the provider is asked once a second.
func TestHealthIsAskedOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		p := checked{shouter(shout), func(context.Context) error { asked.Add(1); return nil }}
		inBubble(t, newBridge(t, loadContract(t), p, nil), func(client *http.Client) {
			for range 30 {
				send(t, client, newRequest(t, "GET", readyURL, ""))
				time.Sleep(100 * time.Millisecond)
			}
		})
		if n := asked.Load(); n != 3 {
			t.Errorf("asked %d times in three seconds", n)
		}
	})
}

// A health check that panics is a failed one, also where no request waits for it.
func TestHealthCheckThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		a, broken := newAnnouncer(), atomic.Bool{}
		broken.Store(true)
		p := checked{shouter(shout), func(context.Context) error {
			if broken.Load() {
				panic("no pulse")
			}
			return nil
		}}
		inBubble(t, newBridge(t, loadContract(t), p, &bridge.Options{Announcer: a, Logger: log.logger()}), func(client *http.Client) {
			if got := send(t, client, newRequest(t, "GET", readyURL, "")); got.Status != 503 || strings.Contains(got.Body, "pulse") {
				t.Errorf("/readyz = %d %s, want 503 and no word of why", got.Status, got.Body)
			}
			broken.Store(false)
			<-a.announced
		})
		if !strings.Contains(log.String(), `cause="panic: no pulse"`) || !strings.Contains(log.String(), "stack=") {
			t.Errorf("the log does not say what panicked, and where:\n%s", log.String())
		}
	})
}

// The audit is told of no health check, also not of one that failed.
func TestHealthIsNotAudited(t *testing.T) {
	t.Parallel()
	var log logBuffer
	p := checked{shouter(shout), func(context.Context) error { return errors.New("ill") }}
	srv := serve(t, newBridge(t, loadContract(t), p, &bridge.Options{Logger: log.logger(), Audit: func(_ context.Context, c bridge.Call) {
		t.Errorf("the audit was told of %+v", c)
	}}))
	for _, path := range []string{"/livez", "/readyz", "/health"} {
		get(t, srv, path)
	}
	srv.Close()
	if n := strings.Count(log.String(), "level=WARN msg=request"); n != 2 {
		t.Errorf("%d failed checks are in the log, want 2:\n%s", n, log.String())
	}
}
