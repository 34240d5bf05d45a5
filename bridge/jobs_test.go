package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
)

const origin = "http://localhost:8082"

// job is what callers read of a job.
type job struct {
	ID, Status, Endpoint string
	RequestID            string    `json:"request_id"`
	Finished             time.Time `json:"finished_at"`
	Expires              time.Time `json:"expires_at"`
	Result               json.RawMessage
	Error                *problem
}

func (r reply) job(t testing.TB) job {
	t.Helper()
	var j job
	if err := json.Unmarshal([]byte(r.Body), &j); err != nil || j.ID == "" {
		t.Fatalf("%d %s is no job: %v", r.Status, r.Body, err)
	}
	return j
}

// begin starts a job and returns its URL.
func begin(t testing.TB, client *http.Client, base, text string, header ...string) string {
	t.Helper()
	got := send(t, client, newRequest(t, "POST", base+"/shout", fmt.Sprintf(`{"text": %q}`, text), append([]string{"Prefer", "respond-async"}, header...)...))
	if got.Status != 202 || got.Header.Get("Preference-Applied") != "respond-async" || got.Header.Get("Location") != "/jobs/"+got.job(t).ID {
		t.Fatalf("a call with Prefer: respond-async got %d %v %s", got.Status, got.Header, got.Body)
	}
	return base + got.Header.Get("Location")
}

func fetchURL(t testing.TB, client *http.Client, method, url string, header ...string) reply {
	t.Helper()
	return send(t, client, newRequest(t, method, url, "", header...))
}

// ended follows a job to its end, and returns it.
func ended(t testing.TB, client *http.Client, url string, header ...string) job {
	t.Helper()
	fetchURL(t, client, "GET", url, append([]string{"Accept", "text/event-stream"}, header...)...)
	return fetchURL(t, client, "GET", url, header...).job(t)
}

// shoutAfter is a service that takes its time.
func shoutAfter(d time.Duration) bridge.Provider {
	return shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
		select {
		case <-time.After(d):
			return shout(ctx, req, send)
		case <-ctx.Done():
			return shoutResponse{}, ctx.Err()
		}
	})
}

func TestJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shoutAfter(5*time.Minute), nil) // longer than Options.Timeout: jobs have time
		inBubble(t, b, func(client *http.Client) {
			url := begin(t, client, origin, "a", "X-Request-Id", "r-1")
			got := fetchURL(t, client, "GET", url)
			if j := got.job(t); got.Status != 200 || j.Status != "running" || got.Header.Get("Retry-After") != "1" || j.RequestID != "r-1" || j.Endpoint != "POST /shout" {
				t.Errorf("a running job is %d %v %s", got.Status, got.Header, got.Body)
			}
			time.Sleep(4 * time.Minute)
			if got := fetchURL(t, client, "GET", url); got.Header.Get("Retry-After") != "24" {
				t.Errorf("Retry-After = %q after four minutes, want a tenth of them", got.Header.Get("Retry-After"))
			}
			time.Sleep(2 * time.Minute)
			got = fetchURL(t, client, "GET", url)
			j := got.job(t)
			if got.Status != 200 || j.Status != "succeeded" || string(j.Result) != `{"loud":"A"}` || j.Error != nil || j.Expires.Sub(j.Finished) != time.Hour {
				t.Errorf("the finished job is %d %s", got.Status, got.Body)
			}
			time.Sleep(time.Hour)
			if got := fetchURL(t, client, "GET", url); got.Status != 404 || got.problem(t).Code != "not_found" {
				t.Errorf("after its time the job is %d %s, want 404", got.Status, got.Body)
			}
		})
	})
}

func TestPrefer(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	for prefer, want := range map[string]int{
		"respond-async":                     202,
		"Respond-Async":                     202,
		"return=minimal, respond-async;q=1": 202,
		"wait=10":                           200,
		"respond-asynchronously":            200,
		`note="x, respond-async, y"`:        200,
		`note="\", x", respond-async`:       202,
		"":                                  200,
	} {
		got := post(t, srv, "/shout", `{"text": "a"}`, "Prefer", prefer)
		if got.Status != want {
			t.Errorf("Prefer: %s = %d, want %d", prefer, got.Status, want)
		}
		if want == 202 {
			ended(t, srv.Client(), srv.URL+got.Header.Get("Location"))
		}
	}
}

