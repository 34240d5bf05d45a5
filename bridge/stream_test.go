package bridge_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
)

var wantEvents = []string{"Accept", "text/event-stream"}

func TestStream(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	got := post(t, srv, "/shout", `{"text": "hear me"}`, wantEvents...)
	want := "id: 1\nevent: word\ndata: {\"word\":\"HEAR\"}\n\n" +
		"id: 2\nevent: word\ndata: {\"word\":\"ME\"}\n\n" +
		"id: 3\nevent: result\ndata: {\"loud\":\"HEAR ME\"}\n\n"
	if diff := cmp.Diff(want, got.Body); diff != "" || got.Status != 200 {
		t.Errorf("status %d, stream (-want +got):\n%s", got.Status, diff)
	}
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got.Header.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, got.Header.Get(name), want)
		}
	}
}

// twoWays answers in one piece, too.
type twoWays struct {
	bridge.StreamHandler[shoutRequest, word, shoutResponse]
}

func (twoWays) Handle(context.Context, shoutRequest) (shoutResponse, error) {
	return shoutResponse{Loud: "IN ONE PIECE"}, nil
}

type asIs struct{}

func (asIs) TransformRequest(req shoutRequest) (shoutRequest, error) { return req, nil }
func (asIs) TransformResponse(_ shoutRequest, res shoutResponse) (shoutResponse, error) {
	return res, nil
}

func TestOnePieceForWhoWantsNoEvents(t *testing.T) {
	t.Parallel()
	h := twoWays{bridge.StreamHandlerFunc(shout)}
	for name, h := range map[string]bridge.StreamHandler[shoutRequest, word, shoutResponse]{
		"alone": h, "transformed": bridge.TransformStream(asIs{}, h, asIs{}),
	} {
		srv := serve(t, newBridge(t, loadContract(t), routes{bridge.Streaming("POST /shout", h, bridge.Serves("shouting"))}, nil))
		if got := post(t, srv, "/shout", `{"text": "a"}`); got.Body != `{"loud":"IN ONE PIECE"}` {
			t.Errorf("%s: answer = %s, want that of Handle", name, got.Body)
		}
		if got := post(t, srv, "/shout", `{"text": "a"}`, wantEvents...); !strings.Contains(got.Body, "event: word\n") {
			t.Errorf("%s: stream = %s, want events", name, got.Body)
		}
		job := post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async")
		if got := get(t, srv, job.Header.Get("Location"), wantEvents...); !strings.Contains(got.Body, "event: word\n") {
			t.Errorf("%s: stream of the job = %s, want events", name, got.Body)
		}
	}
}

func TestWhoGetsAStream(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	for accept, want := range map[string]string{
		"":                                    "application/json",
		"*/*":                                 "application/json",
		"application/json":                    "application/json",
		"text/event-stream":                   "text/event-stream",
		"application/json, text/event-stream": "text/event-stream",
		"application/json, text/event-stream;q=0.5": "application/json",
		"text/event-stream;q=0, */*":                "application/json",
	} {
		if got := post(t, srv, "/shout", `{"text": "a"}`, "Accept", accept); got.Header.Get("Content-Type") != want {
			t.Errorf("Accept: %s is answered with %s, want %s", accept, got.Header.Get("Content-Type"), want)
		}
	}
}

