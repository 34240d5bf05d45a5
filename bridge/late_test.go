package bridge_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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
		closed          bool // that the answer says so
	}{
		"JSON":                        {"HTTP/1.1", "", false, true},
		"JSON over HTTP/1.0":          {"HTTP/1.0", "", false, true},
		"JSON with a key":             {"HTTP/1.1", keyed, false, false},
		"a stream before its begin":   {"HTTP/1.1", stream, false, true},
		"a stream":                    {"HTTP/1.1", stream, true, false},
		"a stream over HTTP/1.0":      {"HTTP/1.0", stream, true, true},
		"a stream with a key":         {"HTTP/1.1", stream + keyed, true, false},
		"a stream with a key, before": {"HTTP/1.1", stream + keyed, false, false},
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
				}, bridge.Timeout(3*time.Second)), &bridge.Options{Logger: log.logger(), Heartbeat: 2 * time.Second})
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
				if got := res.Close; got != test.closed {
					t.Errorf("the answer says that the connection closes: %t", got)
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

// A handler that ends its goroutine, as tests do that fail in one, is a fault like a panic.
func TestHandlerThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{"JSON": nil, "with a key": {"Idempotency-Key", "a"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logBuffer
			srv := serve(t, newBridge(t, loadContract(t), shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
				runtime.Goexit()
				return shoutResponse{}, nil
			}), &bridge.Options{Logger: log.logger()}))
			got := post(t, srv, "/shout", `{"text": "a"}`, header...)
			if p := got.problem(t); got.Status != 500 || p.Code != "internal" {
				t.Errorf("answer = %d %s", got.Status, got.Body)
			}
			if n := inProgress(t, srv); n != 0 {
				t.Errorf("%d calls in progress", n)
			}
			for !strings.Contains(log.String(), "the handler ended its goroutine") {
				runtime.Gosched() // the caller has its answer before it is logged
			}
		})
	}
}
