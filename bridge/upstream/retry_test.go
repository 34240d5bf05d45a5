package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

const aPause = 500 * time.Millisecond // at most, before the first retry

func TestPauses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		header     func(now time.Time) map[string]string
		floor      time.Duration
		notRetried bool
	}{
		{name: "backoff"},
		{name: "seconds", header: retryAfter("7"), floor: 7 * time.Second},
		{name: "the longest that is waited for", header: retryAfter("20"), floor: 20 * time.Second},
		{name: "longer", header: retryAfter("21"), notRetried: true},
		{name: "zero", header: retryAfter("0")},
		{name: "negative", header: retryAfter("-7")},
		{name: "nonsense", header: retryAfter("soon")},
		{name: "far beyond an int", header: retryAfter("99999999999999999999")},
		{name: "date", header: func(now time.Time) map[string]string {
			return map[string]string{"Retry-After": httpDate(now.Add(7 * time.Second))}
		}, floor: 7 * time.Second},
		{name: "date that has passed", header: func(now time.Time) map[string]string {
			return map[string]string{"Retry-After": httpDate(now.Add(-time.Hour))}
		}},
		{name: "date by a clock that is wrong", header: func(now time.Time) map[string]string {
			return map[string]string{"Retry-After": httpDate(now.Add(-time.Hour + 7*time.Second)), "Date": httpDate(now.Add(-time.Hour))}
		}, floor: 7 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				client := inMemory(t, upstream.Options{}, func(w http.ResponseWriter, r *http.Request) {
					if asked.Add(1) > 1 {
						return
					}
					if tt.header != nil {
						for name, value := range tt.header(time.Now()) {
							w.Header().Set(name, value)
						}
					}
					status(w, 429, "")
				})
				start := time.Now()

				code, _, err := send(client, newRequest(t, t.Context(), "GET", "http://x.test", ""))

				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < tt.floor || took > tt.floor+aPause {
					t.Errorf("the next attempt came after %v, want %v and up to %v more", took, tt.floor, aPause)
				}
				if retried := code == 200; retried == tt.notRetried {
					t.Errorf("status %d after %d attempts, want retried: %v", code, asked.Load(), !tt.notRetried)
				}
			})
		})
	}
}

func retryAfter(value string) func(time.Time) map[string]string {
	return func(time.Time) map[string]string { return map[string]string{"Retry-After": value} }
}

func httpDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

func TestPausesGrowUpToMaxBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen attempts
		opts := upstream.Options{Attempts: 10, BreakAfter: 1000, MaxBackoff: 3 * time.Second, Observe: seen.observe}
		client := inMemory(t, opts, func(w http.ResponseWriter, r *http.Request) { status(w, 503, "") })

		longest := make([]time.Duration, 11)
		for range 11 { // 99 retries, which the budget allows
			if _, _, err := send(client, newRequest(t, t.Context(), "GET", "http://x.test", "")); err != nil {
				t.Fatal(err)
			}
		}

		for _, a := range seen.all() {
			longest[a.Number] = max(longest[a.Number], a.Wait)
		}
		for number, limit := 1, aPause; number < 10; number++ {
			if got := longest[number]; got <= limit/8 || got > limit { // of eleven random ones
				t.Errorf("the longest pause after attempt %d is %v, want up to %v", number, got, limit)
			}
			limit = min(2*limit, opts.MaxBackoff)
		}
		if longest[10] != 0 {
			t.Errorf("a pause of %v after the last attempt", longest[10])
		}
	})
}

func TestNothingSentIsRetriedForPOST(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		client, err := upstream.NewOver(upstream.Options{Proxy: http.ProxyURL(nil)}, func(context.Context, string, string) (net.Conn, error) {
			dials++
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name string
			body io.Reader
			want int
		}{
			{"a body that can be had again", strings.NewReader("x"), 3},
			{"a body that cannot", io.MultiReader(strings.NewReader("x")), 1},
		} {
			dials = 0
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://x.test", tt.body)

			_, _, err = send(client, req)

			if dials != tt.want || !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %d attempts (%v), want %d and the refusal", tt.name, dials, err, tt.want)
			}
		}
	})
}

func TestContextEndsPauses(t *testing.T) {
	t.Parallel()
	busy := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "10")
		status(w, 429, "slow down")
	}
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			client := inMemory(t, upstream.Options{}, busy)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			start := time.Now()

			_, _, err := send(client, newRequest(t, ctx, "GET", "http://x.test", ""))

			if took := time.Since(start); took != 3*time.Second || !errors.Is(err, context.Canceled) {
				t.Errorf("returned after %v with %v, want at once when cancelled after 3s", took, err)
			}
		})
	})
	// The caller learns what the upstream said, not that time ran out waiting for another answer.
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			client := inMemory(t, upstream.Options{}, busy)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			start := time.Now()

			code, body, err := send(client, newRequest(t, ctx, "GET", "http://x.test", ""))

			if took := time.Since(start); took != 0 || code != 429 || body != "slow down" || err != nil {
				t.Errorf("got %d %q (%v) after %v, want the 429 at once", code, body, err, took)
			}
		})
	})
}

