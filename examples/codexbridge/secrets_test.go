package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// Secrets, one for each place.
const (
	secretKey      = "canary-key-4f1d0c"      // the model's API key
	secretToken    = "canary-token-9b27ae"    // the caller's token
	secretGuess    = "canary-guess-77c3f2"    // the token of an unknown caller
	secretCAIO     = "canary-caio-1e88d4"     // the token for CAIO
	secretEnv      = "canary-env-5a60bb"      // in environment variables that the library must not read
	secretCookie   = "canary-cookie-c04e19"   // in the caller's header Cookie
	secretHeader   = "canary-header-3d92f7"   // in other headers of the caller
	secretQuery    = "canary-query-e8b1a6"    // in the query of the caller's URL
	secretUser     = "canary-user-60f5c8"     // the password in a URL
	secretPrompt   = "canary-prompt-a7d43e"   // in the caller's body
	secretAnswer   = "canary-answer-2c9e70"   // in the model's output
	secretUpstream = "canary-upstream-b3168d" // in other parts of the model server's responses
)

// secretDestinations lists the only destinations of each secret.
var secretDestinations = map[string]struct{ toUpstream, toCaller bool }{
	secretKey: {toUpstream: true}, secretPrompt: {toUpstream: true, toCaller: true}, secretAnswer: {toCaller: true},
	secretToken: {}, secretGuess: {}, secretCAIO: {}, secretEnv: {}, secretCookie: {}, secretHeader: {}, secretQuery: {},
	secretUser: {}, secretUpstream: {},
}

var secretScenarios = []string{
	"fine", "badkey", "invalid", "busy", "broken", "fastapi", "garbage", "redirect", "eventerror", "cut", "refusal",
	"shapeless",
	"panic", "unreachable", "forbidden",
}

// upstreamHeaders are the headers of requests to the model, without those of the SDK. Only the
// trace context depends on the caller's headers.
var upstreamHeaders = []string{"Accept", "Accept-Encoding", "Authorization", "Content-Length", "Content-Type",
	"Traceparent", "User-Agent"}

// A leakEnv is a bridge that records all its outputs.
type leakEnv struct {
	url      string
	upstream *echoServer
	log      lockedBuffer
	audit    lockedBuffer
	store    string // a file
	spans    *tracetest.SpanRecorder
	metrics  *prometheus.Registry
	provider *codex.Provider
	opts     *codex.Options
	bridge   *bridge.Bridge
	stop     func() // stops the bridge and waits for its goroutines
}

// A lockedBuffer is a buffer for concurrent use.
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

