package bridge_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
)

// A handler that ignores its context is still running when its caller has the whole answer, in whatever way it was asked.
func TestLateHandler(t *testing.T) {
	t.Parallel()
	const (
		stream = "Accept: text/event-stream\r\n"
		keyed  = "Idempotency-Key: a\r\n"
		// of streams that have begun
		event    = "id: 1\nevent: word\ndata: {\"word\":\"A\"}\n\n"
		terminal = "id: 2\nevent: error\ndata: "
	)
	for name, test := range map[string]struct {
		version, header string
		begun           bool
	}{
		"JSON":                        {"HTTP/1.1", "", false},
		"JSON over HTTP/1.0":          {"HTTP/1.0", "", false},
		"JSON with a key":             {"HTTP/1.1", keyed, false},
		"a stream before its begin":   {"HTTP/1.1", stream, false},
		"a stream":                    {"HTTP/1.1", stream, true},
		"a stream over HTTP/1.0":      {"HTTP/1.0", stream, true},
		"a stream with a key":         {"HTTP/1.1", stream + keyed, true},
		"a stream with a key, before": {"HTTP/1.1", stream + keyed, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log logBuffer
				var returned atomic.Bool
				b := newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
					if test.begun {
						_ = send(word{"A"})
					}
					time.Sleep(10 * time.Second)
					if err := send(word{"B"}); err == nil {
						t.Error("the handler could send after the end")
					}
					returned.Store(true)
					return shoutResponse{"A"}, nil
				}, bridge.Timeout(3*time.Second)), &bridge.Options{Logger: log.logger(), Timeouts: bridge.Timeouts{Heartbeat: 2 * time.Second}})
				ln := memnet.Listen()
				ctx, stop := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() { served <- b.Serve(ctx, ln) }()
				conn, err := ln.Dial(t.Context(), "tcp", "")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				start := time.Now()
				fmt.Fprintf(conn, "POST /shout %s\r\nHost: localhost:8082\r\nContent-Type: application/json\r\n%sContent-Length: 13\r\n\r\n"+`{"text": "a"}`, test.version, test.header)
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if took := time.Since(start); err != nil || took != 3100*time.Millisecond {
					t.Errorf("the answer ended after %v with %v", took, err)
				}
				if returned.Load() {
					t.Error("the handler has returned: it shall be late")
				}
				if test.begun {
					rest, ok := strings.CutPrefix(string(body), event+": heartbeat\n\n"+terminal)
					if res.StatusCode != 200 || !ok || !strings.Contains(rest, `"code":"timeout"`) || strings.Contains(rest, "\nid:") {
						t.Errorf("answer = %d\n%s", res.StatusCode, body)
					}
				} else if p := (reply{Header: res.Header, Body: string(body)}).problem(t); res.StatusCode != 504 || p.Code != "timeout" {
					t.Errorf("answer = %d %s", res.StatusCode, body)
				}
				synctest.Wait()
				want := "did not return when its context ended"
				if n := strings.Count(log.String(), "msg=request"); n != 1 || !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "duration=3.1s") {
					t.Errorf("%d lines, want one that says %q:\n%s", n, want, log.String())
				}
				stop()
				if err := <-served; err != nil || !returned.Load() {
					t.Errorf("Serve = %v, and that the handler has returned is %t", err, returned.Load())
				}
				if n := strings.Count(log.String(), "msg=request"); n != 1 {
					t.Errorf("the call was logged %d times:\n%s", n, log.String())
				}
			})
		})
	}
}

