package bridge_test

import (
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
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/jobfile"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The contract of a small service that shouts: it answers text in capitals, and streams it word by word.
const shouterContract = `
service:
  id: shouter-001
  name: Shouter
  version: 1.2.0
  capabilities:
    - type: shouting
  constraints:
    max_concurrent_requests: 2
  api:
    protocol: http
    base_url: http://localhost:8082
    endpoints:
      - path: /shout
        method: POST
        input_schema: schemas/request.json
        output_schema: schemas/response.json
      - path: /health
        method: GET
`

const shouterRequest = `{"type": "object", "required": ["text"], "additionalProperties": false,
	"properties": {"text": {"type": "string", "minLength": 1, "maxLength": 100}, "times": {"type": "integer", "minimum": 1, "maximum": 9}}}`

const shouterResponse = `{"type": "object", "required": ["loud"], "additionalProperties": false,
	"properties": {"loud": {"type": "string"}}}`

type shoutRequest struct {
	Text  string `json:"text"`
	Times int    `json:"times"`
}

type shoutResponse struct {
	Loud string `json:"loud"`
}

type word struct {
	Word string `json:"word"`
}

func (word) EventType() string { return "word" }

func shout(_ context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
	for w := range strings.FieldsSeq(strings.ToUpper(req.Text)) {
		if err := send(word{w}); err != nil {
			return shoutResponse{}, err
		}
	}
	return shoutResponse{Loud: strings.ToUpper(req.Text)}, nil
}

// routes is a provider without extras.
type routes []bridge.Route

func (r routes) Routes() []bridge.Route { return r }

func shouter(f func(context.Context, shoutRequest, func(word) error) (shoutResponse, error), opts ...bridge.RouteOption) bridge.Provider {
	opts = append(opts, bridge.Serves("shouting"))
	return routes{bridge.Streaming("POST /shout", bridge.StreamHandlerFunc(f), opts...)}
}

// loadContract loads shouterContract after edit has been applied to its text.
func loadContract(t testing.TB, edits ...string) *contract.Contract {
	t.Helper()
	fsys := fstest.MapFS{
		"contract.yaml":         {Data: []byte(strings.NewReplacer(edits...).Replace(shouterContract))},
		"schemas/request.json":  {Data: []byte(shouterRequest)},
		"schemas/response.json": {Data: []byte(shouterResponse)},
	}
	c, err := contract.Load(fsys, "contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newBridge(t testing.TB, c *contract.Contract, p bridge.Provider, opts *bridge.Options) *bridge.Bridge {
	t.Helper()
	b, err := bridge.New(c, p, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve starts an HTTP server in front of b.
func serve(t testing.TB, b http.Handler) *httptest.Server {
	srv := httptest.NewServer(b)
	t.Cleanup(func() {
		srv.Client().CloseIdleConnections()
		srv.Close()
	})
	return srv
}

// serveOn has b serve itself until the test ends.
func serveOn(t *testing.T, b *bridge.Bridge, ln net.Listener) {
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

type reply struct {
	Status int
	Header http.Header
	Body   string
	HTTP2  bool
}

// problem is what callers read of an error.
type problem struct {
	Type, Title, Detail, Instance, Code string
	Status                              int
	RequestID                           string `json:"request_id"`
	Retryable                           bool
	RetryAfter                          int `json:"retry_after"`
	Errors                              []contract.Violation
	Clause                              string `json:"contract_clause"`
	Error                               struct {
		Code, Message string
		Details       map[string]any
	}
}

func (r reply) problem(t testing.TB) problem {
	t.Helper()
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type = %q, want application/problem+json; body %s", got, r.Body)
	}
	var p problem
	if err := json.Unmarshal([]byte(r.Body), &p); err != nil {
		t.Fatalf("problem details: %v in %s", err, r.Body)
	}
	return p
}

func send(t testing.TB, client *http.Client, req *http.Request) reply {
	t.Helper()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body), res.ProtoMajor == 2}
}

func newRequest(t testing.TB, method, url, body string, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	return req
}

func post(t testing.TB, srv *httptest.Server, path, body string, header ...string) reply {
	t.Helper()
	return send(t, srv.Client(), newRequest(t, "POST", srv.URL+path, body, header...))
}

func get(t testing.TB, srv *httptest.Server, path string, header ...string) reply {
	t.Helper()
	return send(t, srv.Client(), newRequest(t, "GET", srv.URL+path, "", header...))
}

// inProgress reads calls_in_progress from /health.
func inProgress(t testing.TB, srv *httptest.Server) int {
	t.Helper()
	var health struct {
		InProgress int `json:"calls_in_progress"`
	}
	if err := json.Unmarshal([]byte(get(t, srv, "/health").Body), &health); err != nil {
		t.Fatal(err)
	}
	return health.InProgress
}

// A logBuffer is a logger whose lines a test can read while it is written to.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// openJobFile opens a store that the bridge closes.
func openJobFile(t testing.TB, path string) bridge.JobStore {
	t.Helper()
	store, err := jobfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return store
}
