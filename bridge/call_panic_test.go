package bridge_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A result that panics when it is written as JSON.
type fragile struct{}

func (fragile) MarshalJSON() ([]byte, error) { panic("fragile") }

// A request that panics when it is read.
type unreadable struct{}

func (*unreadable) UnmarshalJSON([]byte) error { panic("unreadable") }

// A counter of tokens that panics.
type miscounting struct{ bridge.Provider }

func (miscounting) CountTokens(any) int { panic("miscounted") }

type panickingLimiter struct{}

func (panickingLimiter) Admit(context.Context, string) (limits.Admission, error) { panic("no limit") }

// Whoever's code panics: the caller gets 500, slot and key come back, the log says where, and the bridge goes on.
func TestPanics(t *testing.T) {
	t.Parallel()
	unary := func(h bridge.Handler[shoutRequest, any]) bridge.Provider {
		return routes{bridge.Unary("POST /shout", h, bridge.Serves("shouting"))}
	}
	panicking := func(*http.Request) (string, error) { panic("no names") }
	for name, test := range map[string]struct {
		provider bridge.Provider
		opts     bridge.Options
		edit     string // of the contract's constraints
		says     string
		noJob    bool // it panics before there can be one
	}{
		"the handler": {
			provider: unary(bridge.HandlerFunc(func(context.Context, shoutRequest) (any, error) { panic("unhandled") })), says: "unhandled",
		},
		"the result": {
			provider: unary(bridge.HandlerFunc(func(context.Context, shoutRequest) (any, error) { return fragile{}, nil })), says: "fragile",
		},
		"an event": {
			provider: routes{bridge.Streaming("POST /shout", bridge.StreamHandlerFunc(func(_ context.Context, _ shoutRequest, send func(any) error) (shoutResponse, error) {
				return shoutResponse{"A"}, send(fragile{})
			}), bridge.Serves("shouting"))},
			says: "fragile",
		},
		"the request": {
			provider: routes{bridge.Unary("POST /shout", bridge.HandlerFunc(func(context.Context, unreadable) (shoutResponse, error) { return shoutResponse{}, nil }), bridge.Serves("shouting"))},
			says:     "unreadable", noJob: true,
		},
		"the counter of tokens": {provider: miscounting{shouter(shout)}, edit: "\n    context_length:\n      max_tokens: 5", says: "miscounted", noJob: true},
		"the limiter":           {provider: shouter(shout), opts: bridge.Options{Limiter: panickingLimiter{}}, says: "no limit", noJob: true},
		"the authentication":    {provider: shouter(shout), opts: bridge.Options{Authenticate: panicking}, says: "no names", noJob: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logBuffer
			test.opts.Logger = log.logger()
			b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 2"+test.edit), test.provider, &test.opts)
			defer b.Close()
			srv := serve(t, b)
			for _, header := range [][]string{nil, {"Idempotency-Key", "k"}, {"Idempotency-Key", "k"}, wantEvents} {
				if name != "an event" && len(header) > 0 && header[0] == "Accept" {
					continue
				}
				got := post(t, srv, "/shout", `{"text": "a"}`, header...)
				if name == "an event" && (len(header) == 0 || header[0] != "Accept") {
					continue // nobody wants events
				}
				if p := got.problem(t); got.Status != 500 || p.Code != "internal" || strings.Contains(got.Body, test.says) {
					t.Errorf("with %v: %d %s, want 500 and no word of why", header, got.Status, got.Body)
				}
			}
			if got := post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async"); !test.noJob {
				if job := ended(t, srv.Client(), srv.URL+got.Header.Get("Location")); job.Status != "failed" || job.Error.Code != "internal" {
					t.Errorf("the job is %+v, want it failed", job)
				}
			}
			if n := inProgress(t, srv); n != 0 {
				t.Errorf("%d calls are in progress", n)
			}
			if !strings.Contains(log.String(), "level=ERROR msg=request") || !strings.Contains(log.String(), `cause="panic: `+test.says) || !strings.Contains(log.String(), "stack=") {
				t.Errorf("the log does not say what panicked, and where:\n%s", log.String())
			}
		})
	}
}

// A panic of what writes the answer breaks the connection: nobody may take half an answer for a whole one.
func TestPanicInTheMiddleOfAnAnswer(t *testing.T) {
	t.Parallel()
	b := newBridge(t, loadContract(t), shouter(shout), nil)
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.ServeHTTP(brittle{w}, r) }))
	res, err := srv.Client().Do(newRequest(t, "POST", srv.URL+"/shout", `{"text": "a"}`))
	if err == nil {
		res.Body.Close()
		t.Errorf("answer = %d, want a broken connection", res.StatusCode)
	}
}