// When the handler returns at the moment at which its caller is answered without it, there is one answer and one line in
// the log, whoever was first.
func TestHandlersThatAreAlmostLate(t *testing.T) {
	t.Parallel()
	const calls = 64
	for name, header := range map[string][]string{"JSON": nil, "a stream": wantEvents} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logBuffer
			b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 64"), shouter(func(ctx context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
				_ = send(word{"A"})
				<-ctx.Done()
				time.Sleep(100 * time.Millisecond) // as long as the bridge waits
				return shoutResponse{}, errors.New("too late")
			}, bridge.Timeout(time.Millisecond)), &bridge.Options{Logger: log.logger()})
			srv := serve(t, b)
			answered := make(chan reply)
			for range calls {
				go func() { answered <- post(t, srv, "/shout", `{"text": "a"}`, header...) }()
			}
			for range calls {
				got := <-answered
				if n := strings.Count(got.Body, `"code":"timeout"`); n != 1 || header == nil && got.Status != 504 {
					t.Errorf("answer = %d %s", got.Status, got.Body)
				}
			}
			if n := inProgress(t, srv); n > calls {
				t.Errorf("%d calls in progress", n)
			}
			srv.Close()
			for strings.Count(log.String(), "route=/shout") < calls {
				runtime.Gosched() // a caller has its answer before it is logged
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if n := strings.Count(log.String(), "route=/shout"); n != calls {
				t.Errorf("%d calls were logged, want %d:\n%s", n, calls, log.String())
			}
		})
	}
}

// However a caller reaches the bridge over HTTP/1, the answer of a late handler ends in time.
func TestLateHandlerOverAnyConnection(t *testing.T) {
	t.Parallel()
	const get = " /shouted?text=a HTTP/1.1\r\nHost: localhost:8082\r\n"
	for name, test := range map[string]struct{ request, body string }{
		"GET":                 {"GET" + get + "\r\n", ""},
		"a stream for GET":    {"GET" + get + "Accept: text/event-stream\r\n\r\n", ""},
		"HEAD":                {"HEAD" + get + "\r\n", ""},
		"a stream for HEAD":   {"HEAD" + get + "Accept: text/event-stream\r\n\r\n", ""},
		"a request behind it": {"GET" + get + "\r\nGET" + get + "X-Long: " + strings.Repeat("x", 20_000) + "\r\n\r\n", ""},
		"Connection: close":   {"GET" + get + "Connection: close\r\n\r\n", ""},
		"100-continue":        {"POST /shout HTTP/1.1\r\nHost: localhost:8082\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n", `{"text": "a"}`},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %t", name, secure), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ours := newAuthority(t)
					late := func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
						if strings.Contains(name, "a stream") {
							_ = send(word{"A"})
						}
						time.Sleep(10 * time.Second)
						return shoutResponse{"A"}, nil
					}
					b := newBridge(t, loadContract(t, "- path: /health", "- path: /shouted\n        method: GET\n        input_schema: schemas/request.json\n      - path: /health"), routes{
						bridge.Streaming("POST /shout", bridge.StreamHandlerFunc(late), bridge.Timeout(3*time.Second), bridge.Serves("shouting")),
						bridge.Streaming("GET /shouted", bridge.StreamHandlerFunc(late), bridge.Timeout(3*time.Second)),
					}, nil)
					network := memnet.Listen()
					var ln net.Listener = network
					if secure {
						cert := ours.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
						ln = tls.NewListener(network, &tls.Config{Certificates: []tls.Certificate{cert}})
					}
					ctx, stop := context.WithCancel(t.Context())
					served := make(chan error, 1)
					go func() { served <- b.Serve(ctx, ln) }()
					conn, err := network.Dial(t.Context(), "tcp", "")
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					if secure {
						conn = tls.Client(conn, &tls.Config{RootCAs: ours.pool(), ServerName: "localhost"})
					}
					start := time.Now()
					r := bufio.NewReader(conn)
					go func() { _, _ = io.WriteString(conn, test.request) }()
					if test.body != "" {
						if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 100 {
							t.Fatal(res, err)
						}
						_, _ = io.WriteString(conn, test.body)
					}
					method, _, _ := strings.Cut(test.request, " ")
					res, err := http.ReadResponse(r, &http.Request{Method: method})
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(res.Body)
					if begun := strings.Contains(name, "a stream"); err != nil || (res.StatusCode == 200) != begun || method != "HEAD" && !strings.Contains(string(body), `"code":"timeout"`) {
						t.Errorf("%d with %v: %s", res.StatusCode, err, body)
					}
					want := 3100 * time.Millisecond
					if name == "a stream for HEAD" {
						want = 0 // its header is all of it, and comes with the first event
					}
					if took := time.Since(start); took != want {
						t.Errorf("the answer ended after %v, want %v", took, want)
					}
					stop()
					if err := <-served; err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// Middleware may hold an answer back until the bridge returns, or fail to give the connection away.
func TestLateHandlerBehindMiddleware(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"that cannot hijack": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(&holding{ResponseWriter: w, err: errors.New("not here")}, r)
			})
		},
		"that holds back": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				held := &holding{ResponseWriter: w, held: new(strings.Builder)}
				h.ServeHTTP(held, r)
				_, _ = io.WriteString(w, held.held.String())
			})
		},
		"of net/http": func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBridge(t, loadContract(t), shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
					time.Sleep(10 * time.Second)
					return shoutResponse{"A"}, nil
				}, bridge.Timeout(3*time.Second)), nil)
				ln := memnet.Listen()
				srv := &http.Server{Handler: wrap(b)}
				served := make(chan error, 1)
				go func() { served <- srv.Serve(ln) }()
				start := time.Now()
				got := send(t, ln.Client(), newRequest(t, "POST", shoutURL, `{"text": "a"}`))
				if took := time.Since(start); got.problem(t).Code != "timeout" || took != 3100*time.Millisecond {
					t.Errorf("after %v: %d %s", took, got.Status, got.Body)
				}
				srv.Close()
				<-served
				time.Sleep(10 * time.Second)
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// holding is a writer that holds the body back if held is there, and whose Hijack fails with err.
type holding struct {
	http.ResponseWriter
	held *strings.Builder
	err  error
}