// A stream may last longer than every timeout.
func TestTimeoutsDoNotCutStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, upstream.Options{HeaderTimeout: time.Second}, func(w http.ResponseWriter, r *http.Request) {
			for i := range 3 {
				fmt.Fprintln(w, i)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Hour)
			}
		})
		if _, body, err := send(client, newRequest(t, t.Context(), "GET", "http://x.test", "")); body != "0\n1\n2\n" || err != nil {
			t.Errorf("body %q (%v), want all three lines", body, err)
		}
		if client.Timeout != 0 {
			t.Errorf("the client's Timeout is %v, which would cut streams", client.Timeout)
		}
	})
}

func TestBodyThatCannotBeHadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, upstream.Options{}, func(w http.ResponseWriter, r *http.Request) { status(w, 503, "") })
		req := newRequest(t, t.Context(), "PUT", "http://x.test", "a body")
		broken := errors.New("the file is gone")
		req.GetBody = func() (io.ReadCloser, error) { return nil, broken }

		if _, _, err := send(client, req); !errors.Is(err, broken) {
			t.Errorf("error %v, want why there was no second attempt", err)
		}
	})
}

// However calls interleave, the retries of a host never cost more than the budget and what
// successes refilled.
func TestBudget(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		failing := float64(seed+1) / 8 // of attempts; all of them in the last round
		t.Run(fmt.Sprintf("%v of attempts fail", failing), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				rng := rand.New(rand.NewPCG(seed, 1))
				fails := func() bool { mu.Lock(); defer mu.Unlock(); return rng.Float64() < failing }

				var credit, cost, retries, late int // in tokens, but for retries
				observe := func(_ context.Context, a upstream.Attempt) {
					mu.Lock()
					defer mu.Unlock()
					if a.Status == 200 && a.Number == 1 {
						credit++
					} else if a.Status == 200 {
						credit += 10 // at most
					}
					if a.Wait == 0 {
						return
					}
					retries++
					if netErr, ok := errors.AsType[net.Error](a.Err); ok && netErr.Timeout() {
						cost += 10
						late++
					} else {
						cost += 5
					}
				}
				opts := upstream.Options{BreakAfter: 1 << 20, HeaderTimeout: time.Second, Observe: observe}
				client := inMemory(t, opts, func(w http.ResponseWriter, r *http.Request) {
					switch {
					case !fails():
					case r.URL.Path == "/slow":
						<-r.Context().Done()
					default:
						status(w, 503, "")
					}
				})

				var callers sync.WaitGroup
				for i := range 20 {
					path := []string{"/", "/slow"}[i%2]
					callers.Go(func() {
						for range 20 {
							_, _, _ = send(client, newRequest(t, t.Context(), "GET", "http://x.test"+path, ""))
						}
					})
				}
				callers.Wait()

				if cost > 500+credit {
					t.Errorf("%d retries cost %d, but budget and successes are worth %d", retries, cost, 500+credit)
				}
				if failing < 0.2 && retries == 0 {
					t.Error("no retries although the budget was hardly touched")
				}
				if failing == 1 && (cost > 500 || cost <= 490) {
					t.Errorf("when all fails, %d retries (%d after timeouts) cost %d, want what the budget is worth: 500", retries, late, cost)
				}
			})
		})
	}
}

// A long good time saves up no more than the budget holds.
func TestBudgetIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var retries atomic.Int32
		opts := upstream.Options{BreakAfter: 1 << 20, Observe: func(_ context.Context, a upstream.Attempt) {
			if a.Wait > 0 {
				retries.Add(1)
			}
		}}
		client := inMemory(t, opts, func(w http.ResponseWriter, r *http.Request) {
			if down.Load() {
				status(w, 503, "")
			}
		})
		get := func() { _, _, _ = send(client, newRequest(t, t.Context(), "GET", "http://x.test", "")) }
		for range 600 {
			get()
		}
		down.Store(true)
		for range 200 {
			get()
		}
		if got := retries.Load(); got != 100 {
			t.Errorf("%d retries in an outage after a good time, want 100", got)
		}
		down.Store(false)
		for range 5 {
			get()
		}
		down.Store(true)
		get()
		if got := retries.Load(); got != 101 {
			t.Errorf("%d more retries after five successes, want 1", got-100)
		}
	})
}

// A retry that succeeds gives back what it cost: calls that take two attempts each never run out of
// the second.
func TestRetriesThatSucceedCostNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		client := inMemory(t, upstream.Options{HeaderTimeout: time.Second}, func(w http.ResponseWriter, r *http.Request) {
			switch asked.Add(1) % 4 {
			case 1:
				status(w, 503, "")
			case 3: // costs more, and gives back as much
				<-r.Context().Done()
			}
		})
		for i := range 400 {
			if code, _, err := send(client, newRequest(t, t.Context(), "GET", "http://x.test", "")); code != 200 {
				t.Fatalf("call %d has no second attempt: %d, %v", i, code, err)
			}
		}
	})
}