// What can be refused at once is: a caller need not come back to hear of it.
func TestRefusalsOfJobsAreSynchronous(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 1"), shoutAfter(time.Minute), nil)
		inBubble(t, b, func(client *http.Client) {
			if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": ""}`, "Prefer", "respond-async")); got.Status != 422 {
				t.Errorf("what the schema does not allow = %d, want 422", got.Status)
			}
			begin(t, client, origin, "a")
			if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "b"}`, "Prefer", "respond-async")); got.Status != 429 {
				t.Errorf("a second job = %d, want 429: the first has the only slot until it ends", got.Status)
			}
			time.Sleep(2 * time.Minute)
			begin(t, client, origin, "b")
		})
	})
}

func TestJobsThatFail(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handle func(ctx context.Context) (any, error)
		code   string
		status int
	}{
		"the service fails": {
			func(context.Context) (any, error) {
				return nil, &bridge.Error{Code: bridge.CodeUpstreamFailed, Detail: "No voice.", Cause: errors.New("canary")}
			}, "upstream_failed", 502,
		},
		"nobody classified it": {func(context.Context) (any, error) { return nil, errors.New("canary") }, "internal", 500},
		"it panics":            {func(context.Context) (any, error) { panic("canary") }, "internal", 500},
		"not what was promised": {
			func(context.Context) (any, error) { return map[string]int{"canary": 1}, nil }, "invalid_response", 502,
		},
		"it takes too long": {func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, ctx.Err() }, "timeout", 504},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log logBuffer
				calls := make(chan bridge.Call, 100)
				h := bridge.HandlerFunc(func(ctx context.Context, _ shoutRequest) (any, error) { return test.handle(ctx) })
				b := newBridge(t, loadContract(t), routes{bridge.Unary("POST /shout", h, bridge.Serves("shouting"))}, &bridge.Options{
					Logger: log.logger(),
					Audit: func(_ context.Context, c bridge.Call) {
						if c.Job != "" {
							calls <- c
						}
					},
				})
				inBubble(t, b, func(client *http.Client) {
					url := begin(t, client, origin, "a")
					j := ended(t, client, url)
					if j.Status != "failed" || j.Error == nil || j.Error.Code != test.code || j.Error.Status != test.status || j.Error.Instance != strings.TrimPrefix(url, origin) || j.Result != nil {
						t.Errorf("job = %+v, want failed with %s", j, test.code)
					}
					if got := fetchURL(t, client, "GET", url); strings.Contains(got.Body, "canary") {
						t.Errorf("the job tells its owner what is meant for the log: %s", got.Body)
					}
					if c := <-calls; c.Code != test.code || c.Status != test.status || c.Job != j.ID || c.Route != "/shout" {
						t.Errorf("audit was told %+v", c)
					}
					if !strings.Contains(log.String(), "msg=job") || !strings.Contains(log.String(), "code="+test.code) {
						t.Errorf("the log does not say that the job failed:\n%s", log.String())
					}
				})
			})
		})
	}
}

func TestJobEvents(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	url := begin(t, srv.Client(), srv.URL, "one two three")
	ended(t, srv.Client(), url) // a stream after event 77 of a job that has sent none would have them all
	const first, second, third, end = "id: 1\nevent: word\ndata: {\"word\":\"ONE\"}\n\n", "id: 2\nevent: word\ndata: {\"word\":\"TWO\"}\n\n",
		"id: 3\nevent: word\ndata: {\"word\":\"THREE\"}\n\n", "id: end\nevent: result\ndata: {\"loud\":\"ONE TWO THREE\"}\n\n"
	for last, want := range map[string]string{"": first + second + third + end, "1": second + third + end, "3": end, "77": end} {
		got := fetchURL(t, srv.Client(), "GET", url, "Accept", "text/event-stream", "Last-Event-ID", last)
		if _, events, _ := strings.Cut(got.Body, "\n\n"); events != want || got.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("after event %q: %d (-want +got):\n%s", last, got.Status, cmp.Diff(want, events))
		}
	}
	if got := fetchURL(t, srv.Client(), "GET", url, "Accept", "text/event-stream", "Last-Event-ID", "end"); got.Status != 204 {
		t.Errorf("who has seen the end gets %d, want 204, which tells an EventSource to stop", got.Status)
	}
	if got := fetchURL(t, srv.Client(), "GET", url, "Accept", "text/event-stream", "Last-Event-ID", "x"); got.Status != 400 {
		t.Errorf("a Last-Event-ID of others = %d, want 400", got.Status)
	}
}

// Events arrive while the job runs, and heartbeats while it is silent; whoever leaves does not end it.
func TestFollowingAJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
			err := send(word{"A"})
			time.Sleep(25 * time.Second)
			return shoutResponse{"A"}, errors.Join(err, send(word{"B"}))
		}), &bridge.Options{Timeouts: bridge.Timeouts{Heartbeat: 10 * time.Second}})
		inBubble(t, b, func(client *http.Client) {
			url := begin(t, client, origin, "a")
			ctx, leave := context.WithCancel(t.Context())
			res, err := client.Do(newRequest(t, "GET", url, "", wantEvents...).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			leave()
			res.Body.Close()
			got := fetchURL(t, client, "GET", url, wantEvents...)
			want := "id: 1\nevent: word\ndata: {\"word\":\"A\"}\n\n: heartbeat\n\n: heartbeat\n\nid: 2\nevent: word\ndata: {\"word\":\"B\"}\n\nid: end\nevent: result\ndata: {\"loud\":\"A\"}\n\n"
			if _, events, _ := strings.Cut(got.Body, "\n\n"); events != want {
				t.Errorf("stream (-want +got):\n%s", cmp.Diff(want, events))
			}
		})
	})
}

// Events that are no longer kept are missed aloud, and the stream goes on after them.
func TestGapsInEvents(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
		for i := range 1500 {
			if err := send(word{fmt.Sprint(i + 1)}); err != nil {
				return shoutResponse{}, err
			}
		}
		return shoutResponse{"A"}, nil
	}), nil))
	url := begin(t, srv.Client(), srv.URL, "a")
	ended(t, srv.Client(), url)
	got := fetchURL(t, srv.Client(), "GET", url, "Accept", "text/event-stream", "Last-Event-ID", "7").Body
	if want := "id: 500\nevent: gap\ndata: {\"first\":8,\"last\":500}\n\nid: 501\nevent: word\ndata: {\"word\":\"501\"}\n\n"; !strings.Contains(got, want) {
		t.Errorf("the stream does not begin with the gap and what comes after it: %.300s", got)
	}
	if n := strings.Count(got, "event: word\n"); n != 1000 || !strings.HasSuffix(got, "id: end\nevent: result\ndata: {\"loud\":\"A\"}\n\n") {
		t.Errorf("%d events and %q at the end", n, got[len(got)-60:])
	}
}

func TestCancellingAJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cause := make(chan error, 1)
		b := newBridge(t, loadContract(t), shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
			<-ctx.Done()
			cause <- ctx.Err()
			return shoutResponse{}, errors.New("upstream: request cancelled")
		}), nil)
		inBubble(t, b, func(client *http.Client) {
			url := begin(t, client, origin, "a")
			if got := fetchURL(t, client, "DELETE", url); got.Status != 202 {
				t.Errorf("DELETE of a running job = %d %s, want 202", got.Status, got.Body)
			}
			if err := <-cause; !errors.Is(err, context.Canceled) {
				t.Errorf("the handler's context ended with %v", err)
			}
			if j := ended(t, client, url); j.Status != "cancelled" || j.Error.Code != "cancelled" || j.Error.Retryable {
				t.Errorf("job = %+v, want cancelled", j)
			}
			synctest.Wait()
			if got := fetchURL(t, client, "GET", origin+"/health"); !strings.Contains(got.Body, `"calls_in_progress":0`) {
				t.Errorf("the slot was not freed: %s", got.Body)
			}
			if got := fetchURL(t, client, "DELETE", url); got.Status != 204 {
				t.Errorf("DELETE of a finished job = %d, want 204", got.Status)
			}
			if got := fetchURL(t, client, "GET", url); got.Status != 404 {
				t.Errorf("after that the job is %d, want 404", got.Status)
			}
		})
	})
}

func TestJobsBelongToTheirPrincipal(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{
		Authenticate: bridge.BearerTokens(map[string]string{"ann": "token-a", "bob": "token-b"}),
	}))
	url := begin(t, srv.Client(), srv.URL, "a", "Authorization", "Bearer token-a")
	ended(t, srv.Client(), url, "Authorization", "Bearer token-a")
	for _, method := range []string{"GET", "DELETE"} {
		if got := fetchURL(t, srv.Client(), method, url); got.Status != 401 {
			t.Errorf("%s without a token = %d, want 401", method, got.Status)
		}
		foreign := fetchURL(t, srv.Client(), method, url, "Authorization", "Bearer token-b")
		unknown := fetchURL(t, srv.Client(), method, srv.URL+"/jobs/UNKNOWN", "Authorization", "Bearer token-b")
		if foreign.Status != 404 || unknown.Status != 404 || foreign.problem(t).Detail != unknown.problem(t).Detail {
			t.Errorf("%s of another's job = %d %s, of none %d %s: want the same 404", method, foreign.Status, foreign.Body, unknown.Status, unknown.Body)
		}
	}
	if got := fetchURL(t, srv.Client(), "GET", url, "Authorization", "Bearer token-a"); got.job(t).Status != "succeeded" {
		t.Errorf("its owner gets %d %s", got.Status, got.Body)
	}
}

func TestKeptCallsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shoutAfter(time.Minute), &bridge.Options{Jobs: bridge.JobOptions{MaxRecords: 2}})
		inBubble(t, b, func(client *http.Client) {
			first := begin(t, client, origin, "a")
			time.Sleep(time.Second)
			second := begin(t, client, origin, "b")
			got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "c"}`, "Idempotency-Key", "k"))
			if p := got.problem(t); got.Status != 503 || p.Code != "unavailable" || !p.Retryable || got.Header.Get("Retry-After") != "1" {
				t.Errorf("a third call to be kept, while two are in progress = %d %s, want 503", got.Status, got.Body)
			}
			time.Sleep(2 * time.Minute)
			third := begin(t, client, origin, "c")
			for url, want := range map[string]int{first: 404, second: 200, third: 200} {
				if got := fetchURL(t, client, "GET", url); got.Status != want {
					t.Errorf("GET %s = %d, want %d: the oldest finished job gives way", url, got.Status, want)
				}
			}
		})
	})
}

