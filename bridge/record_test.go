package bridge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// countingShouter is a service that says how often it was called.
func countingShouter(calls *atomic.Int64) bridge.Provider {
	return shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
		n := calls.Add(1)
		if err := send(word{"A"}); err != nil {
			return shoutResponse{}, err
		}
		return shoutResponse{fmt.Sprintf("<%s & %d>\u2028", req.Text, n)}, nil
	})
}

func TestRepeatedCallsAnswerTheSame(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	var log logBuffer
	srv := serve(t, newBridge(t, loadContract(t), countingShouter(&calls), &bridge.Options{Logger: log.logger()}))
	first := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", `"k-1"`)
	if first.Status != 200 || first.Header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("the first call = %d %v %s", first.Status, first.Header, first.Body)
	}
	for name, key := range map[string]string{"the same": `"k-1"`, "unquoted": `k-1`, "quoted otherwise": ` "k-1" `} {
		again := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", key)
		if again.Status != 200 || again.Body != first.Body || again.Header.Get("Content-Type") != "application/json" || again.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s key = %d %v %s, want what the first call got: %s", name, again.Status, again.Header, again.Body, first.Body)
		}
	}
	if got, want := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k-1", "Accept", "text/event-stream").Body, "id: 1\nevent: result\ndata: "+first.Body+"\n\n"; got != want {
		t.Errorf("as a stream (-want +got):\n%s", cmp.Diff(want, got))
	}
	got := post(t, srv, "/shout", `{"text": "b"}`, "Idempotency-Key", "k-1")
	if p := got.problem(t); got.Status != 422 || p.Code != "idempotency_key_reused" || p.Retryable {
		t.Errorf("another body under the key = %d %s, want 422", got.Status, got.Body)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("the service was called %d times", n)
	}
	if n := strings.Count(log.String(), "replayed=true"); n != 4 {
		t.Errorf("%d replays are in the log, want 4:\n%s", n, log.String())
	}
	if again := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k-2"); again.Body == first.Body {
		t.Error("another key got the first one's answer")
	}
}

