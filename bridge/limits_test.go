package bridge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

func TestConcurrencyLimit(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	srv := serve(t, newBridge(t, loadContract(t), shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
		begun <- struct{}{}
		<-finish
		return shoutResponse{"A"}, nil
	}), nil))
	answers := make(chan reply, 2)
	for range 2 {
		go func() { answers <- post(t, srv, "/shout", `{"text": "a"}`) }()
		<-begun
	}
	got := post(t, srv, "/shout", `{"text": "a"}`)
	if p := got.problem(t); got.Status != 429 || p.Clause != "constraints.max_concurrent_requests" || got.Header.Get("Retry-After") != "1" {
		t.Errorf("third call of two: %d %s", got.Status, got.Body)
	}
	close(finish)
	for range 2 {
		if got := <-answers; got.Status != 200 {
			t.Errorf("admitted call: %d %s", got.Status, got.Body)
		}
	}
}

// A caller that has its answer can use the slot again at once.
func TestSlotIsFreeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 1"), shouter(shout), nil))
	for range 200 {
		if got := post(t, srv, "/shout", `{"text": "a"}`); got.Status != 200 {
			t.Fatalf("a call after another: %d %s", got.Status, got.Body)
		}
	}
}

// In any window of a second at most 3 calls are admitted and in any of a minute at most 10, whenever they come; and as
// many as that are admitted.
func TestRateLimitIsExact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := loadContract(t, "max_concurrent_requests: 2", "rate_limit: {per_second: 3, per_minute: 10}")
		b := newBridge(t, c, shouter(shout), nil)
		random := rand.New(rand.NewPCG(1, 2))
		inBubble(t, b, func(client *http.Client) {
			var admitted []time.Time
			for range 500 {
				time.Sleep(time.Duration(random.ExpFloat64() * float64(time.Second)))
				got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`))
				perSecond, perMinute := since(admitted, time.Second), since(admitted, time.Minute)
				switch {
				case got.Status == 200 && perSecond < 3 && perMinute < 10:
					admitted = append(admitted, time.Now())
				case got.Status == 429 && (perSecond >= 3 || perMinute >= 10):
					if got.Header.Get("Retry-After") == "" || !strings.HasPrefix(got.problem(t).Clause, "constraints.rate_limit.per_") {
						t.Fatalf("refused without Retry-After or clause: %s", got.Body)
					}
				default:
					t.Fatalf("status %d with %d calls in the last second and %d in the last minute", got.Status, perSecond, perMinute)
				}
			}
		})
	})
}

// since counts the times in the window of the given length that ends now.
func since(times []time.Time, length time.Duration) (n int) {
	for _, at := range times {
		if time.Since(at) < length {
			n++
		}
	}
	return n
}

func TestRateLimitHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := loadContract(t, "max_concurrent_requests: 2", "rate_limit: {per_minute: 2, per_hour: 1000}")
		b := newBridge(t, c, shouter(shout), nil)
		inBubble(t, b, func(client *http.Client) {
			call := func() reply { return send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`)) }
			for _, want := range []string{`"per_minute";r=1;t=60, "per_hour";r=999;t=3600`, `"per_minute";r=0;t=50, "per_hour";r=998;t=3590`} {
				got := call()
				if got.Header.Get("RateLimit") != want || got.Header.Get("RateLimit-Policy") != `"per_minute";q=2;w=60, "per_hour";q=1000;w=3600` {
					t.Errorf("RateLimit = %s (policy %s), want %s", got.Header.Get("RateLimit"), got.Header.Get("RateLimit-Policy"), want)
				}
				time.Sleep(10 * time.Second)
			}
			if got := call(); got.Status != 429 || got.Header.Get("Retry-After") != "40" {
				t.Errorf("third call: %d, Retry-After %s, want 429, 40", got.Status, got.Header.Get("Retry-After"))
			}
			time.Sleep(40 * time.Second)
			if got := call(); got.Status != 200 {
				t.Errorf("after Retry-After: %d %s", got.Status, got.Body)
			}
		})
	})
}

// A request that is refused for what it says, and one that another clause refuses, cost nothing.
func TestRefusedRequestsConsumeNothing(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t, "max_concurrent_requests: 2", "rate_limit: {per_second: 1, per_hour: 2}"), shouter(shout), nil))
	for range 5 {
		if got := post(t, srv, "/shout", `{}`); got.Status != 422 {
			t.Fatalf("invalid request: %d", got.Status)
		}
	}
	first := post(t, srv, "/shout", `{"text": "a"}`)
	if first.Status != 200 || !strings.Contains(first.Header.Get("RateLimit"), `"per_hour";r=1;`) {
		t.Errorf("first valid call: %d, RateLimit %s", first.Status, first.Header.Get("RateLimit"))
	}
	if got := post(t, srv, "/shout", `{"text": "a"}`); got.Status == 429 && !strings.Contains(got.Header.Get("RateLimit"), `"per_hour";r=1;`) {
		t.Errorf("refused per second, yet counted per hour: %s", got.Header.Get("RateLimit"))
	}
}

// Whatever becomes of a call, its slot comes back.
func TestSlotsComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var admitted atomic.Int64
		random := rand.New(rand.NewPCG(3, 4))
		b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 1"), shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
			admitted.Add(1)
			switch req.Times {
			case 1:
				panic("no voice")
			case 2:
				return shoutResponse{}, &bridge.Error{Code: bridge.CodeUpstreamFailed}
			case 3:
				<-ctx.Done()
				return shoutResponse{}, ctx.Err()
			case 4:
				return shoutResponse{}, send(word{"A"})
			case 5:
				time.Sleep(time.Hour)
			}
			return shoutResponse{"A"}, nil
		}), &bridge.Options{Timeouts: bridge.Timeouts{Call: time.Second}})
		inBubble(t, b, func(client *http.Client) {
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(3000))*time.Millisecond)
				req := newRequest(t, "POST", shoutURL, fmt.Sprintf(`{"text": "a", "times": %d}`, 1+random.IntN(6)))
				if random.IntN(2) == 0 {
					req.Header.Set("Accept", "text/event-stream")
				}
				if res, err := client.Do(req.WithContext(ctx)); err == nil {
					res.Body.Close()
				}
				cancel()
				time.Sleep(2 * time.Hour)
			}
			if got := send(t, client, newRequest(t, "GET", "http://localhost:8082/health", "")); !strings.Contains(got.Body, `"calls_in_progress":0`) {
				t.Errorf("a slot was lost: %s", got.Body)
			}
		})
		if n := admitted.Load(); n < 250 {
			t.Errorf("only %d of 300 calls were admitted: slots do not come back", n)
		}
	})
}
