package bridge_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	genai "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// instruments collect what a bridge reports.
type instruments struct {
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	opts   bridge.Options
	mu     sync.Mutex
	calls  []bridge.Call
}

func instrument(t *testing.T) *instruments {
	i := &instruments{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(i.spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(i.reader))
	t.Cleanup(func() {
		_ = tracers.Shutdown(context.Background())
		_ = meters.Shutdown(context.Background())
	})
	i.opts = bridge.Options{TracerProvider: tracers, MeterProvider: meters, Audit: func(_ context.Context, c bridge.Call) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.calls = append(i.calls, c)
	}}
	return i
}

// collect reads all metrics.
func (i *instruments) collect(t *testing.T) (all []metricdata.Metrics) {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := i.reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	for _, scope := range collected.ScopeMetrics {
		all = append(all, scope.Metrics...)
	}
	return all
}

// sums returns the metric's value per set of attributes: counts of histograms, sums of counters, values of gauges.
func (i *instruments) sums(t *testing.T, name string) map[string]float64 {
	t.Helper()
	sums := map[string]float64{}
	for _, m := range i.collect(t) {
		if m.Name != name {
			continue
		}
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				sums[words(p.Attributes)] = float64(p.Count)
			}
		case metricdata.Histogram[int64]:
			for _, p := range data.DataPoints {
				sums[words(p.Attributes)] = float64(p.Sum)
			}
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				sums[words(p.Attributes)] = float64(p.Value)
			}
		case metricdata.Gauge[int64]:
			for _, p := range data.DataPoints {
				sums[words(p.Attributes)] = float64(p.Value)
			}
		case metricdata.Sum[float64]:
			for _, p := range data.DataPoints {
				sums[words(p.Attributes)] = p.Value
			}
		}
	}
	return sums
}