// So does a panic of what writes a heartbeat.
func TestPanicAtAHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		b := newBridge(t, loadContract(t), shouter(func(ctx context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
			_ = send(word{"A"})
			<-ctx.Done()
			return shoutResponse{}, ctx.Err()
		}), &bridge.Options{Logger: log.logger(), Timeouts: bridge.Timeouts{Heartbeat: time.Second}})
		ln := memnet.Listen()
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.ServeHTTP(&fading{ResponseWriter: w}, r) })}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		res, err := ln.Client().Do(newRequest(t, "POST", shoutURL, `{"text": "a"}`, wantEvents...))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("stream = %s, want a broken connection", body)
		}
		synctest.Wait()
		if !strings.Contains(log.String(), `cause="panic: faded"`) {
			t.Errorf("the log does not say what panicked:\n%s", log.String())
		}
		srv.Close()
		<-served
	})
}

// fading is a writer that panics from the second write on.
type fading struct {
	http.ResponseWriter
	written bool
}

func (f *fading) Write(p []byte) (int, error) {
	if f.written {
		panic("faded")
	}
	f.written = true
	return f.ResponseWriter.Write(p)
}

func (f *fading) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// brittle is a writer that panics instead of writing a body.
type brittle struct{ http.ResponseWriter }

func (brittle) Write([]byte) (int, error) { panic("brittle") }

// careless is a limiter that panics when it gets a place back.
type careless struct{ release func() }

func (l careless) Admit(context.Context, string) (limits.Admission, error) {
	return limits.Admission{Release: l.release}, nil
}

// A limiter that panics at the end of a call fails the call. The process goes on, and the call's slot and key are free again.
func TestLimiterThatPanicsAtTheEnd(t *testing.T) {
	t.Parallel()
	for name, release := range map[string]func(){"panic": func() { panic("redis is gone") }, "nothing to call": nil} {
		var log logBuffer
		srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Limiter: careless{release}, Logger: log.logger()}))
		status, body, last := 200, `{"loud":"A"}`, "event: result\n"
		if release != nil {
			status, body, last = 500, `"code":"internal"`, "event: error\n"
		}
		for _, header := range [][]string{nil, {"Idempotency-Key", "k"}, {"Idempotency-Key", "k"}} {
			if got := post(t, srv, "/shout", `{"text": "a"}`, header...); got.Status != status || !strings.Contains(got.Body, body) {
				t.Errorf("%s, %v: %d %s", name, header, got.Status, got.Body)
			}
		}
		if got := post(t, srv, "/shout", `{"text": "a"}`, wantEvents...); !strings.Contains(got.Body, last) {
			t.Errorf("%s: the stream is %s", name, got.Body)
		}
		job := post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async").Header.Get("Location")
		if got := get(t, srv, job, wantEvents...); !strings.Contains(got.Body, last) {
			t.Errorf("%s: the job came to %s", name, got.Body)
		}
		if n := inProgress(t, srv); n != 0 {
			t.Errorf("%s: %d calls in progress", name, n)
		}
		if strings.Contains(log.String(), "panic: redis is gone") != (release != nil) {
			t.Errorf("%s: the log is\n%s", name, log.String())
		}
	}
}

// A panicker panics when the service is announced, and when it is closed.
type panicker struct{ bridge.Provider }

func (panicker) Announce(context.Context, *contract.Contract) error { panic("no orchestrator") }
func (panicker) Close() error                                       { panic("no end") }

// A bridge whose announcer or provider panics beside any call stops in order, and says so, instead of ending the process amid calls.
func TestPanicsBesideCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		p := panicker{shouter(shout)}
		b := newBridge(t, loadContract(t), p, &bridge.Options{Announcer: p, Logger: log.logger()})
		if err := b.Reload(nil, panicker{shouter(shout)}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "panic: no end") {
			t.Errorf("the log does not say that the provider that was replaced does not close:\n%s", log.String())
		}
		err := b.Serve(t.Context(), memnet.Listen())
		for _, want := range []string{"announce shouter-001: panic: no orchestrator", "close provider: panic: no end"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Serve = %v, want %s", err, want)
			}
		}
	})
}

// frantic is a store of jobs that panics when it is written to.
type frantic struct{ bridge.JobStore }

func (frantic) Put(string, []byte) error { panic("no pages") }
func (frantic) Delete(...string) error   { panic("no pages") }

// A store of jobs that panics costs the call that needs it 503, and no other one.
func TestStoreThatPanics(t *testing.T) {
	t.Parallel()
	store := openJobFile(t, filepath.Join(t.TempDir(), "jobs.db"))
	b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Jobs: bridge.JobOptions{Store: frantic{store}}})
	defer b.Close()
	srv := serve(t, b)
	for _, header := range [][]string{{"Idempotency-Key", "k"}, {"Idempotency-Key", "k"}, {"Prefer", "respond-async"}} {
		if got := post(t, srv, "/shout", `{"text": "a"}`, header...); got.Status != 503 {
			t.Errorf("%v: %d %s", header, got.Status, got.Body)
		}
	}
	if got := post(t, srv, "/shout", `{"text": "a"}`); got.Status != 200 {
		t.Errorf("a plain call = %d %s", got.Status, got.Body)
	}
	if n := inProgress(t, srv); n != 0 {
		t.Errorf("%d calls in progress", n)
	}
}
