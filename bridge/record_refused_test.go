package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// refusingLimiter refuses all callers but ann, after a while.
type refusingLimiter struct {
	takes time.Duration
	err   error
}

func (l refusingLimiter) Admit(_ context.Context, caller string) (limits.Admission, error) {
	time.Sleep(l.takes)
	if caller == "ann" {
		return limits.Admission{}, nil
	}
	return limits.Admission{}, l.err
}

// A call that is refused evicts no kept answer, job or key of another caller, however many there
// are at the same time.
func TestRefusedCallsEvictNothing(t *testing.T) {
	t.Parallel()
	perCaller := limits.Limits{RateLimit: contract.RateLimit{PerHour: 100}} // ann's first hundred calls
	for name, opts := range map[string]bridge.Options{
		"local limiter":          {CallerLimits: perCaller},
		"remote limiter":         {Limiter: refusingLimiter{30 * time.Millisecond, &limits.Refusal{Detail: "Not today."}}},
		"slow remote limiter":    {Limiter: refusingLimiter{4 * time.Second, &limits.Refusal{Detail: "Not today."}}},
		"limiter that fails":     {Limiter: refusingLimiter{time.Millisecond, errors.New("redis does not answer")}},
		"limiter without answer": {Limiter: refusingLimiter{5 * time.Second, context.DeadlineExceeded}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts.Jobs.MaxRecords = 100
				opts.Authenticate = bridge.BearerTokens(map[string]string{"ann": "token-a", "bob": "token-b"})
				c := loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 1000")
				b := newBridge(t, c, shouter(shout), &opts)
				inBubble(t, b, func(client *http.Client) {
					call := func(token, key string, header ...string) reply {
						return send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, append(header, "Authorization", "Bearer "+token, "Idempotency-Key", key)...))
					}
					async := []string{"Prefer", "respond-async"}
					for i := range 100 {
						header := async[:i%2*2] // every other one is a job
						if got := call("token-a", fmt.Sprint(i), header...); got.Status != 200+i%2*2 {
							t.Fatalf("ann's call = %d %s", got.Status, got.Body)
						}
					}
					for opts.Limiter == nil && send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, "Authorization", "Bearer token-b")).Status == 200 {
						// bob uses up his quota
					}
					var all sync.WaitGroup
					for i := range 150 {
						all.Go(func() {
							for j := range 2 {
								if got := call("token-b", fmt.Sprint(i, "-", j), async[:i%2*2]...); got.Status < 429 {
									t.Errorf("bob's call = %d %s, want it refused", got.Status, got.Body)
								}
							}
						})
					}
					all.Wait()
					left := 0
					for i := range 100 {
						if got := call("token-a", fmt.Sprint(i), async[:i%2*2]...); got.Header.Get("Idempotency-Replayed") == "true" {
							left++
						}
					}
					if left != 100 {
						t.Errorf("%d of ann's 100 answers are left", left)
					}
				})
			})
		})
	}
}

// A refused repetition leaves the record that it found under its key: here of a job that failed.
func TestRefusedCallsLeaveTheirKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refuse := false
		l := limiterFunc(func() error {
			if refuse {
				return &limits.Refusal{Detail: "Not today."}
			}
			return nil
		})
		fails := shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
			return shoutResponse{}, &bridge.Error{Code: bridge.CodeUpstreamFailed}
		})
		inBubble(t, newBridge(t, loadContract(t), fails, &bridge.Options{Limiter: l}), func(client *http.Client) {
			url := begin(t, client, origin, "a", "Idempotency-Key", "k")
			ended(t, client, url)
			refuse = true
			if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, "Idempotency-Key", "k")); got.Status != 429 {
				t.Errorf("the call repeated = %d, want 429", got.Status)
			}
			refuse = false
			if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "b"}`, "Idempotency-Key", "k")); got.Status != 422 {
				t.Errorf("another call under the key = %d, want 422: the job is still known by it", got.Status)
			}
			if j := fetchURL(t, client, "GET", url).job(t); j.Status != "failed" {
				t.Errorf("the job = %+v", j)
			}
		})
	})
}

type limiterFunc func() error

func (f limiterFunc) Admit(context.Context, string) (limits.Admission, error) {
	return limits.Admission{}, f()
}