func TestStreamsAreRepeatedAsTheirResult(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	srv := serve(t, newBridge(t, loadContract(t), countingShouter(&calls), nil))
	first := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k", "Accept", "text/event-stream")
	again := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k", "Accept", "text/event-stream")
	_, result, _ := strings.Cut(first.Body, "event: result\n")
	if want := "id: 1\nevent: result\n" + result; !strings.Contains(first.Body, "event: word") || again.Body != want || calls.Load() != 1 {
		t.Errorf("first %q, then (-want +got):\n%s", first.Body, cmp.Diff(want, again.Body))
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	srv := serve(t, newBridge(t, loadContract(t), countingShouter(&calls), nil))
	for key, want := range map[string]int{
		`8e03978e-40d5-43dd-bc93-6894a57f9324`:   200,
		`"8e03978e-40d5-43dd-bc93-6894a57f9324"`: 200,
		`"with \"quotes\" and \\ and spaces"`:    200,
		strings.Repeat("k", 255):                 200,
		`"` + strings.Repeat("k", 255) + `"`:     200,
		strings.Repeat("k", 256):                 400,
		`""`:                                     400,
		``:                                       400,
		`"open`:                                  400,
		`"a"b`:                                   400,
		`"a";p=1`:                                400,
		`"bad \escape"`:                          400,
		`"ends in \`:                             400,
		`two words`:                              400,
		`a,b`:                                    400,
		`"naïve"`:                                400,
		`:bytes:,`:                               400,
	} {
		got := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", key)
		if got.Status != want {
			t.Errorf("Idempotency-Key: %.40s = %d %s, want %d", key, got.Status, got.Body, want)
		}
		if got.Status == 400 && got.problem(t).Code != "invalid_request" {
			t.Errorf("Idempotency-Key: %.40s = %s", key, got.Body)
		}
	}
	req := newRequest(t, "POST", srv.URL+"/shout", `{"text": "a"}`)
	req.Header["Idempotency-Key"] = []string{"a", "b"}
	if got := send(t, srv.Client(), req); got.Status != 400 {
		t.Errorf("two keys = %d, want 400", got.Status)
	}
}

func TestKeysBelongToTheirPrincipal(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	srv := serve(t, newBridge(t, loadContract(t), countingShouter(&calls), &bridge.Options{
		Authenticate: bridge.BearerTokens(map[string]string{"ann": "token-a", "bob": "token-b"}),
	}))
	for i, token := range []string{"token-a", "token-b"} {
		got := post(t, srv, "/shout", fmt.Sprintf(`{"text": "%d"}`, i), "Idempotency-Key", "k", "Authorization", "Bearer "+token)
		if got.Status != 200 || got.Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%s = %d %s: one caller's key must not touch another's", token, got.Status, got.Body)
		}
	}
}

// Failures that may pass are executed again; those that the request itself is the reason for are repeated.
func TestFailuresUnderAKey(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err      error
		replayed bool
	}{
		"the wrapped service is busy":    {&bridge.Error{Code: bridge.CodeRateLimited}, false},
		"the wrapped service fails":      {&bridge.Error{Code: bridge.CodeUpstreamFailed}, false},
		"nobody classified it":           {fmt.Errorf("no voice"), false},
		"a conflict that may pass":       {&bridge.Error{Code: "busy", Status: 409}, false},
		"the wrapped service refuses it": {&bridge.Error{Code: "too_rude", Status: 422, Detail: "Not that word."}, true},
		"nothing is there":               {&bridge.Error{Code: bridge.CodeNotFound}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			srv := serve(t, newBridge(t, loadContract(t), shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
				calls.Add(1)
				return shoutResponse{}, test.err
			}), nil))
			first := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k")
			again := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k")
			if replayed := calls.Load() == 1; replayed != test.replayed || again.Status != first.Status || (again.Header.Get("Idempotency-Replayed") == "true") != replayed {
				t.Errorf("after %d, %d with %d calls, want replayed: %v", first.Status, again.Status, calls.Load(), test.replayed)
			}
			if test.replayed && (again.Body != first.Body || again.Header.Get("Content-Type") != "application/problem+json") {
				t.Errorf("the problem (-first +again):\n%s", cmp.Diff(first.Body, again.Body))
			}
		})
	}
}

// While the first call is in progress the key is in use; so it is while a handler goes on that the caller was answered
// without: nothing may run beside it.
func TestKeyInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		b := newBridge(t, loadContract(t), shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
			calls.Add(1)
			time.Sleep(10 * time.Second)
			return shoutResponse{"A"}, nil
		}, bridge.Timeout(3*time.Second)), nil)
		inBubble(t, b, func(client *http.Client) {
			call := func() reply {
				return send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, "Idempotency-Key", "k"))
			}
			first := make(chan reply, 1)
			go func() { first <- call() }()
			time.Sleep(time.Second)
			got := call()
			if p := got.problem(t); got.Status != 409 || p.Code != "idempotency_key_in_use" || !p.Retryable || got.Header.Get("Retry-After") != "1" {
				t.Errorf("while the first call is in progress: %d %s, want 409", got.Status, got.Body)
			}
			if got := <-first; got.Status != 504 {
				t.Errorf("the first call got %d", got.Status)
			}
			if got := call(); got.Status != 409 {
				t.Errorf("while the handler goes on: %d %s, want 409", got.Status, got.Body)
			}
			time.Sleep(10 * time.Second)
			if got := call(); got.Status != 504 || calls.Load() != 2 {
				t.Errorf("after that the call is executed again: %d %s, %d calls", got.Status, got.Body, calls.Load())
			}
			time.Sleep(10 * time.Second) // the bridge stops when the handler has returned
		})
	})
}

// The same for jobs: one that has timed out or was cancelled, even removed, keeps its key until its handler has returned.
func TestKeyOfAJobInUse(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, client *http.Client, job string){
		"timed out": func(*testing.T, *http.Client, string) { time.Sleep(time.Minute) },
		"cancelled": func(t *testing.T, client *http.Client, job string) {
			fetchURL(t, client, "DELETE", job)
			time.Sleep(time.Second)
		},
		"removed": func(t *testing.T, client *http.Client, job string) {
			fetchURL(t, client, "DELETE", job)
			time.Sleep(time.Second)
			if got := fetchURL(t, client, "DELETE", job); got.Status != 204 {
				t.Errorf("removing the job = %d %s", got.Status, got.Body)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				b := newBridge(t, loadContract(t), shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
					calls.Add(1)
					time.Sleep(time.Hour)
					return shoutResponse{"A"}, nil
				}, bridge.Timeout(time.Second)), &bridge.Options{Jobs: bridge.JobOptions{Timeout: 30 * time.Second}})
				inBubble(t, b, func(client *http.Client) {
					job := begin(t, client, origin, "a", "Idempotency-Key", "k")
					end(t, client, job)
					for _, header := range [][]string{{}, {"Prefer", "respond-async"}} {
						got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, append(header, "Idempotency-Key", "k")...))
						if got.Status != 409 || got.problem(t).Code != "idempotency_key_in_use" || got.Header.Get("Retry-After") == "" {
							t.Errorf("while the handler goes on, %v: %d %s, want 409", header, got.Status, got.Body)
						}
					}
					time.Sleep(time.Hour)
					again := begin(t, client, origin, "a", "Idempotency-Key", "k")
					synctest.Wait()
					if again == job || calls.Load() != 2 {
						t.Errorf("after that the call is not executed again: %d calls", calls.Load())
					}
					time.Sleep(time.Hour) // the bridge stops when the handler has returned
				})
			})
		})
	}
}

// A call that the limits refuse has not begun: its key is free.
func TestRefusedCallsFreeTheirKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 1"), shoutAfter(time.Minute), nil)
		inBubble(t, b, func(client *http.Client) {
			begin(t, client, origin, "a")
			for range 2 {
				if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, "Idempotency-Key", "k")); got.Status != 429 {
					t.Errorf("a call over the limit = %d, want 429", got.Status)
				}
			}
			time.Sleep(time.Hour)
			if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, "Idempotency-Key", "k")); got.Status != 200 {
				t.Errorf("within the limit it is %d %s", got.Status, got.Body)
			}
		})
	})
}

func TestJobUnderAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shoutAfter(time.Minute), nil)
		inBubble(t, b, func(client *http.Client) {
			first := begin(t, client, origin, "a", "Idempotency-Key", "k")
			waiting := func() reply {
				return send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, "Idempotency-Key", "k"))
			}
			if again := begin(t, client, origin, "a", "Idempotency-Key", "k"); again != first {
				t.Errorf("the key got another job, %s after %s", again, first)
			}
			if got := waiting(); got.Status != 409 {
				t.Errorf("a caller who would wait gets %d, want 409 while the job runs", got.Status)
			}
			time.Sleep(2 * time.Minute)
			if again := begin(t, client, origin, "a", "Idempotency-Key", "k"); again != first {
				t.Errorf("the key got another job, %s after %s", again, first)
			}
			if got := waiting(); got.Status != 200 || got.Body != `{"loud":"A"}` || got.Header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("a caller who would wait gets %d %s, want the job's result", got.Status, got.Body)
			}
			time.Sleep(time.Hour)
			if again := begin(t, client, origin, "a", "Idempotency-Key", "k"); again == first {
				t.Error("the key got a job that is no longer kept")
			}
		})
	})
}

func TestCancelledJobFreesItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shoutAfter(time.Minute), nil)
		inBubble(t, b, func(client *http.Client) {
			first := begin(t, client, origin, "a", "Idempotency-Key", "k")
			fetchURL(t, client, "DELETE", first)
			synctest.Wait()
			if again := begin(t, client, origin, "a", "Idempotency-Key", "k"); again == first {
				t.Error("the cancelled job is the answer to a call that wants the work done")
			}
			if j := fetchURL(t, client, "GET", first).job(t); j.Status != "cancelled" {
				t.Errorf("the first job = %+v", j)
			}
		})
	})
}

// Whatever the interleaving of calls under a few keys, with failures and jobs among them: no key's call succeeds twice, no
// two run beside each other, and all who succeed get the same.
func TestAtMostOncePerKey(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			running, succeeded := map[string]int{}, map[string]int{}
			fail := make([]bool, 1000)
			for i := range fail {
				fail[i] = random.IntN(3) > 0
			}
			var call atomic.Int64
			b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 100"), shouter(func(_ context.Context, req shoutRequest, _ func(word) error) (shoutResponse, error) {
				n := call.Add(1)
				mu.Lock()
				running[req.Text]++
				if running[req.Text] > 1 || succeeded[req.Text] > 0 {
					t.Errorf("call %d of key %s: %d in progress, %d succeeded", n, req.Text, running[req.Text], succeeded[req.Text])
				}
				mu.Unlock()
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					running[req.Text]--
				}()
				if fail[n%1000] {
					return shoutResponse{}, &bridge.Error{Code: bridge.CodeUpstreamFailed}
				}
				mu.Lock()
				succeeded[req.Text]++
				mu.Unlock()
				return shoutResponse{fmt.Sprint(n)}, nil
			}), nil)
			srv := serve(t, b)
			answers := map[string]map[string]bool{}
			var wg sync.WaitGroup
			for worker := range 6 {
				random := rand.New(rand.NewPCG(seed, uint64(worker)))
				wg.Go(func() {
					for range 40 {
						key := fmt.Sprint(random.IntN(4))
						header := []string{"Idempotency-Key", key}
						if random.IntN(4) == 0 {
							header = append(header, "Prefer", "respond-async")
						}
						got := post(t, srv, "/shout", fmt.Sprintf(`{"text": %q}`, key), header...)
						switch got.Status {
						case 200:
							mu.Lock()
							if answers[key] == nil {
								answers[key] = map[string]bool{}
							}
							answers[key][got.Body] = true
							mu.Unlock()
						case 202, 409, 502:
						default:
							t.Errorf("key %s got %d %s", key, got.Status, got.Body)
						}
					}
				})
			}
			wg.Wait()
			for key, different := range answers {
				if len(different) != 1 {
					t.Errorf("key %s was answered %v", key, different)
				}
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
