package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// Canaries are secrets, one per place that they are put in.
const (
	canaryKey      = "canary-key-4f1d0c"      // the provider's, from the environment
	canaryToken    = "canary-token-9b27ae"    // of the caller, whom the bridge knows
	canaryGuess    = "canary-guess-77c3f2"    // of a caller whom it does not
	canaryCAIO     = "canary-caio-1e88d4"     // for the orchestrator, from the environment
	canaryEnv      = "canary-env-5a60bb"      // in the environment of the process, for nobody
	canaryCookie   = "canary-cookie-c04e19"   // in a header of the caller
	canaryHeader   = "canary-header-3d92f7"   // in another
	canaryQuery    = "canary-query-e8b1a6"    // in the query of the caller's URL
	canaryUser     = "canary-user-60f5c8"     // as password in a URL
	canaryPrompt   = "canary-prompt-a7d43e"   // in the caller's body
	canaryAnswer   = "canary-answer-2c9e70"   // in the model's answer
	canaryUpstream = "canary-upstream-b3168d" // in what the model's server says beside its message
)

// Where a canary may appear. The key goes to the model's server and the prompt comes back to who sent it, and that is all.
var canaries = map[string]struct{ toUpstream, toCaller bool }{
	canaryKey: {toUpstream: true}, canaryPrompt: {toUpstream: true, toCaller: true}, canaryAnswer: {toCaller: true},
	canaryToken: {}, canaryGuess: {}, canaryCAIO: {}, canaryEnv: {}, canaryCookie: {}, canaryHeader: {}, canaryQuery: {}, canaryUser: {}, canaryUpstream: {},
}

// careless is a server of the Responses API that repeats what it was sent wherever it can.
type careless struct {
	mu  sync.Mutex
	got []string // requests, headers included
}

func (c *careless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request bytes.Buffer
	fmt.Fprintln(&request, r.Method, r.URL)
	_ = r.Header.Write(&request)
	request.Write(body)
	c.mu.Lock()
	c.got = append(c.got, request.String())
	c.mu.Unlock()

	var asked demoRequest
	_ = json.Unmarshal(body, &asked)
	_, scenario, _ := strings.Cut(asked.Input, "scenario-")
	scenario, _, _ = strings.Cut(scenario, " ")
	h := w.Header()
	h.Set("X-Upstream", canaryUpstream)
	h.Set("Set-Cookie", "session="+canaryUpstream)
	refuse := func(status int, code string) {
		h.Set("Content-Type", "application/json")
		w.WriteHeader(status)
		message := "You sent " + r.Header.Get("Authorization") + ": " + asked.Input
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "code": code, "debug": canaryUpstream}, "trace": canaryUpstream})
	}
	switch scenario {
	case "badkey":
		refuse(401, "invalid_api_key")
	case "invalid":
		refuse(400, "")
	case "busy":
		h.Set("Retry-After", "1")
		refuse(429, "rate_limit_exceeded")
	case "broken":
		h.Set("Content-Type", "text/html")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, "<h1>"+canaryUpstream+"</h1>"+asked.Input)
	case "fastapi":
		w.WriteHeader(422)
		_ = json.NewEncoder(w).Encode(map[string]any{"detail": "input_value=" + asked.Input})
	case "garbage":
		_, _ = io.WriteString(w, canaryUpstream+asked.Input)
	case "redirect":
		http.Redirect(w, r, "http://user:"+canaryUser+"@redirected.example/?q="+canaryUpstream, http.StatusTemporaryRedirect)
	case "eventerror":
		h.Set("Content-Type", "text/event-stream")
		event, _ := json.Marshal(map[string]any{"type": "error", "message": r.Header.Get("Authorization") + asked.Input, "debug": canaryUpstream})
		fmt.Fprintf(w, "data: %s\n\n", event)
	case "cut":
		h.Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"{\\\"code\\\":\\\""+canaryAnswer+"\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "refusal":
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "r", "status": "completed", "model": "m", "output": []any{
			map[string]any{"type": "message", "content": []any{map[string]any{"type": "refusal", "refusal": canaryAnswer}}}}})
	case "shapeless":
		_ = json.NewEncoder(w).Encode(demoResponse(asked, `{"code": {"is": "`+canaryAnswer+`"}, "language": 7}`))
	default:
		text, _ := json.Marshal(map[string]any{"code": canaryAnswer + " " + canaryPrompt, "language": "go", "explanation": "It is echoed."})
		if asked.Stream {
			streamDemo(w, asked, string(text))
			return
		}
		_ = json.NewEncoder(w).Encode(demoResponse(asked, string(text)))
	}
}