func TestStreamsThatFail(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handle func(send func(word) error) (any, error)
		status int
		code   string
		retry  string // in the error
		events int    // before the error
	}{
		"before the first event": {
			handle: func(func(word) error) (any, error) {
				return nil, &bridge.Error{Code: bridge.CodeUpstreamFailed, Detail: "No voice."}
			},
			status: 502, code: "upstream_failed",
		},
		"after an event": {
			handle: func(send func(word) error) (any, error) {
				return nil, errors.Join(send(word{"A"}), &bridge.Error{Code: bridge.CodeUpstreamFailed, Detail: "No voice."})
			},
			status: 200, code: "upstream_failed", events: 1,
		},
		"after an event, for a while": {
			handle: func(send func(word) error) (any, error) {
				return nil, errors.Join(send(word{"A"}), &bridge.Error{Code: bridge.CodeRateLimited, Detail: "Hoarse.", RetryAfter: 1500 * time.Millisecond})
			},
			status: 200, code: "rate_limited", retry: `"retry_after":2,`, events: 1,
		},
		"panic after an event": {
			handle: func(send func(word) error) (any, error) {
				_ = send(word{"A"})
				panic("no voice")
			},
			status: 200, code: "internal", events: 1,
		},
		"a result that the contract does not promise": {
			handle: func(send func(word) error) (any, error) { return map[string]int{"loud": 1}, send(word{"A"}) },
			status: 200, code: "invalid_response", events: 1,
		},
		"an event that is too large": {
			handle: func(send func(word) error) (any, error) {
				return shoutResponse{"A"}, send(word{strings.Repeat("A", 3000)})
			},
			status: 500, code: "internal",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := bridge.StreamHandlerFunc(func(_ context.Context, _ shoutRequest, send func(word) error) (any, error) { return test.handle(send) })
			srv := serve(t, newBridge(t, loadContract(t), routes{bridge.Streaming("POST /shout", h, bridge.Serves("shouting"))}, &bridge.Options{MaxResponseBytes: 2000}))
			got := post(t, srv, "/shout", `{"text": "a"}`, wantEvents...)
			if got.Status != test.status {
				t.Fatalf("status %d %s, want %d", got.Status, got.Body, test.status)
			}
			if test.status != 200 {
				if p := got.problem(t); p.Code != test.code {
					t.Errorf("code %s, want %s", p.Code, test.code)
				}
				return
			}
			if n := strings.Count(got.Body, "event: word\n"); n != test.events {
				t.Errorf("%d events before the error, want %d:\n%s", n, test.events, got.Body)
			}
			if strings.Count(got.Body, "event: error\n") != 1 || strings.Contains(got.Body, "event: result\n") || !strings.Contains(got.Body, `"code":"`+test.code+`"`) || !strings.Contains(got.Body, test.retry) {
				t.Errorf("want exactly one terminal event, error with code %s:\n%s", test.code, got.Body)
			}
		})
	}
}

func TestReservedEventTypesAreRefused(t *testing.T) {
	t.Parallel()
	h := bridge.StreamHandlerFunc(func(_ context.Context, _ shoutRequest, send func(typed) error) (shoutResponse, error) {
		for _, name := range []typed{"result", "error", "two\nlines"} {
			if send(name) == nil {
				t.Errorf("an event of type %q was sent", name)
			}
		}
		return shoutResponse{"A"}, send("")
	})
	srv := serve(t, newBridge(t, loadContract(t), routes{bridge.Streaming("POST /shout", h, bridge.Serves("shouting"))}, nil))
	got := post(t, srv, "/shout", `{"text": "a"}`, wantEvents...)
	if want := "id: 1\ndata: \"\"\n\nid: 2\nevent: result\ndata: {\"loud\":\"A\"}\n\n"; got.Body != want {
		t.Errorf("stream = %q, want %q", got.Body, want)
	}
}

type typed string

func (t typed) EventType() string { return string(t) }

func TestCallerThatLeavesAStream(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	srv := serve(t, newBridge(t, loadContract(t), shouter(func(ctx context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
		err := send(word{"A"})
		if err == nil {
			<-ctx.Done()
			err = ctx.Err()
		}
		ended <- err
		return shoutResponse{}, err
	}), nil))
	ctx, leave := context.WithCancel(t.Context())
	res, err := srv.Client().Do(newRequest(t, "POST", srv.URL+"/shout", `{"text": "a"}`, wantEvents...).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || line != "id: 1\n" {
		t.Fatalf("first line %q, %v: the first event must arrive while the handler works", line, err)
	}
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler ended with %v, want context.Canceled", err)
	}
}

func TestHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
			time.Sleep(25 * time.Second) // no heartbeats yet: an early failure must keep its status
			err := send(word{"A"})
			time.Sleep(25 * time.Second)
			return shoutResponse{"A"}, err
		}), &bridge.Options{Timeouts: bridge.Timeouts{Heartbeat: 10 * time.Second}})
		inBubble(t, b, func(client *http.Client) {
			got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, wantEvents...))
			want := "id: 1\nevent: word\ndata: {\"word\":\"A\"}\n\n: heartbeat\n\n: heartbeat\n\nid: 2\nevent: result\ndata: {\"loud\":\"A\"}\n\n"
			if diff := cmp.Diff(want, got.Body); diff != "" {
				t.Errorf("stream (-want +got):\n%s", diff)
			}
		})
	})
}

// A caller that is there but reads nothing is as good as gone, whether it shows at an event or at a heartbeat: the handler's
// context ends, and the slot comes back.
func TestCallerThatStalls(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handle func(ctx context.Context, send func(word) error) error
		took   time.Duration
	}{
		"while events come": {func(_ context.Context, send func(word) error) error {
			for {
				if err := send(word{strings.Repeat("A", 1000)}); err != nil {
					return err
				}
			}
		}, 7 * time.Second},
		"while the handler is silent": {func(ctx context.Context, send func(word) error) error { return send(word{"A"}) }, 17 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan time.Duration, 1)
				start := time.Now()
				b := newBridge(t, loadContract(t), shouter(func(ctx context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
					err := test.handle(ctx, send)
					<-ctx.Done() // a failure to send ends the context too
					ended <- time.Since(start)
					return shoutResponse{}, err
				}), &bridge.Options{Timeouts: bridge.Timeouts{Write: 7 * time.Second, Heartbeat: 10 * time.Second}})
				inBubble(t, b, func(client *http.Client) {
					res, err := client.Do(newRequest(t, "POST", shoutURL, `{"text": "a"}`, wantEvents...))
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					if test.took > 10*time.Second {
						_, _ = io.ReadFull(res.Body, make([]byte, len("id: 1\nevent: word\ndata: {\"word\":\"A\"}\n\n")))
					}
					if took := <-ended; took != test.took { // nobody reads the body
						t.Errorf("the stalled stream ended after %v, want %v", took, test.took)
					}
					synctest.Wait()
					if got := send(t, client, newRequest(t, "GET", "http://localhost:8082/health", "")); !strings.Contains(got.Body, `"calls_in_progress":0`) {
						t.Errorf("the slot did not come back: %s", got.Body)
					}
				})
			})
		})
	}
}

// Options.Timeouts.Write is for what is being written. A stream may be idle for longer, over HTTP/2 too, whose deadlines end a
// stream though nothing waits to be written.
func TestIdleStreamsOutliveTheWriteTimeout(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
					for range 3 {
						if err := send(word{"A"}); err != nil {
							return shoutResponse{}, err
						}
						time.Sleep(time.Minute)
					}
					return shoutResponse{"A"}, nil
				}), &bridge.Options{Timeouts: bridge.Timeouts{Write: time.Second, Heartbeat: time.Hour, Call: time.Hour}})
				ln := memnet.Listen()
				protocols := new(http.Protocols)
				protocols.SetHTTP1(version == "HTTP/1.1")
				protocols.SetUnencryptedHTTP2(version == "HTTP/2.0")
				srv := &http.Server{Handler: b, Protocols: protocols}
				served := make(chan error, 1)
				go func() { served <- srv.Serve(ln) }()
				client := &http.Client{Transport: &http.Transport{DialContext: ln.Dial, Protocols: protocols}}
				got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, wantEvents...))
				if n := strings.Count(got.Body, "event: word\n"); n != 3 || !strings.Contains(got.Body, "event: result\n") {
					t.Errorf("the stream has %d events:\n%s", n, got.Body)
				}
				client.CloseIdleConnections()
				srv.Close()
				<-served
			})
		})
	}
}
