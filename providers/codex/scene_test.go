package codex_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
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
	if s.way.name == wantsTwice.name {
		opts.StoreFile = s.store
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
	opts := bridge.Options{Timeout: time.Minute, JobTimeout: time.Minute}
	switch silence := strings.HasPrefix(s.fault.what, "silence"); {
	case silence && s.fault.when == midStream && s.way.streams():
		opts.IdleTimeout = soon // which begins with the event
	case silence:
		opts.Timeout, opts.JobTimeout = soon, soon
	case strings.HasSuffix(s.fault.what, "does not end"):
		opts.DrainTimeout = soon
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

// call returns what the caller sees: the status, the code of a problem, and each terminal event of a stream, or of its
// job; "—" if it left.
func (s *scene) call() string {
	res, err := s.caller.Do(s.request())
	if errors.Is(err, context.Canceled) {
		return "—"
	} else if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusAccepted:
		return "202" + s.follow(res.Header.Get("Location"))
	case res.Header.Get("Content-Type") == "text/event-stream":
		if terminal := s.readEvents(res.Body); terminal != "" {
			return fmt.Sprint(res.StatusCode, terminal)
		}
		return "—"
	}
	var body struct{ Code string }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return err.Error()
	}
	seen := fmt.Sprint(res.StatusCode)
	if res.Header.Get("Content-Type") == "application/problem+json" {
		seen += " " + body.Code
	}
	if wait := res.Header.Get("Retry-After"); wait != "" {
		seen += ", Retry-After " + wait
	}
	return seen
}

// request announces its body first if something happens while it is sent.
func (s *scene) request() *http.Request {
	const text = `{"prompt": "p"}`
	ctx, body := s.ctx, io.Reader(strings.NewReader(text))
	if s.fault.when == sending {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: func() { close(s.reached) }})
		rest := body
		body = readerFunc(func(p []byte) (int, error) {
			select {
			case <-s.sent:
			case <-s.ctx.Done():
				return 0, s.ctx.Err()
			}
			return rest.Read(p)
		})
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/generate", body)
	if err != nil {
		panic(err)
	}
	if s.fault.when == sending {
		req.Header.Set("Expect", "100-continue")
	}
	req.ContentLength = int64(len(text))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", "the-call")
	for i := 0; i < len(s.way.header); i += 2 {
		req.Header.Set(s.way.header[i], s.way.header[i+1])
	}
	return req
}

// follow reads the events of a job to their end. A caller who leaves comes back for it.
func (s *scene) follow(path string) string {
	for _, ctx := range []context.Context{s.ctx, s.t.Context()} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
		if err != nil {
			return err.Error()
		}
		req.Header.Set("Accept", "text/event-stream")
		res, err := s.caller.Do(req)
		if err != nil && ctx.Err() == nil {
			return ", " + err.Error()
		} else if err != nil {
			continue
		}
		defer res.Body.Close()
		if terminal := s.readEvents(res.Body); terminal != "" {
			return terminal
		}
	}
	return ", no end"
}

// readEvents returns the terminal events.
func (s *scene) readEvents(body io.Reader) (terminal string) {
	var name string
	for lines := bufio.NewScanner(body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "event" && value == "delta":
			once(s.seen)
		case field == "" && strings.HasPrefix(value, "job "):
			once(s.follows)
		case field == "event":
			name = value
		case field == "data" && name == "result":
			terminal += ", result"
		case field == "data" && name == "error":
			var problem struct{ Code string }
			_ = json.Unmarshal([]byte(value), &problem)
			terminal += ", error " + problem.Code
		}
	}
	return terminal
}

// once closes a channel that only one goroutine closes.
func once(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
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

// waitForSlots waits until no call holds one. It asks the bridge itself, which may listen no more.
func (s *scene) waitForSlots() {
	s.t.Helper()
	var health struct {
		InProgress int `json:"calls_in_progress"`
	}
	for range 5000 {
		w := httptest.NewRecorder()
		s.bridge.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health", nil))
		if err := json.Unmarshal(w.Body.Bytes(), &health); err != nil {
			s.t.Fatal(err)
		}
		if health.InProgress == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	s.t.Errorf("%d slots do not come back", health.InProgress)
}

// checkLog wants one record of the call, and one of its job if it became one, with the code that the caller saw.
func (s *scene) checkLog(outcome string) {
	s.t.Helper()
	level := s.fault.log
	if outcome == "—" {
		s.checkRecord("request", "", level, "client_closed_request")
		return
	}
	first, end, _ := strings.Cut(outcome, ", ")
	status, code, _ := strings.Cut(first, " ")
	if status == "202" {
		s.checkRecord("request", "202", "INFO", "")
		if _, code, _ = strings.Cut(end, " "); code == "" {
			level = "INFO"
		}
		s.checkRecord("job", "", level, code)
		return
	}
	if s.way.name == wantsJob.name { // it did not become one
		level = "WARN"
	}
	if _, failed, ok := strings.Cut(end, "error "); ok {
		code = failed
	}
	s.checkRecord("request", status, level, code)
}

// checkRecord wants exactly one such record; status and code may be "".
func (s *scene) checkRecord(kind, status, level, code string) {
	s.t.Helper()
	var found []string
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "msg="+kind+" ") && strings.Contains(line, "request_id=the-call ") {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("%d records of the %s, want one:\n%s", len(found), kind, s.log.String())
	}
	has := func(part string) bool { return strings.Contains(found[0], part) }
	if !has("level="+level+" ") || status != "" && !has("status="+status+" ") || code == "" && has("code=") || code != "" && !(has("code="+code+" ") && has("cause=")) {
		s.t.Errorf("the log says\n%swant level %s, status %s, code %q and why", found[0], level, status, code)
	}
	if strings.Contains(found[0], "stack=") != (code == bridge.CodeInternal) {
		s.t.Errorf("a stack is for panics:\n%s", found[0])
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

// labelled runs f, and fails the test if goroutines remain of those that f began.
func labelled(t *testing.T, f func()) {
	t.Helper()
	pprof.Do(t.Context(), pprof.Labels("test", t.Name()), func(context.Context) { f() })
	label := fmt.Sprintf("%q:%q", "test", t.Name())
	var left []string
	for range 500 {
		var all bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			t.Fatal(err)
		}
		left = left[:0]
		for stack := range strings.SplitSeq(all.String(), "\n\n") {
			if strings.Contains(stack, label) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines are left:\n%s", strings.Join(left, "\n\n"))
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

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A lockedBuffer can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
