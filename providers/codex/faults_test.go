package codex_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// A bench is a bridge on a real socket before a model's server on another, and what the bridge logs.
type bench struct {
	url  string
	stop func() // as SIGTERM does; returns when the bridge has stopped
	log  func() string
}

func newBench(t *testing.T, model string, opts bridge.Options) *bench {
	t.Helper()
	provider, err := codex.New(&codex.Options{BaseURL: model + "/v1", Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := codex.Contract()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var log bytes.Buffer
	opts.Logger = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), nil))
	b, err := bridge.New(c, provider, &opts)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx, ln) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Cleanup(stop)
	return &bench{"http://" + ln.Addr().String(), stop, func() string {
		mu.Lock()
		defer mu.Unlock()
		return log.String()
	}}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// caller keeps no connections, which would outlive a test.
var caller = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// generate calls POST /generate.
func (b *bench) generate(ctx context.Context, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/generate", strings.NewReader(`{"prompt": "p"}`))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", accept)
	return caller.Do(req)
}

// free waits for the slots of all calls to come back. That it does is what the tests are about.
func (b *bench) free(t *testing.T) {
	t.Helper()
	for {
		res, err := caller.Get(b.url + "/health")
		if err != nil {
			t.Fatal(err)
		}
		var health struct {
			InProgress int `json:"calls_in_progress"`
		}
		err = json.NewDecoder(res.Body).Decode(&health)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if health.InProgress == 0 {
			return
		}
	}
}

// Ways in which a model's server fails. begun tells whether events reach a caller before it does.
var faults = map[string]struct {
	serve      http.HandlerFunc
	status     int // of the bridge's answer, if no event went out before
	code       string
	begun      bool
	retryAfter string
}{
	"refused": {status: 502, code: "upstream_failed"}, // nobody listens
	"reset": {status: 502, code: "upstream_failed", serve: func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}},
	"never a header": {status: 504, code: "timeout", serve: func(_ http.ResponseWriter, r *http.Request) { untilGone(r) }},
	"never a body": {status: 504, code: "timeout", serve: func(w http.ResponseWriter, r *http.Request) {
		beginStream(w)
		untilGone(r)
	}},
	"never an end": {status: 504, code: "timeout", begun: true, serve: func(w http.ResponseWriter, r *http.Request) {
		beginStream(w, textDelta(`{"code":"a`))
		untilGone(r)
	}},
	"cut before an event": {status: 502, code: "upstream_failed", serve: func(w http.ResponseWriter, _ *http.Request) {
		beginStream(w)
		panic(http.ErrAbortHandler)
	}},
	"cut after an event": {status: 502, code: "upstream_failed", begun: true, serve: func(w http.ResponseWriter, _ *http.Request) {
		beginStream(w, textDelta(`{"code":"a`))
		panic(http.ErrAbortHandler)
	}},
	"an end without a result": {status: 502, code: "upstream_failed", begun: true, serve: func(w http.ResponseWriter, _ *http.Request) {
		beginStream(w, textDelta(`{"code":"a`))
	}},
	"garbage": {status: 502, code: "invalid_response", serve: writeJSON(200, "<html>")},
	"429":     {status: 429, code: "rate_limited", serve: writeJSON(429, `{"error":{"message":"slow"}}`)},
	"429 with Retry-After": {status: 429, code: "rate_limited", retryAfter: "7", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		writeJSON(429, `{"error":{"message":"slow"}}`)(w, r)
	}},
	"500": {status: 502, code: "upstream_failed", serve: writeJSON(500, `{"error":{"message":"oops"}}`)},
	"503": {status: 502, code: "upstream_failed", serve: writeJSON(503, ``)},
}

// untilGone waits for the client to leave, which a server sees only behind the request's body.
func untilGone(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// beginStream answers 200 with events, and makes sure that they are on their way.
func beginStream(w http.ResponseWriter, list ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, events(list...))
	_ = http.NewResponseController(w).Flush()
}