func (h *holding) Write(p []byte) (int, error) {
	if h.held != nil {
		return h.held.Write(p)
	}
	return h.ResponseWriter.Write(p)
}

func (h *holding) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if h.err != nil {
		return nil, nil, h.err
	}
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

// A handler that ignores its context learns from send that its call is over, also if nobody wants its events.
func TestLateHandlerCannotSend(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{
		"JSON": nil, "a stream": wantEvents, "with a key": {"Idempotency-Key", "a"}, "a job": {"Prefer", "respond-async"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ended := make(chan time.Duration, 1)
				b := newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
					for time.Since(start) < time.Minute {
						time.Sleep(time.Second)
						if err := send(word{"A"}); err != nil {
							break
						}
					}
					ended <- time.Since(start)
					return shoutResponse{"A"}, nil
				}, bridge.Timeout(2500*time.Millisecond)), &bridge.Options{Jobs: bridge.JobOptions{Timeout: time.Second}})
				inBubble(t, b, func(client *http.Client) {
					send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, header...))
					if took := <-ended; took != 3*time.Second {
						t.Errorf("the handler could send for %v, want until its next event after 2.5s", took)
					}
				})
			})
		})
	}
}

// An event that was cut off because its reader stalled gets no end, which a reader that goes on would take for the event's.
func TestLateHandlerAndStalledReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		b := newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
			_ = send(word{strings.Repeat("A", 3000)}) // which fits into net/http's buffer
			time.Sleep(10 * time.Second)
			return shoutResponse{"A"}, nil
		}), &bridge.Options{Logger: log.logger(), Timeouts: bridge.Timeouts{Write: 2 * time.Second}})
		inBubble(t, b, func(client *http.Client) {
			conn, err := client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "POST /shout HTTP/1.1\r\nHost: localhost:8082\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\nContent-Length: 13\r\n\r\n"+`{"text": "a"}`)
			if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2500 * time.Millisecond)
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Errorf("the reader goes on with %v: %q", err, rest)
			}
			synctest.Wait()
			if !strings.Contains(log.String(), "code=client_closed_request") || !strings.Contains(log.String(), "duration=2.1s") {
				t.Errorf("the log does not say that the caller was given up in time:\n%s", log.String())
			}
		})
	})
}