// A flaky transport fails before the model's server is asked.
type flaky struct{ base http.RoundTripper }

func (f flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	reader, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	body, _ := io.ReadAll(reader)
	switch {
	case bytes.Contains(body, []byte("scenario-panic")):
		panic("the transport panics")
	case bytes.Contains(body, []byte("scenario-unreachable")):
		r = r.Clone(r.Context())
		r.URL.Host = "localhost:1"
	case bytes.Contains(body, []byte("scenario-forbidden")):
		r = r.Clone(r.Context())
		r.URL.Host = "169.254.169.254"
	}
	return f.base.RoundTrip(r)
}

var canaryScenarios = []string{
	"fine", "badkey", "invalid", "busy", "broken", "fastapi", "garbage", "redirect", "eventerror", "cut", "refusal", "shapeless",
	"panic", "unreachable", "forbidden",
}

// sentUpstream are the headers of requests to the model's server, beside those that say which SDK is used. Of the caller's
// only the trace context is among them, as a child of it.
var sentUpstream = []string{"Accept", "Accept-Encoding", "Authorization", "Content-Length", "Content-Type", "Traceparent", "User-Agent"}

// An aviary is a bridge whose every outlet is watched.
type aviary struct {
	url      string
	upstream *careless
	log      lockedBuffer
	audit    lockedBuffer
	store    string // a file
	spans    *tracetest.SpanRecorder
	metrics  *prometheus.Registry
	provider *codex.Provider
	opts     *codex.Options
	bridge   *bridge.Bridge
}

// A lockedBuffer can be read while it is written to.
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