func TestFaultsOfTheModelsServer(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		for _, accept := range []string{"application/json", "text/event-stream"} {
			t.Run(name+" "+accept, func(t *testing.T) {
				t.Parallel()
				url := refusingURL(t)
				if fault.serve != nil {
					model := httptest.NewServer(fault.serve)
					t.Cleanup(model.Close)
					url = model.URL
				}
				timeout := time.Minute
				if fault.code == bridge.CodeTimeout {
					timeout = 300 * time.Millisecond // others may take longer: what was not sent is tried again
				}
				b := newBench(t, url, bridge.Options{Timeout: timeout})
				res, err := b.generate(t.Context(), accept)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				streamed := accept == "text/event-stream" && fault.begun
				if streamed {
					if n := bytes.Count(body, []byte("event: error\n")); res.StatusCode != 200 || n != 1 || bytes.Contains(body, []byte("event: result\n")) {
						t.Errorf("status %d, want 200 and exactly one terminal event, an error:\n%s", res.StatusCode, body)
					}
				} else if res.StatusCode != fault.status || res.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("status %d (%s), want %d", res.StatusCode, body, fault.status)
				}
				if !bytes.Contains(body, []byte(`"code":"`+fault.code+`"`)) || bytes.Contains(body, []byte(url)) {
					t.Errorf("want code %s, and nothing of the server behind:\n%s", fault.code, body)
				}
				if got := res.Header.Get("Retry-After"); got != fault.retryAfter {
					t.Errorf("Retry-After = %q, want %q", got, fault.retryAfter)
				}
				b.free(t)
				b.stop()
				if !strings.Contains(b.log(), "code="+fault.code) || !strings.Contains(b.log(), "cause=") {
					t.Errorf("the log does not tell code and cause:\n%s", b.log())
				}
			})
		}
	}
}

// A caller may leave before the model answers and while it does. The model's server sees it, the slot comes back, and
// the log says who ended the call.
func TestCallersThatLeave(t *testing.T) {
	t.Parallel()
	for name, first := range map[string][]string{"before an event": nil, "during the stream": {textDelta(`{"code":"a`)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, gone := make(chan struct{}), make(chan struct{})
			model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				beginStream(w, first...)
				close(asked)
				untilGone(r)
				close(gone)
			}))
			t.Cleanup(model.Close)
			b := newBench(t, model.URL, bridge.Options{})
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			go func() {
				<-asked
				if first == nil {
					leave()
				}
			}()
			res, err := b.generate(ctx, "text/event-stream")
			if first == nil && err == nil {
				t.Error("an answer began without an event")
			}
			if err == nil {
				defer res.Body.Close()
				if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || line != "id: 1\n" {
					t.Fatalf("first line %q, %v", line, err)
				}
				leave()
			}
			<-gone
			b.free(t)
			b.stop()
			if !strings.Contains(b.log(), "code=client_closed_request") {
				t.Errorf("the log does not say that the caller left:\n%s", b.log())
			}
		})
	}
}

// A bridge that must stop lets calls finish; those that do not finish in time are told so.
func TestStopWhileTheModelAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		drain  time.Duration
		accept string
		want   string // in the answer
		status int
	}{
		"it finishes":           {time.Minute, "application/json", `"code":"ab"`, 200},
		"its stream finishes":   {time.Minute, "text/event-stream", "event: result\n", 200},
		"it is cut off":         {time.Millisecond, "application/json", `"code":"unavailable"`, 503},
		"its stream is cut off": {time.Millisecond, "text/event-stream", "event: error\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, finish := make(chan struct{}), make(chan struct{})
			model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				beginStream(w, textDelta(`{"code":"a`))
				close(asked)
				select {
				case <-finish:
					text := `{"code":"ab","language":"go","explanation":"e"}`
					_, _ = io.WriteString(w, events(textDelta(text[len(`{"code":"a`):]), `{"type":"response.completed","response":`+completed(text)+`}`))
				case <-r.Context().Done():
				}
			}))
			t.Cleanup(model.Close)
			b := newBench(t, model.URL, bridge.Options{DrainTimeout: test.drain})
			begun := make(chan struct{}) // a stream has reached its caller
			go func() {
				<-asked
				if test.accept == "text/event-stream" {
					<-begun
				}
				stopped := make(chan struct{})
				go func() {
					b.stop()
					close(stopped)
				}()
				for !strings.Contains(b.log(), "msg=stopping") {
					time.Sleep(time.Millisecond)
				}
				if test.drain > time.Second {
					close(finish)
				}
				<-stopped
			}()
			res, err := b.generate(t.Context(), test.accept)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			close(begun) // the header goes out with the first event
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != test.status || !bytes.Contains(body, []byte(test.want)) {
				t.Errorf("answer = %d, %v, want %d with %s:\n%s", res.StatusCode, err, test.status, test.want, body)
			}
			if n := bytes.Count(body, []byte("event: result\n")) + bytes.Count(body, []byte("event: error\n")); test.accept == "text/event-stream" && n != 1 {
				t.Errorf("%d terminal events:\n%s", n, body)
			}
			b.stop()
		})
	}
}