// A bridge stops within its bounds though a handler never returns, says so, and each call is told of once, whether it was
// answered before or is cut off.
func TestStopWithHandlerThatNeverReturns(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{"JSON": nil, "a stream": wantEvents, "with a key": {"Idempotency-Key", "a"}} {
		for _, answered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, answered %t", name, answered), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					i := instrument(t)
					var log logBuffer
					i.opts.Logger, i.opts.Timeouts.Drain = log.logger(), 2*time.Second
					never := make(chan struct{})
					b := newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
						_ = send(word{"A"})
						<-never
						return shoutResponse{}, nil
					}, bridge.Timeout(3*time.Second)), &i.opts)
					ln := memnet.Listen()
					ctx, stop := context.WithCancel(t.Context())
					served := make(chan error, 1)
					go func() { served <- b.Serve(ctx, ln) }()
					got := make(chan reply, 1)
					go func() { got <- send(t, ln.Client(), newRequest(t, "POST", shoutURL, `{"text": "a"}`, header...)) }()
					code := "unavailable"
					time.Sleep(time.Second / 2)
					if answered {
						code = "timeout"
						time.Sleep(3 * time.Second)
					}
					start := time.Now()
					stop()
					if err := <-served; err != nil || time.Since(start) != 7*time.Second {
						t.Errorf("Serve = %v after %v, want nil after those 2s and 5s for what was cut off", err, time.Since(start))
					}
					if got := <-got; strings.Count(got.Body, `"code":"`+code+`"`) != 1 {
						t.Errorf("answer = %d %s", got.Status, got.Body)
					}
					if !strings.Contains(log.String(), `ignore that their context has ended" calls_in_progress=1`) {
						t.Errorf("the log does not say what goes on:\n%s", log.String())
					}
					close(never)
					synctest.Wait()
					i.checkOneCall(t, log.String())
				})
			})
		}
	}
}

// checkOneCall checks that one call was told of once, and that nothing of it is left.
func (i *instruments) checkOneCall(t *testing.T, log string) {
	t.Helper()
	if n := strings.Count(log, "msg=request"); n != 1 || len(i.calls) != 1 {
		t.Errorf("the call was logged %d times and audited %d times:\n%s", n, len(i.calls), log)
	}
	for attrs, n := range i.sums(t, "http.server.active_requests") {
		if n != 0 {
			t.Errorf("%v requests %s are active", n, attrs)
		}
	}
	if started, ended := len(i.spans.Started()), len(i.spans.Ended()); started != 2 || ended != 2 {
		t.Errorf("%d spans were started and %d ended, want that of the request and that of the call", started, ended)
	}
}

// A handler that ends its goroutine, as tests do that fail in one, is a fault like a panic.
func TestHandlerThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{"JSON": nil, "a stream": wantEvents, "with a key": {"Idempotency-Key", "a"}} {
		for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
			for _, begun := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s over %s, begun %t", name, version, begun), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						i := instrument(t)
						var log logBuffer
						i.opts.Logger = log.logger()
						p := closer{shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
							if begun {
								_ = send(word{"A"})
							}
							runtime.Goexit()
							return shoutResponse{}, nil
						}), make(chan struct{})}
						b := newBridge(t, loadContract(t), p, &i.opts)
						protocols := new(http.Protocols)
						protocols.SetHTTP1(version == "HTTP/1.1")
						protocols.SetUnencryptedHTTP2(version == "HTTP/2.0")
						ln := memnet.Listen()
						srv := &http.Server{Handler: b, Protocols: protocols}
						served := make(chan error, 1)
						go func() { served <- srv.Serve(ln) }()
						client := &http.Client{Transport: &http.Transport{DialContext: ln.Dial, Protocols: protocols}}
						got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, header...))
						want := 500
						if begun && name == "a stream" {
							want = 200
						}
						if got.Status != want || strings.Count(got.Body, `"code":"internal"`) != 1 {
							t.Errorf("answer = %d %s", got.Status, got.Body)
						}
						synctest.Wait()
						if n := strings.Count(log.String(), "the handler ended its goroutine"); n != 1 {
							t.Errorf("the log says %d times why:\n%s", n, log.String())
						}
						i.checkOneCall(t, log.String())
						if err := b.Reload(nil, shouter(shout)); err != nil {
							t.Error(err)
						}
						select {
						case <-p.closed:
						default:
							t.Error("the provider was not released")
						}
						client.CloseIdleConnections()
						srv.Close()
						<-served
						if err := b.Close(); err != nil {
							t.Error(err)
						}
					})
				})
			}
		}
	}
}