func newLeakEnv(t *testing.T) *leakEnv {
	t.Helper()
	a := &leakEnv{upstream: new(echoServer), store: filepath.Join(t.TempDir(), "jobs.db"),
		spans: tracetest.NewSpanRecorder(), metrics: prometheus.NewRegistry()}
	server := httptest.NewServer(a.upstream)
	t.Cleanup(server.Close)
	log := slog.New(slog.NewTextHandler(&a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	env := map[string]string{
		"OPENAI_API_KEY": secretKey, "OPENAI_BASE_URL": server.URL + "/v1", "CODEX_BRIDGE_TOKEN": secretToken,
		"CAIO_TOKEN": secretCAIO, "CODEX_MODEL": "model-1",
	}
	cfg, err := parseConfig(ownPorts, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	model, stopModel, err := chooseModel(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stopModel)
	client, err := upstream.New(&upstream.Options{AllowHosts: []string{cfg.modelURL, "localhost:1"}, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	client.Transport = failingTransport{client.Transport}
	model.HTTPClient = client
	a.opts = model
	if a.provider, err = codex.New(model); err != nil {
		t.Fatal(err)
	}
	reader, err := exporter.New(exporter.WithRegisterer(a.metrics))
	if err != nil {
		t.Fatal(err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(a.spans))
	t.Cleanup(func() {
		_ = meters.Shutdown(context.Background())
		_ = tracers.Shutdown(context.Background())
	})
	orchestrator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "who is "+r.Header.Get("Authorization")+"?", http.StatusServiceUnavailable)
	}))
	t.Cleanup(orchestrator.Close)
	announcer, err := caio.NewClient(orchestrator.URL, &caio.Options{Token: caio.StaticToken(cfg.caioToken), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	a.bridge, err = bridge.New(generousContract(t), a.provider, &bridge.Options{
		Logger: log, TracerProvider: tracers, MeterProvider: meters, Announcer: announcer,
		Authenticate: bridge.BearerTokens(map[string]string{"caller": cfg.bridgeToken}),
		Jobs:         bridge.JobOptions{Store: openStore(t, a.store)},
		Audit:        func(_ context.Context, c bridge.Call) { fmt.Fprintf(&a.audit, "%+v\n", c) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := listen(cfg.addr, "-addr")
	if err != nil {
		t.Fatal(err)
	}
	a.url = urlOf(ln)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.bridge.Serve(ctx, ln) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Cleanup(a.stop)
	return a
}

// send sends a request with secrets in all its parts. It returns the response with all headers.
func (a *leakEnv) send(t *testing.T, method, path, body string, header ...string) string {
	t.Helper()
	query := "?api_key=" + secretQuery
	if strings.Contains(path, "?") {
		query = "&" + query[1:]
	}
	secrets := []string{
		"Authorization", "Bearer " + secretToken, "Cookie", "session=" + secretCookie, "X-Api-Key", secretHeader,
		"Proxy-Authorization", "Basic " + secretHeader, "X-Forwarded-For", secretHeader,
		"Baggage", "user=" + secretHeader, "Referer", "http://x/?" + secretQuery, "User-Agent", secretHeader,
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	status, received, text := request(t, method, a.url+path+query, body, append(secrets, header...)...)
	var all bytes.Buffer
	fmt.Fprintln(&all, status)
	_ = received.Write(&all)
	all.WriteString(text)
	return all.String()
}

// callScenarios makes each kind of call in each scenario. It returns the responses by kind and
// scenario.
func (a *leakEnv) callScenarios(t *testing.T) map[string]string {
	t.Helper()
	callers := map[string]string{}
	for _, scenario := range secretScenarios {
		for _, path := range []string{"/generate", "/review"} {
			call := fmt.Sprintf(`{"prompt": "scenario-%s %s"}`, scenario, secretPrompt)
			if path == "/review" {
				call = fmt.Sprintf(`{"code": "scenario-%s %s"}`, scenario, secretPrompt)
			}
			about := scenario + " " + path
			callers[about] = a.send(t, "POST", path, call)
			callers[about+" with a key"] = a.send(t, "POST", path, call, "Idempotency-Key", about)
			callers[about+" repeated"] = a.send(t, "POST", path, call, "Idempotency-Key", about)
			callers[about+" as a stream"] = a.send(t, "POST", path, call, "Accept", "text/event-stream, application/json;q=0.5")
			begun := a.send(t, "POST", path, call, "Prefer", "respond-async")
			_, job, ok := strings.Cut(begun, "Location: ")
			if !ok {
				t.Fatalf("no job: %s", begun)
			}
			job, _, _ = strings.Cut(job, "\r\n")
			callers[about+" as a job"] = a.send(t, "GET", job, "", "Accept", "text/event-stream")
			callers[about+" as a job's state"] = a.send(t, "GET", job, "")
			callers[about+" as another caller's job"] = a.send(t, "GET", job, "", "Authorization", "Bearer "+secretGuess)
		}
	}
	return callers
}

// invalidRequests are method, path, body and headers by the error in the request, and requests for
// the bridge's own endpoints.
var invalidRequests = map[string][]string{
	"a wrong type":      {"POST", "/generate", `{"prompt": {"x": "` + secretPrompt + `"}}`},
	"a value too large": {"POST", "/generate", `{"prompt": "x", "max_tokens": "` + secretPrompt + `"}`},
	"not an enum's":     {"POST", "/generate", `{"prompt": "x", "mode": "` + secretPrompt + `"}`},
	"an unknown member": {"POST", "/generate", `{"prompt": "x", "` + secretPrompt + `": 1}`},
	"no JSON":           {"POST", "/generate", `{"prompt": ` + secretPrompt},
	"a repeated member": {"POST", "/generate", `{"` + secretPrompt + `": 1, "` + secretPrompt + `": 2}`},
	"text":              {"POST", "/generate", secretPrompt, "Content-Type", "text/" + secretHeader},
	"an odd coding":     {"POST", "/generate", secretPrompt, "Content-Encoding", secretHeader},
	"no gzip":           {"POST", "/generate", secretPrompt, "Content-Encoding", "gzip"},
	"too much":          {"POST", "/generate", strings.Repeat(secretPrompt, 100_000)},
	"too many tokens":   {"POST", "/generate", `{"prompt": "` + strings.Repeat(secretPrompt+" ", 2000) + `"}`},
	"an odd key":        {"POST", "/generate", `{"prompt": "x"}`, "Idempotency-Key", secretHeader + `"(`},
	"an odd preference": {"POST", "/generate", `{"prompt": "x"}`, "Accept", "text/" + secretHeader},
	"a wrong token":     {"POST", "/generate", `{"prompt": "x"}`, "Authorization", "Bearer " + secretGuess},
	"a password":        {"POST", "/generate", `{"prompt": "x"}`, "Authorization", "Basic " + secretGuess},
	"an odd origin":     {"POST", "/generate", `{"prompt": "x"}`, "Origin", "https://evil.example"},
	"an odd request id": {"POST", "/generate", `{"prompt": "x"}`, "X-Request-Id", secretHeader + " x"},
	"nothing there":     {"GET", "/nothing", ""},
	"an odd method":     {"BREW", "/generate", ""},
	"an odd event":      {"GET", "/jobs/none", "", "Last-Event-ID", secretHeader},
	"health":            {"GET", "/health", ""},
	"liveness":          {"GET", "/livez", ""},
	"readiness":         {"GET", "/readyz", ""},
	"its checks":        {"GET", "/readyz?verbose", ""},
	"the contract":      {"GET", "/contract", ""},
	"the description":   {"GET", "/openapi.json", ""},
}

// TestSecretsDoNotLeak makes all kinds of calls, and searches all outputs for secrets.
func TestSecretsDoNotLeak(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", secretEnv) // the library must not read it
	t.Setenv("OPENAI_ORG_ID", secretEnv)
	t.Setenv("OPENAI_CUSTOM_HEADERS", "X-Env: "+secretEnv)
	a := newLeakEnv(t)

	callers := a.callScenarios(t)
	for name, request := range invalidRequests {
		callers[name] = a.send(t, request[0], request[1], request[2], request[3:]...)
	}

	metrics := a.prometheus(t)
	a.stop() // %+v reads the bridge without its locks
	outlets := map[string]string{
		"the log": a.log.String(), "the audit": a.audit.String(), "metrics": metrics, "traces": a.traces(t),
		"errors": startErrors(), "what %+v prints": fmt.Sprintf("%+v %+v %v %#v %+v %v", a.opts, *a.opts, a.opts,
			a.provider, a.provider, a.bridge),
	}
	for name, seen := range callers {
		outlets["the answer to "+name] = seen
	}
	store, err := os.ReadFile(a.store)
	if err != nil {
		t.Fatal(err)
	}
	outlets["the answer to a reader of the store"] = string(store)
	for i, got := range a.upstream.got {
		outlets[fmt.Sprint("upstream ", i)] = got
		header, _, _ := strings.Cut(got, "\n{")
		for line := range strings.Lines(header[strings.Index(header, "\n")+1:]) {
			if name, _, _ := strings.Cut(line, ":"); !slices.Contains(upstreamHeaders, name) &&
				!strings.HasPrefix(name, "X-Stainless-") {
				t.Errorf("a header that is not the provider's reaches the model's server: %s", line)
			}
		}
	}
	for outlet, seen := range outlets {
		if seen == "" {
			t.Errorf("%s is empty, so the test does not check it", outlet)
		}
		for secret, may := range secretDestinations {
			allowed := strings.HasPrefix(outlet, "the answer to ") && may.toCaller ||
				strings.HasPrefix(outlet, "upstream ") && may.toUpstream
			if i := strings.Index(seen, secret); i >= 0 && !allowed {
				t.Errorf("%s shows %s:\n%s", outlet, secret, seen[max(0, i-200):min(len(seen), i+100)])
			}
		}
	}
	for _, want := range []string{"code=upstream_failed", "code=internal", "stack=", "code=schema_violation",
		"code=invalid_response", "msg=job", "rate_limit_exceeded"} {
		if !strings.Contains(outlets["the log"], want) {
			t.Errorf("the log lacks %s, so the test does not exercise it", want)
		}
	}
	if !strings.Contains(callers["fine /generate"], secretAnswer) {
		t.Errorf("a good call is not answered well: %s", callers["fine /generate"])
	}
}

func (a *leakEnv) prometheus(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}).ServeHTTP(w,
		httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return w.Body.String()
}

// traces prints all spans with all their data.
func (a *leakEnv) traces(t *testing.T) string {
	t.Helper()
	spans := tracetest.SpanStubsFromReadOnlySpans(a.spans.Ended())
	var all bytes.Buffer
	for _, s := range spans {
		fmt.Fprintf(&all, "%s %v %v %v %v %v\n", s.Name, s.Attributes, s.Events, s.Links, s.Status, s.Resource)
	}
	return all.String()
}

// startErrors returns the errors for invalid settings.
func startErrors() string {
	var texts []string
	add := func(err error) { texts = append(texts, fmt.Sprintf("%v %+v", err, err)) }
	for _, opts := range []codex.Options{
		{APIKey: secretKey + "\n"}, {APIKey: secretKey, BaseURL: "http://user:" + secretUser + "@localhost/v1"},
		{BaseURL: "http://localhost/v1?key=" + secretQuery},
		{APIKey: secretKey, BaseURL: "://" + secretUser}, {APIKey: secretKey, Model: "a b"},
	} {
		_, err := codex.New(&opts)
		add(err)
	}
	for _, base := range []string{"http://user:" + secretUser + "@localhost",
		"http://user:" + secretUser + "@local host", "localhost/?" + secretQuery} {
		_, err := caio.NewClient(base, &caio.Options{Token: caio.StaticToken(secretCAIO)})
		add(err)
	}
	_, err := contract.Parse("contract.yaml",
		[]byte("service: {id: a, api: {base_url: 'http://user:"+secretUser+"@localhost'}}"))
	add(err)
	env := map[string]string{"OPENAI_API_KEY": secretKey, "CODEX_BRIDGE_TOKEN": secretToken, "CODEX_BRIDGE_PORT": "none"}
	_, err = parseConfig(nil, func(name string) string { return env[name] })
	add(err)
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}