// Results of 300 kB in a store of 1 MB: the newest three stay, whatever events there are.
func TestKeptBytesAreBounded(t *testing.T) {
	t.Parallel()
	b := newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
		large := strings.Repeat("A", 300_000)
		return shoutResponse{large}, errors.Join(send(word{large}), send(word{large}))
	}), &bridge.Options{MaxResponseBytes: 400_000, Jobs: bridge.JobOptions{MaxBytes: 1_000_000}})
	srv := serve(t, b)
	var urls []string
	for range 6 {
		urls = append(urls, begin(t, srv.Client(), srv.URL, "a"))
		if j := ended(t, srv.Client(), urls[len(urls)-1]); j.Status != "succeeded" {
			t.Fatalf("job = %+v", j)
		}
	}
	for i, url := range urls {
		want := 404
		if i >= 3 {
			want = 200
		}
		if got := fetchURL(t, srv.Client(), "GET", url); got.Status != want {
			t.Errorf("job %d = %d, want %d", i, got.Status, want)
		}
	}
}

func TestJobsArePartOfDraining(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		takes  time.Duration
		stream string
	}{
		"one that ends in time": {20 * time.Second, "event: result\ndata: {\"loud\":\"A\"}"},
		"one that does not":     {10 * time.Minute, `"code":"interrupted"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBridge(t, loadContract(t), shoutAfter(test.takes), nil)
				ln := memnet.Listen()
				ctx, stop := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() { served <- b.Serve(ctx, ln) }()
				url := begin(t, ln.Client(), origin, "a")
				followed := make(chan string)
				go func() { followed <- fetchURL(t, ln.Client(), "GET", url, wantEvents...).Body }()
				time.Sleep(time.Second)
				stop()
				if got := <-followed; !strings.Contains(got, test.stream) {
					t.Errorf("who follows the job sees %s, want %s", got, test.stream)
				}
				if err := <-served; err != nil {
					t.Errorf("Serve = %v", err)
				}
			})
		})
	}
}

func TestNewRefusesPathsOfJobs(t *testing.T) {
	t.Parallel()
	nothing := bridge.HandlerFunc(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	c := loadContract(t, "      - path: /health\n        method: GET", "      - path: /jobs/all\n        method: GET")
	_, err := bridge.New(c, append(shouter(shout).(routes), bridge.Unary("GET /jobs/all", nothing)), nil)
	if err == nil || !strings.Contains(err.Error(), "endpoint GET /jobs/all: the bridge itself serves /jobs") || !strings.Contains(err.Error(), "route GET /jobs/all: the bridge itself serves") {
		t.Errorf("New = %v", err)
	}
}
