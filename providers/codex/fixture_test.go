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

// A fixture runs one call with a fault: caller, bridge and model's server, on real sockets.
type fixture struct {
	t     *testing.T
	fault *fault
	way   way
	store string // the bridge's file of jobs

	model   *httptest.Server
	client  *http.Client // the provider's
	bridge  *bridge.Bridge
	url     string
	limiter *countingLimiter
	log     lockedBuffer
	stop    func() // stops the bridge as SIGTERM does, and waits for it

	caller   *http.Client
	ctx      context.Context // the caller's
	leave    context.CancelFunc
	sent     chan struct{}         // closed when the caller may send its body
	reached  chan struct{}         // closed in the fault's phase
	seen     chan struct{}         // closed when the caller receives an event
	follows  chan struct{}         // closed when the caller follows its job
	then     chan http.HandlerFunc // how the model's server continues
	asked    atomic.Int32          // number of requests to the model
	stopping sync.WaitGroup
}

func newFixture(t *testing.T, f *fault, w way, store string) *fixture {
	t.Helper()
	s := &fixture{
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
	client.Transport = panickingTransport{client.Transport, f.what == "the provider panics" && f.when == asking}
	s.client = client
	provider, err := codex.New(&codex.Options{BaseURL: url + "/v1", Model: "m", HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	s.serve(provider)
	return s
}

func (s *fixture) serve(provider bridge.Provider) {
	s.t.Helper()
	c, err := codex.Contract()
	if err != nil {
		s.t.Fatal(err)
	}
	opts := s.options()
	opts.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	allowed := limits.Limits{
		MaxConcurrentRequests: c.Constraints.MaxConcurrentRequests, RateLimit: c.Constraints.RateLimit,
	}
	s.limiter = &countingLimiter{Limiter: limits.NewLocal(allowed, limits.Limits{})}
	opts.Limiter = s.limiter
	if s.way.name == wantsReplay.name {
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

// options returns short timeouts for the fault under test, and long ones for the rest.
func (s *fixture) options() bridge.Options {
	const soon = 200 * time.Millisecond
	opts := bridge.Options{
		Jobs:     bridge.JobOptions{Timeout: time.Minute},
		Timeouts: bridge.Timeouts{Call: time.Minute},
	}
	switch silence := strings.HasPrefix(s.fault.what, "silence"); {
	case silence && s.fault.when == midStream && s.way.streams():
		opts.Timeouts.Idle = soon // starts at the event
	case silence:
		opts.Timeouts.Call, opts.Jobs.Timeout = soon, soon
	case strings.HasSuffix(s.fault.what, "does not end"):
		opts.Timeouts.Drain = soon
	}
	return opts
}

// serveModel proceeds to the fault's phase, and continues with the handler from s.then.
func (s *fixture) serveModel(w http.ResponseWriter, r *http.Request) {
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
		startResponse(w, r, "")
	case midStream:
		startResponse(w, r, partialText)
	}
	once(s.reached)
	(<-s.then)(w, r)
}

func (w *way) streams() bool { return w.name == wantsSSE.name || w.name == wantsJob.name }

// run makes the call, injects the fault, and returns the caller's outcome.
func (s *fixture) run() string {
	s.t.Helper()
	if s.fault.when == asking {
		close(s.reached)
	}
	answered := make(chan string, 1)
	go func() { answered <- s.call() }()
	for _, phase := range s.phases() {
		select {
		case <-phase:
		case early := <-answered: // on a slow machine, the timeout may come first
			s.fault.do(s)
			return early
		}
	}
	s.fault.do(s)
	return <-answered
}

// phases returns the channels to wait for before the fault, in order.
func (s *fixture) phases() []chan struct{} {
	phases := []chan struct{}{s.reached}
	if s.way.name == wantsJob.name && s.fault.when != sending {
		phases = append(phases, s.follows)
	}
	if s.fault.when == midStream && s.way.streams() {
		phases = append(phases, s.seen)
	}
	return phases
}

// replay sends the same call to another bridge on the same store, without a fault. It returns
// asked, replayed, or a description of another outcome.
func (s *fixture) replay() string {
	next := newFixture(s.t, &fault{when: asking}, wantsReplay, s.store)
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

// beginStop starts stopping the bridge, and waits for the log record of that.
func (s *fixture) beginStop() {
	s.stopping.Go(s.stop)
	for !strings.Contains(s.log.String(), "msg=stopping") {
		time.Sleep(time.Millisecond)
	}
}

// close stops all servers. It can be called twice.
func (s *fixture) close() {
	s.leave()
	s.stop()
	s.stopping.Wait()
	s.client.CloseIdleConnections()
	s.model.Close()
}

const panicMark = ": panic\n\n"

// A panickingTransport panics at once, or when the server sends panicMark.
type panickingTransport struct {
	http.RoundTripper
	atOnce bool
}

func (t panickingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
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

func (t panickingTransport) CloseIdleConnections() {
	t.RoundTripper.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}
