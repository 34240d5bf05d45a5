package bridge_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// A wrapped service that stalls is found before the call's time is over, whoever asked and however: the call is blamed on
// it, cancelled there, and its slot free.
func TestStalls(t *testing.T) {
	t.Parallel()
	const first, idle, total = 5 * time.Second, 2 * time.Second, 20 * time.Second
	stall := func(ctx context.Context) (shoutResponse, error) {
		<-ctx.Done()
		return shoutResponse{}, errors.New("the connection is gone") // whatever the handler makes of it
	}
	speak := func(ctx context.Context, send func(word) error, pauses ...time.Duration) (shoutResponse, error) {
		for _, pause := range pauses {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return shoutResponse{}, ctx.Err()
			}
			if err := send(word{"A"}); err != nil {
				return shoutResponse{}, err
			}
		}
		return shoutResponse{"A"}, nil
	}
	for name, test := range map[string]struct {
		handle func(ctx context.Context, send func(word) error) (shoutResponse, error)
		status int // of a caller who does not want events
		events int // before the end, for one who does
		took   time.Duration
	}{
		"before the first event": {
			handle: func(ctx context.Context, _ func(word) error) (shoutResponse, error) { return stall(ctx) },
			status: 504, took: first,
		},
		"after an event": {
			handle: func(ctx context.Context, send func(word) error) (shoutResponse, error) {
				_, _ = speak(ctx, send, 4*time.Second)
				return stall(ctx)
			},
			status: 504, events: 1, took: 4*time.Second + idle,
		},
		"never": {
			handle: func(ctx context.Context, send func(word) error) (shoutResponse, error) {
				return speak(ctx, send, 4900*time.Millisecond, 1900*time.Millisecond, 1900*time.Millisecond)
			},
			status: 200, events: 3, took: 8700 * time.Millisecond,
		},
		"never, but for too long": {
			handle: func(ctx context.Context, send func(word) error) (shoutResponse, error) {
				return speak(ctx, send, slices.Repeat([]time.Duration{1900 * time.Millisecond}, 100)...)
			},
			status: 504, events: 10, took: total,
		},
	} {
		for asked, header := range map[string][]string{"json": nil, "events": wantEvents, "job": {"Prefer", "respond-async"}} {
			t.Run(name+", "+asked, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := shouter(func(ctx context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
						return test.handle(ctx, send)
					}, bridge.Timeout(total))
					opts := &bridge.Options{Jobs: bridge.JobOptions{Timeout: total}, Timeouts: bridge.Timeouts{FirstEvent: first, Idle: idle}}
					b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 1"), p, opts)
					inBubble(t, b, func(client *http.Client) {
						start := time.Now()
						got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, header...))
						if asked == "job" {
							got = fetchURL(t, client, "GET", origin+got.Header.Get("Location"), wantEvents...)
						}
						if took := time.Since(start); took != test.took {
							t.Errorf("it took %v, want %v", took, test.took)
						}
						synctest.Wait()
						if got := fetchURL(t, client, "GET", origin+"/health"); !strings.Contains(got.Body, `"calls_in_progress":0`) {
							t.Errorf("the slot was not freed: %s", got.Body)
						}
						wantStatus, wantEnd := test.status, `"code":"timeout"`
						if test.status == 200 {
							wantEnd = `{"loud":"A"}`
						}
						if asked == "events" && test.events > 0 || asked == "job" {
							wantStatus = 200
							if n := strings.Count(got.Body, "event: word\n"); n != test.events {
								t.Errorf("%d events, want %d:\n%s", n, test.events, got.Body)
							}
						}
						if got.Status != wantStatus || !strings.Contains(got.Body, wantEnd) {
							t.Errorf("%d %s, want %d with %s at the end", got.Status, got.Body, wantStatus, wantEnd)
						}
					})
				})
			})
		}
	}
}

// The time that a slow caller takes for an event is not the wrapped service's.
func TestSlowCallerIsNoStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		b := newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
			return shoutResponse{"A"}, errors.Join(send(word{strings.Repeat("A", 1<<20)}), send(word{"B"}))
		}), &bridge.Options{Logger: log.logger(), Timeouts: bridge.Timeouts{Idle: time.Second, Write: 10 * time.Second}})
		inBubble(t, b, func(client *http.Client) {
			for pause, want := range map[time.Duration]string{9 * time.Second: "status=200", 11 * time.Second: "code=client_closed_request"} {
				res, err := client.Do(newRequest(t, "POST", shoutURL, `{"text": "a"}`, wantEvents...))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(pause)
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				synctest.Wait()
				if !strings.Contains(log.String(), want) || strings.Contains(log.String(), "code=timeout") {
					t.Errorf("a caller who waits %v before it reads:\n%s\nwant %s", pause, log.String(), want)
				}
			}
		})
	})
}

// The same on a real connection.
func TestStallOnASocket(t *testing.T) {
	t.Parallel()
	cancelled := make(chan struct{}, 1)
	p := shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
		if req.Text == "event" {
			_ = send(word{"A"})
		}
		<-ctx.Done()
		cancelled <- struct{}{}
		return shoutResponse{}, ctx.Err()
	})
	srv := serve(t, newBridge(t, loadContract(t), p, &bridge.Options{Timeouts: bridge.Timeouts{FirstEvent: 20 * time.Millisecond}}))
	if got := post(t, srv, "/shout", `{"text": "none"}`, wantEvents...); got.Status != 504 || got.problem(t).Code != "timeout" {
		t.Errorf("before the first event: %d %s", got.Status, got.Body)
	}
	<-cancelled
	srv = serve(t, newBridge(t, loadContract(t), p, &bridge.Options{Timeouts: bridge.Timeouts{Idle: 20 * time.Millisecond}}))
	if got := post(t, srv, "/shout", `{"text": "event"}`, wantEvents...); got.Status != 200 || strings.Count(got.Body, "event: error\n") != 1 || !strings.Contains(got.Body, `"code":"timeout"`) {
		t.Errorf("after an event: %d %s", got.Status, got.Body)
	}
	<-cancelled
}

