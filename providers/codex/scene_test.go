package codex_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/jobfile"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// A scene is one call, of one caller, through a bridge on a real socket to a model's server on another, up to the moment
// when something happens.
type scene struct {
	t     *testing.T
	fault *fault
	way   way
	store string // file of the bridge

	model  *httptest.Server
	client *http.Client // of the provider
	bridge *bridge.Bridge
	url    string
	slots  *slots
	log    lockedBuffer
	stop   func() // as SIGTERM does; returns when the bridge has stopped

	caller   *http.Client
	ctx      context.Context // of the caller
	leave    context.CancelFunc
	sent     chan struct{}         // closed when the caller may send its body
	reached  chan struct{}         // closed when the call has come to the fault's stage
	seen     chan struct{}         // closed when the caller has an event
	follows  chan struct{}         // closed when the caller follows its job
	then     chan http.HandlerFunc // how the model's server goes on
	asked    atomic.Int32          // how often the model was asked
	stopping sync.WaitGroup
}

func newScene(t *testing.T, f *fault, w way, store string) *scene {
	t.Helper()
	s := &scene{
		t: t, fault: f, way: w, store: store, sent: make(chan struct{}), reached: make(chan struct{}),
		seen: make(chan struct{}), follows: make(chan struct{}), then: make(chan http.HandlerFunc, 1),
		caller: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}},
	}
	if store == "" {
		s.store = filepath.Join(t.TempDir(), "jobs.db")
	}
	s.ctx, s.leave = context.WithCancel(t.Context())
	s.model = httptest.NewServer(http.HandlerFunc(s.serveModel))
	url := s.model.URL
	if f.what == "connection refused" {
		url = refusingURL(t)
	}
	client, err := upstream.New(&upstream.Options{AllowHosts: []string{url}, MaxBackoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	client.Transport = panicking{client.Transport, f.what == "the provider panics" && f.when == asking}
	s.client = client
	provider, err := codex.New(&codex.Options{BaseURL: url + "/v1", Model: "m", HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	s.serve(provider)
	return s
}

func (s *scene) serve(provider bridge.Provider) {
	s.t.Helper()
	c, err := codex.Contract()
	if err != nil {
		s.t.Fatal(err)
	}
	opts := s.options()
	opts.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	s.slots = &slots{Limiter: limits.NewLocal(limits.Limits{MaxConcurrentRequests: c.Constraints.MaxConcurrentRequests, RateLimit: c.Constraints.RateLimit}, limits.Limits{})}
	opts.Limiter = s.slots
	if s.way.name == wantsTwice.name {
		if opts.Jobs.Store, err = jobfile.Open(s.store); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.bridge, err = bridge.New(c, provider, &opts); err != nil {
		s.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.url = "http://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.bridge.Serve(ctx, ln) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			s.t.Errorf("Serve = %v", err)
		}
	})
}

// options let only that take too long which is meant to.
func (s *scene) options() bridge.Options {
	const soon = 200 * time.Millisecond
	opts := bridge.Options{
		Jobs:     bridge.JobOptions{Timeout: time.Minute},
		Timeouts: bridge.Timeouts{Call: time.Minute},
	}
	switch silence := strings.HasPrefix(s.fault.what, "silence"); {
	case silence && s.fault.when == midStream && s.way.streams():
		opts.Timeouts.Idle = soon // which begins with the event
	case silence:
		opts.Timeouts.Call, opts.Jobs.Timeout = soon, soon
	case strings.HasSuffix(s.fault.what, "does not end"):
		opts.Timeouts.Drain = soon
	}
	return opts
}

// serveModel goes as far as the fault's stage, and then on as it is told.
func (s *scene) serveModel(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || s.asked.Add(1) > 1 {
		return
	}
	r.Header.Set("Accept", "application/json")
	if bytes.Contains(body, []byte(`"stream":true`)) {
		r.Header.Set("Accept", "text/event-stream")
	}
	switch s.fault.when {
	case beforeEvent:
		begin(w, r, "")
	case midStream:
		begin(w, r, begun)
	}
	once(s.reached)
	(<-s.then)(w, r)
}

func (w *way) streams() bool { return w.name == wantsSSE.name || w.name == wantsJob.name }

// play makes the call, lets the fault happen, and returns what the caller sees.
func (s *scene) play() string {
	s.t.Helper()
	if s.fault.when == asking {
		close(s.reached)
	}
	answered := make(chan string, 1)
	go func() { answered <- s.call() }()
	for _, stage := range s.stages() {
		select {
		case <-stage:
		case early := <-answered: // on a slow machine, silence may have been found before
			s.fault.do(s)
			return early
		}
	}
	s.fault.do(s)
	return <-answered
}

// stages are what happens in this order before the fault does.
func (s *scene) stages() []chan struct{} {
	stages := []chan struct{}{s.reached}
	if s.way.name == wantsJob.name && s.fault.when != sending {
		stages = append(stages, s.follows)
	}
	if s.fault.when == midStream && s.way.streams() {
		stages = append(stages, s.seen)
	}
	return stages
}

// playAgain sends the same call to another bridge on the same store, whose model has no fault, and tells what came of it.
func (s *scene) playAgain() string {
	next := newScene(s.t, &fault{when: asking}, wantsTwice, s.store)
	defer next.close()
	next.then <- finish
	res, err := next.caller.Do(next.request())
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	replay := res.Header.Get("Idempotency-Replayed") == "true"
	switch {
	case replay && next.asked.Load() == 0:
		return replayed
	case !replay && next.asked.Load() == 1:
		return asked
	}
	return fmt.Sprintf("replayed %v, but asked %d times", replay, next.asked.Load())
}

// beginStop begins to stop the bridge.
func (s *scene) beginStop() {
	s.stopping.Go(s.stop)
	for !strings.Contains(s.log.String(), "msg=stopping") {
		time.Sleep(time.Millisecond)
	}
}

// close ends all that is left. Closing twice is fine.
func (s *scene) close() {
	s.leave()
	s.stop()
	s.stopping.Wait()
	s.client.CloseIdleConnections()
	s.model.Close()
}

const panicMark = ": panic\n\n"

// A panicking transport panics at once, or when a server sends panicMark.
type panicking struct {
	http.RoundTripper
	atOnce bool
}

func (t panicking) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.atOnce {
		panic("at once")
	}
	res, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return res, err
	}
	body := res.Body
	res.Body = struct {
		io.Reader
		io.Closer
	}{readerFunc(func(p []byte) (int, error) {
		n, err := body.Read(p)
		if bytes.Contains(p[:n], []byte(panicMark)) {
			panic("in the middle")
		}
		return n, err
	}), body}
	return res, nil
}

func (t panicking) CloseIdleConnections() {
	t.RoundTripper.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}