func words(set attribute.Set) string {
	var all []string
	for _, kv := range set.ToSlice() {
		all = append(all, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestTelemetryOfCalls(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	c := loadContract(t,
		"max_concurrent_requests: 2", "rate_limit: {per_hour: 2}",
		"  constraints:", "  cost: {model: per_token, token_cost: 0.5, currency: USD}\n  constraints:")
	srv := serve(t, newBridge(t, c, shouter(func(ctx context.Context, req shoutRequest, _ func(word) error) (shoutResponse, error) {
		if req.Text == "fail" {
			return shoutResponse{}, &bridge.Error{Code: bridge.CodeUpstreamFailed, Cause: errors.New("sk-secret")}
		}
		bridge.ReportUsage(ctx, bridge.Usage{Provider: "openai", Operation: "chat", Model: "m-1", InputTokens: 10, OutputTokens: 4})
		return shoutResponse{"A"}, nil
	}), &i.opts))
	for _, body := range []string{`{"text": "a"}`, `{"text": "fail"}`, `{"text": "a"}`} { // the third is one too many
		post(t, srv, "/shout", body, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	}
	srv.Close() // the last record is made after the answer

	for name, want := range map[string]map[string]float64{
		"http.server.request.duration": {
			"http.request.method=POST http.response.status_code=200 http.route=/shout url.scheme=http":                            1,
			"error.type=upstream_failed http.request.method=POST http.response.status_code=502 http.route=/shout url.scheme=http": 1,
			"error.type=rate_limited http.request.method=POST http.response.status_code=429 http.route=/shout url.scheme=http":    1,
		},
		"http.server.active_requests":   {"http.request.method=POST url.scheme=http": 0},
		"caio.bridge.provider.duration": {"http.route=/shout": 1, "error.type=upstream_failed http.route=/shout": 1},
		"caio.bridge.admissions": {
			"caio.bridge.outcome=admitted http.route=/shout":                                                            2,
			"caio.bridge.contract_clause=constraints.rate_limit.per_hour caio.bridge.outcome=refused http.route=/shout": 1,
		},
		"gen_ai.client.token.usage": {
			"gen_ai.operation.name=chat gen_ai.provider.name=openai gen_ai.response.model=m-1 gen_ai.token.type=input":  10,
			"gen_ai.operation.name=chat gen_ai.provider.name=openai gen_ai.response.model=m-1 gen_ai.token.type=output": 4,
		},
		"caio.bridge.cost": {"caio.bridge.currency=USD gen_ai.operation.name=chat gen_ai.provider.name=openai gen_ai.response.model=m-1": 7},
	} {
		if diff := gocmp.Diff(want, i.sums(t, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	var spans []string
	for _, s := range i.spans.Ended() {
		spans = append(spans, fmt.Sprintf("%s %s %s", s.Name(), s.SpanKind(), s.Status().Code))
		if s.SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("span %s is not part of the caller's trace", s.Name())
		}
		if s.Status().Code == codes.Error && strings.Contains(s.Status().Description, "sk-secret") {
			t.Error("a span shows the cause of an error")
		}
	}
	slices.Sort(spans)
	want := []string{"POST /shout server Error", "POST /shout server Unset", "POST /shout server Unset", "call provider client Error", "chat m-1 client Unset"}
	if diff := gocmp.Diff(want, spans); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}

	slices.SortFunc(i.calls, func(a, b bridge.Call) int { return cmp.Compare(a.Status, b.Status) })
	var audit []string
	for _, call := range i.calls {
		audit = append(audit, fmt.Sprintf("%s %s %d %q %d+%d %v", call.Method, call.Route, call.Status, call.Code, call.Usage.InputTokens, call.Usage.OutputTokens, call.Duration > 0 && !call.Start.IsZero() && call.RequestID != ""))
	}
	want = []string{`POST /shout 200 "" 10+4 true`, `POST /shout 429 "rate_limited" 0+0 true`, `POST /shout 502 "upstream_failed" 0+0 true`}
	if diff := gocmp.Diff(want, audit); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

// Jobs are measured while they run and by what became of them; repeated calls by what they got.
func TestTelemetryOfJobs(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 9"), shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
			if req.Text == "fail" {
				return shoutResponse{}, &bridge.Error{Code: bridge.CodeUpstreamFailed}
			}
			select {
			case <-time.After(time.Duration(req.Times) * time.Minute):
			case <-ctx.Done():
				return shoutResponse{}, ctx.Err()
			}
			return shout(ctx, req, send)
		}), &bridge.Options{TracerProvider: i.opts.TracerProvider, MeterProvider: i.opts.MeterProvider, Jobs: bridge.JobOptions{Timeout: 5 * time.Minute}})
		inBubble(t, b, func(client *http.Client) {
			call := func(body, key string, header ...string) reply {
				return send(t, client, newRequest(t, "POST", shoutURL, body, append(header, "Idempotency-Key", key)...))
			}
			const async = "respond-async"
			call(`{"text": "a", "times": 1}`, "good", "Prefer", async)
			call(`{"text": "fail"}`, "bad", "Prefer", async)
			call(`{"text": "a", "times": 9}`, "long", "Prefer", async)
			cancelled := call(`{"text": "a", "times": 2}`, "cancelled", "Prefer", async)
			synctest.Wait()
			if diff := gocmp.Diff(map[string]float64{"http.route=/shout": 3}, i.sums(t, "caio.bridge.active_jobs")); diff != "" {
				t.Errorf("while they run (-want +got):\n%s", diff)
			}
			call(`{"text": "a", "times": 1}`, "good") // while it runs
			fetchURL(t, client, "DELETE", origin+cancelled.Header.Get("Location"))
			time.Sleep(6 * time.Minute)
			call(`{"text": "a", "times": 1}`, "good")
			call(`{"text": "a", "times": 1}`, "good", "Prefer", async)
			call(`{"text": "b"}`, "good")
			call(`{"text": "a"}`, "new")
		})
	})
	for name, want := range map[string]map[string]float64{
		"caio.bridge.active_jobs": {"http.route=/shout": 0},
		"caio.bridge.job.duration": {
			"caio.bridge.outcome=succeeded http.route=/shout":                         1,
			"caio.bridge.outcome=failed error.type=upstream_failed http.route=/shout": 1,
			"caio.bridge.outcome=failed error.type=timeout http.route=/shout":         1,
			"caio.bridge.outcome=cancelled error.type=cancelled http.route=/shout":    1,
		},
		"caio.bridge.repeated_calls": {
			"caio.bridge.outcome=replayed http.route=/shout":               2,
			"caio.bridge.outcome=idempotency_key_in_use http.route=/shout": 1,
			"caio.bridge.outcome=idempotency_key_reused http.route=/shout": 1,
		},
	} {
		if diff := gocmp.Diff(want, i.sums(t, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What has a name in the conventions has that name here, its unit, and the attributes that are required.
func TestNamesAreThoseOfTheConventions(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	c := loadContract(t, "  constraints:", "  cost: {model: per_token, token_cost: 0.5, currency: USD}\n  constraints:")
	srv := serve(t, newBridge(t, c, shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
		bridge.ReportUsage(ctx, bridge.Usage{Provider: "openai", Operation: "chat", Model: "m-1-2026", RequestModel: "m-1", InputTokens: 10, OutputTokens: 4})
		return shout(ctx, req, send)
	}), &i.opts))
	post(t, srv, "/shout", `{"text": "a"}`, wantEvents...)
	post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async", "Idempotency-Key", "k")
	post(t, srv, "/shout", `{"text": "b"}`, "Idempotency-Key", "k")
	srv.Close()
	type convention struct {
		unit     string
		required []attribute.Key
	}
	conventions := map[string]convention{
		httpconv.ServerRequestDuration{}.Name(): {httpconv.ServerRequestDuration{}.Unit(), []attribute.Key{semconv.HTTPRequestMethodKey, semconv.URLSchemeKey, semconv.HTTPResponseStatusCodeKey, semconv.HTTPRouteKey}},
		httpconv.ServerActiveRequests{}.Name():  {httpconv.ServerActiveRequests{}.Unit(), []attribute.Key{semconv.HTTPRequestMethodKey, semconv.URLSchemeKey}},
		genaiconv.ClientTokenUsage{}.Name():     {genaiconv.ClientTokenUsage{}.Unit(), []attribute.Key{genai.GenAIOperationNameKey, genai.GenAIProviderNameKey, genai.GenAITokenTypeKey, genai.GenAIRequestModelKey, genai.GenAIResponseModelKey}},
	}
	page, err := os.ReadFile("../docs/external_services.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range i.collect(t) {
		if !strings.Contains(string(page), "`"+m.Name+"`") {
			t.Errorf("%s is not documented in docs/external_services.md", m.Name)
		}
		known, ok := conventions[m.Name]
		if !ok {
			if !strings.HasPrefix(m.Name, "caio.bridge.") || m.Unit == "" || m.Description == "" {
				t.Errorf("%s (%s): want a name of the conventions, or one below caio.bridge with unit and description", m.Name, m.Unit)
			}
			continue
		}
		found++
		if m.Unit != known.unit {
			t.Errorf("%s is in %s, want %s", m.Name, m.Unit, known.unit)
		}
		for _, set := range attributesOf(m.Data) {
			for _, key := range known.required {
				if !set.HasValue(key) {
					t.Errorf("%s lacks %s: %s", m.Name, key, words(set))
				}
			}
		}
	}
	if found != len(conventions) {
		t.Errorf("%d of %d conventional instruments were used", found, len(conventions))
	}
	for _, span := range i.spans.Ended() {
		var keys []attribute.Key
		for _, kv := range span.Attributes() {
			keys = append(keys, kv.Key)
		}
		required := []attribute.Key{semconv.HTTPRequestMethodKey, semconv.URLPathKey, semconv.URLSchemeKey, semconv.HTTPRouteKey, semconv.HTTPResponseStatusCodeKey}
		if span.SpanKind() == trace.SpanKindClient {
			if span.Name() != "chat m-1" {
				t.Errorf("span %s, want the operation and the model that was asked for", span.Name())
			}
			required = []attribute.Key{genai.GenAIOperationNameKey, genai.GenAIProviderNameKey, genai.GenAIRequestModelKey, genai.GenAIResponseModelKey, genai.GenAIUsageInputTokensKey, genai.GenAIUsageOutputTokensKey}
		}
		for _, key := range required {
			if !slices.Contains(keys, key) {
				t.Errorf("span %s lacks %s: %v", span.Name(), key, keys)
			}
		}
	}
}

// attributesOf returns the attributes of every data point.
func attributesOf(data metricdata.Aggregation) (sets []attribute.Set) {
	switch data := data.(type) {
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	}
	return sets
}

// A method that nobody knows is told apart in traces, as the conventions want it, and fills neither metrics nor the log.
func TestUnknownMethods(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	var log logBuffer
	i.opts.Logger = log.logger()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &i.opts))
	brew := "BREW" + strings.Repeat("W", 1000)
	for _, method := range []string{brew, "TRACE"} {
		if got := send(t, srv.Client(), newRequest(t, method, srv.URL+"/shout", "")); got.Status != 405 {
			t.Errorf("%.9s = %d, want 405", method, got.Status)
		}
	}
	srv.Close()
	var got []string
	for _, s := range i.spans.Ended() {
		set := attribute.NewSet(s.Attributes()...)
		method, _ := set.Value(semconv.HTTPRequestMethodKey)
		original, _ := set.Value(semconv.HTTPRequestMethodOriginalKey)
		got = append(got, strings.TrimSpace(s.Name()+" "+method.String()+" "+original.String()))
	}
	slices.Sort(got)
	if diff := gocmp.Diff([]string{"HTTP _OTHER " + brew[:80] + "…", "TRACE TRACE"}, got); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if strings.Contains(log.String(), brew) || !strings.Contains(log.String(), brew[:80]) {
		t.Errorf("the log names the method in full, or not at all:\n%s", log.String())
	}
	if got := i.sums(t, "http.server.active_requests"); len(got) != 2 {
		t.Errorf("requests are measured by %v", got)
	}
}

// Streams that follow a job are not measured: when they begin says nothing of the wrapped service.
func TestTimeToFirstEvent(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &i.opts))
	job := post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async")
	get(t, srv, job.Header.Get("Location"), wantEvents...)
	post(t, srv, "/shout", `{"text": "a"}`, wantEvents...)
	post(t, srv, "/shout", `{"text": "a"}`)
	if diff := gocmp.Diff(map[string]float64{"http.route=/shout": 1}, i.sums(t, "caio.bridge.time_to_first_event")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The trace goes on to the wrapped service; what else the caller sent does not.
func TestTracePropagation(t *testing.T) {
	t.Parallel()
	var seen http.Header
	wrapped := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	t.Cleanup(wrapped.Close)
	client, err := upstream.New(&upstream.Options{AllowHosts: []string{wrapped.URL}, Proxy: http.ProxyURL(nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	i := instrument(t)
	srv := serve(t, newBridge(t, loadContract(t), shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, wrapped.URL, nil)
		if err != nil {
			return shoutResponse{}, err
		}
		res, err := client.Do(req)
		if err != nil {
			return shoutResponse{}, err
		}
		return shoutResponse{"A"}, res.Body.Close()
	}), &i.opts))
	got := post(t, srv, "/shout", `{"text": "a"}`, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"tracestate", "a=b", "Baggage", "user=secret", "Authorization", "Bearer secret", "X-Forwarded-For", "1.2.3.4")
	if got.Status != 200 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if parent := seen.Get("Traceparent"); !strings.HasPrefix(parent, "00-0af7651916cd43dd8448eb211c80319c-") || strings.Contains(parent, "b7ad6b7169203331") {
		t.Errorf("traceparent = %q, want the caller's trace and a span of the bridge", parent)
	}
	for name := range seen {
		if !slices.Contains([]string{"Traceparent", "Tracestate", "User-Agent", "Accept-Encoding"}, name) {
			t.Errorf("header %s: %s reached the wrapped service", name, seen.Get(name))
		}
	}
}

// What a wrapped service calls its model does not fill the log, nor the memory of what measures.
func TestLongNamesOfModels(t *testing.T) {
	t.Parallel()
	told := make(chan bridge.Call, 1)
	srv := serve(t, newBridge(t, loadContract(t), shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
		bridge.ReportUsage(ctx, bridge.Usage{Provider: "openai", Operation: "chat", Model: strings.Repeat("m", 1<<20), InputTokens: -1, OutputTokens: 1})
		return shout(ctx, req, send)
	}), &bridge.Options{Audit: func(_ context.Context, c bridge.Call) { told <- c }}))
	post(t, srv, "/shout", `{"text": "a"}`)
	want := bridge.Usage{Provider: "openai", Operation: "chat", Model: strings.Repeat("m", 80) + "…", OutputTokens: 1}
	if diff := gocmp.Diff(want, (<-told).Usage); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}