// Bounds that the contract states hold, whatever route and options say; what cannot be kept is refused.
func TestBoundsOfTheContract(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := loadContract(t, "max_concurrent_requests: 2", "timeout_ms: 1500\n    max_request_bytes: 40\n    max_response_bytes: 30")
		i := instrument(t)
		b := newBridge(t, c, shouter(func(ctx context.Context, req shoutRequest, _ func(word) error) (shoutResponse, error) {
			if req.Text == "wait" {
				<-ctx.Done()
				return shoutResponse{}, ctx.Err()
			}
			return shoutResponse{strings.Repeat("A", req.Times*10)}, nil
		}, bridge.Timeout(time.Minute)), &bridge.Options{MeterProvider: i.opts.MeterProvider})
		inBubble(t, b, func(client *http.Client) {
			call := func(body string) int { return send(t, client, newRequest(t, "POST", shoutURL, body)).Status }
			start := time.Now()
			late := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "wait"}`))
			if late.Status != 504 || time.Since(start) != 1500*time.Millisecond || late.problem(t).Clause != "constraints.timeout_ms" {
				t.Errorf("timeout_ms: %d after %v: %s", late.Status, time.Since(start), late.Body)
			}
			hurried := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "wait"}`, "Prefer", "wait=1"))
			if hurried.Status != 504 || hurried.problem(t).Clause != "" {
				t.Errorf("a caller who waits for a second is answered %d %s, want no clause", hurried.Status, hurried.Body)
			}
			for body, want := range map[string]int{
				`{"text": "a", "times": 1}`:                             200,
				`{"text": "a", "times": 2}`:                             502, // {"loud":"..."} has 31 bytes then
				`{"text": "a", "times": 1}` + strings.Repeat(" ", 15):   200,
				`{"text": "a", "times": 1}` + strings.Repeat(" ", 16):   413,
				`{"text": "` + strings.Repeat("a", 40) + `","times":1}`: 413,
			} {
				got := send(t, client, newRequest(t, "POST", shoutURL, body))
				if got.Status != want {
					t.Errorf("%s = %d, want %d", body, got.Status, want)
				}
				clause := map[int]string{413: "constraints.max_request_bytes", 502: "constraints.max_response_bytes"}[want]
				if clause != "" && got.problem(t).Clause != clause {
					t.Errorf("%s is refused by %q, want %q", body, got.problem(t).Clause, clause)
				}
			}
			call(`{"text": 1}`)
		})
		want := map[string]float64{
			"caio.bridge.outcome=admitted http.route=/shout":                                                          5,
			"caio.bridge.contract_clause=constraints.max_request_bytes caio.bridge.outcome=refused http.route=/shout": 2,
			"caio.bridge.contract_clause=api.endpoints.input_schema caio.bridge.outcome=refused http.route=/shout":    1,
		}
		if diff := cmp.Diff(want, i.sums(t, "caio.bridge.admissions")); diff != "" {
			t.Errorf("admitted and refused (-want +got):\n%s", diff)
		}
	})
	for _, wrong := range []string{"timeout_ms: 0", "timeout_ms: 1.5", "timeout_ms: soon", "max_request_bytes: -1", "max_response_bytes: 99999999999"} {
		name, value, _ := strings.Cut(wrong, ": ")
		_, err := bridge.New(loadContract(t, "max_concurrent_requests: 2", wrong), shouter(shout), nil)
		if err == nil || !strings.Contains(err.Error(), "constraints."+name) || !strings.Contains(err.Error(), "write an integer from 1 to") {
			t.Errorf("New with %s %s = %v", name, value, err)
		}
	}
}

// Time without end, or less than none, ended calls of streaming routes at once.
func TestTimeoutsWithoutEnd(t *testing.T) {
	t.Parallel()
	for _, opts := range []bridge.Options{
		{Jobs: bridge.JobOptions{Timeout: math.MaxInt64}, Timeouts: bridge.Timeouts{Call: math.MaxInt64}},
		{Timeouts: bridge.Timeouts{FirstEvent: -1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBridge(t, loadContract(t), shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
				time.Sleep(time.Minute)
				return shout(ctx, req, send)
			}), &opts)
			inBubble(t, b, func(client *http.Client) {
				for _, header := range [][]string{nil, wantEvents} {
					if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, header...)); got.Status != 200 || !strings.Contains(got.Body, `{"loud":"A"}`) {
						t.Errorf("%+v, %v: %d %s", opts, header, got.Status, got.Body)
					}
				}
				url := begin(t, client, origin, "a")
				time.Sleep(2 * time.Minute)
				if got := fetchURL(t, client, "GET", url).job(t); got.Status != "succeeded" {
					t.Errorf("%+v: the job is %+v", opts, got)
				}
			})
		})
	}
}

// A wrapped service's client can tell a stall from a caller who left: package upstream counts the one, and not the other.
func TestStallIsATimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		causes := make(chan error, 1)
		b := newBridge(t, loadContract(t), shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return shoutResponse{}, ctx.Err()
		}), &bridge.Options{Timeouts: bridge.Timeouts{FirstEvent: time.Second}})
		inBubble(t, b, func(client *http.Client) {
			send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`))
			if cause := <-causes; !errors.Is(cause, context.DeadlineExceeded) {
				t.Errorf("the context's cause is %v", cause)
			}
		})
	})
}
