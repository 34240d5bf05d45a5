package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// One caller cannot use up what the contract allows all of them.
func TestCallerLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := loadContract(t, "max_concurrent_requests: 2", "rate_limit: {per_minute: 5}")
		b := newBridge(t, c, shouter(shout), &bridge.Options{
			Authenticate: bridge.BearerTokens(map[string]string{"ann": "token-a", "bob": "token-b"}),
			CallerLimits: limits.Limits{RateLimit: contract.RateLimit{PerMinute: 3}},
		})
		inBubble(t, b, func(client *http.Client) {
			call := func(token string) reply {
				return send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, "Authorization", "Bearer "+token))
			}
			for range 3 {
				if got := call("token-a"); got.Status != 200 {
					t.Fatalf("ann: %d %s", got.Status, got.Body)
				}
			}
			got := call("token-a")
			if p := got.problem(t); got.Status != 429 || p.Clause != "" || got.Header.Get("Retry-After") != "60" || !strings.Contains(p.Detail, "one caller may make") {
				t.Errorf("ann's fourth call: %d %s", got.Status, got.Body)
			}
			if want := `"per_minute";r=2;t=60, "caller_per_minute";r=0;t=60`; got.Header.Get("RateLimit") != want {
				t.Errorf("RateLimit = %s, want %s", got.Header.Get("RateLimit"), want)
			}
			for range 2 {
				if got := call("token-b"); got.Status != 200 {
					t.Errorf("bob: %d %s", got.Status, got.Body)
				}
			}
			if p := call("token-b").problem(t); p.Clause != "constraints.rate_limit.per_minute" {
				t.Errorf("the sixth call of all is refused by %q, want the contract's clause", p.Clause)
			}
			time.Sleep(time.Minute)
			if got := call("token-a"); got.Status != 200 {
				t.Errorf("ann a minute later: %d %s", got.Status, got.Body)
			}
		})
	})
}

// sharedLimiter is what an operator might write to share one call among replicas.
type sharedLimiter struct {
	callers chan string
	held    atomic.Int64
	down    bool
}

func (l *sharedLimiter) Admit(_ context.Context, caller string) (limits.Admission, error) {
	if l.down {
		return limits.Admission{}, errors.New("redis at 10.0.0.7 does not answer")
	}
	l.callers <- caller
	quota := []limits.Quota{{Name: "shared", Limit: 1, Window: time.Hour, Remaining: 0, Reset: time.Minute}}
	if l.held.Load() > 0 {
		return limits.Admission{Quotas: quota}, &limits.Refusal{Detail: "Another replica is busy.", RetryAfter: time.Minute}
	}
	l.held.Add(1)
	return limits.Admission{Release: func() { l.held.Add(-1) }, Quotas: quota}, nil
}

func TestLimiterOfTheOperator(t *testing.T) {
	t.Parallel()
	l := &sharedLimiter{callers: make(chan string, 9)}
	opts := &bridge.Options{Limiter: l, Authenticate: bridge.BearerTokens(map[string]string{"ann": "token-a"})}
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), opts))
	got := post(t, srv, "/shout", `{"text": "a"}`, "Authorization", "Bearer token-a")
	if got.Status != 200 || <-l.callers != "ann" || got.Header.Get("RateLimit") != `"shared";r=0;t=60` {
		t.Errorf("%d, RateLimit %s", got.Status, got.Header.Get("RateLimit"))
	}
	for l.held.Load() != 0 {
		// released just after the answer
	}
	l.held.Add(1)
	if got := post(t, srv, "/shout", `{"text": "a"}`, "Authorization", "Bearer token-a"); got.Status != 429 || got.Header.Get("Retry-After") != "60" {
		t.Errorf("while another replica holds the place: %d %s", got.Status, got.Body)
	}
	l.down = true
	// As after one that hangs: before, a limiter that failed at once was a fault of the bridge's that no caller would try again.
	if got := post(t, srv, "/shout", `{"text": "a"}`, "Authorization", "Bearer token-a"); got.Status != 503 || !got.problem(t).Retryable || got.Header.Get("Retry-After") != "1" || strings.Contains(got.Body, "10.0.0.7") {
		t.Errorf("a limiter that fails: %d %s, want 503 without the cause", got.Status, got.Body)
	}
}

// mute is a limiter whose store does not answer.
type mute struct{}

func (mute) Admit(ctx context.Context, _ string) (limits.Admission, error) {
	<-ctx.Done()
	return limits.Admission{}, fmt.Errorf("redis at 10.0.0.7: %w", ctx.Err())
}

// A limiter that does not answer keeps calls waiting for a bounded time only, and lets none through.
func TestLimiterThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inBubble(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Limiter: mute{}}), func(client *http.Client) {
			start := time.Now()
			got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`))
			if p := got.problem(t); time.Since(start) != 5*time.Second || got.Status != 503 || !p.Retryable || got.Header.Get("Retry-After") != "1" || strings.Contains(got.Body, "10.0.0.7") {
				t.Errorf("after %v: %d %s, want 503 after five seconds, without the cause", time.Since(start), got.Status, got.Body)
			}
		})
	})
}

// A caller who leaves while the limiter thinks is logged as one who left, and not as a fault.
func TestCallerThatLeavesBeforeItIsAdmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		inBubble(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Limiter: mute{}, Logger: log.logger()}), func(client *http.Client) {
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			defer leave()
			if _, err := client.Do(newRequest(t, "POST", shoutURL, `{"text": "a"}`).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Do = %v", err)
			}
			synctest.Wait()
			if text := log.String(); !strings.Contains(text, "level=INFO msg=request") || !strings.Contains(text, "code=client_closed_request") || !strings.Contains(text, "duration=1s") {
				t.Errorf("the log says\n%s", text)
			}
		})
	})
}

// A limiter that takes its time, and then refuses.
type slowLimiter struct{ asked, refuse chan struct{} }

func (l slowLimiter) Admit(context.Context, string) (limits.Admission, error) {
	l.asked <- struct{}{}
	<-l.refuse
	return limits.Admission{}, &limits.Refusal{Detail: "Not today."}
}

// A caller who repeats the call for a job that may still be refused is not sent to a job that there may never be.
func TestJobThatMayStillBeRefused(t *testing.T) {
	t.Parallel()
	l := slowLimiter{make(chan struct{}), make(chan struct{})}
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Limiter: l}))
	first := make(chan reply, 1)
	go func() {
		first <- post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async", "Idempotency-Key", "k")
	}()
	<-l.asked
	again := post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async", "Idempotency-Key", "k")
	if p := again.problem(t); again.Status != 409 || p.Code != "idempotency_key_in_use" || !p.Retryable || again.Header.Get("Location") != "" {
		t.Errorf("the same call meanwhile = %d %v %s, want 409", again.Status, again.Header, again.Body)
	}
	close(l.refuse)
	if got := <-first; got.Status != 429 {
		t.Errorf("the first call = %d %s, want 429", got.Status, got.Body)
	}
}