func newAviary(t *testing.T) *aviary {
	t.Helper()
	a := &aviary{upstream: new(careless), store: filepath.Join(t.TempDir(), "jobs.db"), spans: tracetest.NewSpanRecorder(), metrics: prometheus.NewRegistry()}
	server := httptest.NewServer(a.upstream)
	t.Cleanup(server.Close)
	log := slog.New(slog.NewTextHandler(&a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	env := map[string]string{
		"OPENAI_API_KEY": canaryKey, "OPENAI_BASE_URL": server.URL + "/v1", "CODEX_BRIDGE_TOKEN": canaryToken, "CAIO_TOKEN": canaryCAIO, "CODEX_MODEL": "model-1",
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
	client.Transport = flaky{client.Transport}
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
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.bridge.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return a
}

// generousContract is the provider's own, but for the number of calls per minute.
func generousContract(t *testing.T) *contract.Contract {
	t.Helper()
	const home = "../../providers/codex/"
	folder := t.TempDir()
	text, err := os.ReadFile(home + "contract.yaml")
	if err == nil {
		text = bytes.Replace(text, []byte("per_minute: 60"), []byte("per_minute: 1000"), 1)
		err = errors.Join(os.WriteFile(filepath.Join(folder, "contract.yaml"), text, 0o600), os.CopyFS(filepath.Join(folder, "schemas"), os.DirFS(home+"schemas")))
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.LoadFile(filepath.Join(folder, "contract.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// send returns all that the caller sees, having put secrets everywhere in the request.
func (a *aviary) send(t *testing.T, method, path, body string, header ...string) string {
	t.Helper()
	query := "?api_key=" + canaryQuery
	if strings.Contains(path, "?") {
		query = "&" + query[1:]
	}
	req, err := http.NewRequestWithContext(t.Context(), method, a.url+path+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer " + canaryToken, "Content-Type": "application/json", "Cookie": "session=" + canaryCookie, "X-Api-Key": canaryHeader,
		"Proxy-Authorization": "Basic " + canaryHeader, "X-Forwarded-For": canaryHeader, "Baggage": "user=" + canaryHeader, "Referer": "http://x/?" + canaryQuery,
		"User-Agent": canaryHeader, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		req.Header.Set(name, value)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var all bytes.Buffer
	fmt.Fprintln(&all, res.Status)
	_ = res.Header.Write(&all)
	_, _ = io.Copy(&all, res.Body)
	return all.String()
}

// Whatever happens, no secret appears where it does not belong.
func TestCanaries(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", canaryEnv) // the library reads the environment of nobody
	t.Setenv("OPENAI_ORG_ID", canaryEnv)
	t.Setenv("OPENAI_CUSTOM_HEADERS", "X-Env: "+canaryEnv)
	a := newAviary(t)

	callers := map[string]string{} // by what was done
	for _, scenario := range canaryScenarios {
		for _, path := range []string{"/generate", "/review"} {
			call := fmt.Sprintf(`{"prompt": "scenario-%s %s"}`, scenario, canaryPrompt)
			if path == "/review" {
				call = fmt.Sprintf(`{"code": "scenario-%s %s"}`, scenario, canaryPrompt)
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
			callers[about+" as somebody else's job"] = a.send(t, "GET", job, "", "Authorization", "Bearer "+canaryGuess)
		}
	}
	for what, request := range map[string][]string{
		"a wrong type":      {"POST", "/generate", `{"prompt": {"x": "` + canaryPrompt + `"}}`},
		"a value too large": {"POST", "/generate", `{"prompt": "x", "max_tokens": "` + canaryPrompt + `"}`},
		"not an enum's":     {"POST", "/generate", `{"prompt": "x", "mode": "` + canaryPrompt + `"}`},
		"an unknown member": {"POST", "/generate", `{"prompt": "x", "` + canaryPrompt + `": 1}`},
		"no JSON":           {"POST", "/generate", `{"prompt": ` + canaryPrompt},
		"a repeated member": {"POST", "/generate", `{"` + canaryPrompt + `": 1, "` + canaryPrompt + `": 2}`},
		"text":              {"POST", "/generate", canaryPrompt, "Content-Type", "text/" + canaryHeader},
		"an odd coding":     {"POST", "/generate", canaryPrompt, "Content-Encoding", canaryHeader},
		"no gzip":           {"POST", "/generate", canaryPrompt, "Content-Encoding", "gzip"},
		"too much":          {"POST", "/generate", strings.Repeat(canaryPrompt, 100_000)},
		"too many tokens":   {"POST", "/generate", `{"prompt": "` + strings.Repeat(canaryPrompt+" ", 2000) + `"}`},
		"an odd key":        {"POST", "/generate", `{"prompt": "x"}`, "Idempotency-Key", canaryHeader + `"(`},
		"an odd preference": {"POST", "/generate", `{"prompt": "x"}`, "Accept", "text/" + canaryHeader},
		"a wrong token":     {"POST", "/generate", `{"prompt": "x"}`, "Authorization", "Bearer " + canaryGuess},
		"a password":        {"POST", "/generate", `{"prompt": "x"}`, "Authorization", "Basic " + canaryGuess},
		"an odd origin":     {"POST", "/generate", `{"prompt": "x"}`, "Origin", "https://evil.example"},
		"an odd request id": {"POST", "/generate", `{"prompt": "x"}`, "X-Request-Id", canaryHeader + " x"},
		"nothing there":     {"GET", "/nothing", ""},
		"an odd method":     {"BREW", "/generate", ""},
		"an odd event":      {"GET", "/jobs/none", "", "Last-Event-ID", canaryHeader},
		"health":            {"GET", "/health", ""},
		"liveness":          {"GET", "/livez", ""},
		"readiness":         {"GET", "/readyz", ""},
		"its checks":        {"GET", "/readyz?verbose", ""},
		"the contract":      {"GET", "/contract", ""},
		"the description":   {"GET", "/openapi.json", ""},
	} {
		callers[what] = a.send(t, request[0], request[1], request[2], request[3:]...)
	}

	outlets := map[string]string{
		"the log": a.log.String(), "the audit": a.audit.String(), "metrics": a.prometheus(t), "traces": a.traces(t),
		"errors": startErrors(), "what %+v prints": fmt.Sprintf("%+v %+v %v %#v %+v %v", a.opts, *a.opts, a.opts, a.provider, a.provider, a.bridge),
	}
	for what, seen := range callers {
		outlets["the answer to "+what] = seen
	}
	store, err := os.ReadFile(a.store)
	if err != nil {
		t.Fatal(err)
	}
	outlets["the answer to whoever reads the store"] = string(store)
	for i, got := range a.upstream.got {
		outlets[fmt.Sprint("upstream ", i)] = got
		header, _, _ := strings.Cut(got, "\n{")
		for line := range strings.Lines(header[strings.Index(header, "\n")+1:]) {
			if name, _, _ := strings.Cut(line, ":"); !slices.Contains(sentUpstream, name) && !strings.HasPrefix(name, "X-Stainless-") {
				t.Errorf("a header that is not the provider's reaches the model's server: %s", line)
			}
		}
	}
	for outlet, seen := range outlets {
		if seen == "" {
			t.Errorf("%s: nothing is seen there, so nothing is tested", outlet)
		}
		for canary, may := range canaries {
			allowed := strings.HasPrefix(outlet, "the answer to ") && may.toCaller || strings.HasPrefix(outlet, "upstream ") && may.toUpstream
			if i := strings.Index(seen, canary); i >= 0 && !allowed {
				t.Errorf("%s shows %s:\n%s", outlet, canary, seen[max(0, i-200):min(len(seen), i+100)])
			}
		}
	}
	for _, want := range []string{"code=upstream_failed", "code=internal", "stack=", "code=schema_violation", "code=invalid_response", "msg=job", "rate_limit_exceeded"} {
		if !strings.Contains(outlets["the log"], want) {
			t.Errorf("the log lacks %s, so the test does not exercise it", want)
		}
	}
	if !strings.Contains(callers["fine /generate"], canaryAnswer) {
		t.Errorf("a good call is not answered well: %s", callers["fine /generate"])
	}
}

func (a *aviary) prometheus(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return w.Body.String()
}

// traces prints every span with all that it carries.
func (a *aviary) traces(t *testing.T) string {
	t.Helper()
	spans := tracetest.SpanStubsFromReadOnlySpans(a.spans.Ended())
	var all bytes.Buffer
	for _, s := range spans {
		fmt.Fprintf(&all, "%s %v %v %v %v %v\n", s.Name, s.Attributes, s.Events, s.Links, s.Status, s.Resource)
	}
	return all.String()
}

// startErrors collects what is said about settings that are wrong.
func startErrors() string {
	var said []string
	add := func(err error) { said = append(said, fmt.Sprintf("%v %+v", err, err)) }
	for _, opts := range []codex.Options{
		{APIKey: canaryKey + "\n"}, {APIKey: canaryKey, BaseURL: "http://user:" + canaryUser + "@localhost/v1"}, {BaseURL: "http://localhost/v1?key=" + canaryQuery},
		{APIKey: canaryKey, BaseURL: "://" + canaryUser}, {APIKey: canaryKey, Model: "a b"},
	} {
		_, err := codex.New(&opts)
		add(err)
	}
	for _, base := range []string{"http://user:" + canaryUser + "@localhost", "http://user:" + canaryUser + "@local host", "localhost/?" + canaryQuery} {
		_, err := caio.NewClient(base, &caio.Options{Token: caio.StaticToken(canaryCAIO)})
		add(err)
	}
	_, err := contract.Parse("contract.yaml", []byte("service: {id: a, api: {base_url: 'http://user:"+canaryUser+"@localhost'}}"))
	add(err)
	env := map[string]string{"OPENAI_API_KEY": canaryKey, "CODEX_BRIDGE_TOKEN": canaryToken, "CODEX_BRIDGE_PORT": "none"}
	_, err = parseConfig(nil, func(name string) string { return env[name] })
	add(err)
	slices.Sort(said)
	return strings.Join(said, "\n")
}
