package bridge

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// Names of the OpenTelemetry semantic conventions (HTTP 1.43.0, GenAI 1.41.0), and the bridge's own under caio.bridge.
// They stand in this file only, for those of GenAI still change.
const (
	scopeName = "github.com/smarthaus/caio-bridge-go/bridge"

	keyMethod    = attribute.Key("http.request.method")
	keyOriginal  = attribute.Key("http.request.method_original")
	keyRoute     = attribute.Key("http.route")
	keyStatus    = attribute.Key("http.response.status_code")
	keyErrorType = attribute.Key("error.type")
	keyScheme    = attribute.Key("url.scheme")
	keyPath      = attribute.Key("url.path")
	keyRequestID = attribute.Key("caio.bridge.request_id")
	keyService   = attribute.Key("caio.bridge.service_id")
	keyOutcome   = attribute.Key("caio.bridge.outcome")
	keyClause    = attribute.Key("caio.bridge.contract_clause")
	keyCurrency  = attribute.Key("caio.bridge.currency")
	keyState     = attribute.Key("caio.bridge.announcement.state")

	keyGenAIOperation = attribute.Key("gen_ai.operation.name")
	keyGenAIProvider  = attribute.Key("gen_ai.provider.name")
	keyGenAIModel     = attribute.Key("gen_ai.response.model")
	keyGenAIAsked     = attribute.Key("gen_ai.request.model")
	keyGenAIInput     = attribute.Key("gen_ai.usage.input_tokens")
	keyGenAIOutput    = attribute.Key("gen_ai.usage.output_tokens")
	keyGenAITokenType = attribute.Key("gen_ai.token.type")
)

// Boundaries of histograms: seconds as the HTTP conventions have them, longer for models; tokens as GenAI's.
var (
	secondBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160}
	tokenBounds  = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
)

var (
	serverSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	clientSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}

	noSpan trace.Span = tracenoop.Span{}
)

// telemetry holds what is measured of calls. Without a MeterProvider and a TracerProvider everything in it does nothing.
type telemetry struct {
	tracer    trace.Tracer
	meter     metric.Meter
	propagate propagation.TraceContext // W3C trace context; baggage of callers is not passed on

	ofRequests   labels[requestKind]
	ofAdmissions labels[[3]string] // route, outcome, clause
	ofRoutes     labels[string]
	ofTokens     labels[tokenKind]
	ofOutcomes   labels[[3]string] // route, outcome, error code

	requests   metric.Float64Histogram
	active     metric.Int64UpDownCounter
	admissions metric.Int64Counter
	provider   metric.Float64Histogram
	firstEvent metric.Float64Histogram
	tokens     metric.Int64Histogram
	spent      metric.Float64Counter
	activeJobs metric.Int64UpDownCounter
	jobs       metric.Float64Histogram
	repeated   metric.Int64Counter
	bodies     metric.Int64UpDownCounter
	checks     metric.Float64Histogram

	schemaChecks metric.Int64UpDownCounter // in progress or waiting
	refused      metric.Int64Counter
}

func newTelemetry(opts *Options) (*telemetry, error) {
	tracers, meters := opts.TracerProvider, opts.MeterProvider
	if tracers == nil {
		tracers = tracenoop.NewTracerProvider()
	}
	if meters == nil {
		meters = metricnoop.NewMeterProvider()
	}
	t := &telemetry{tracer: tracers.Tracer(scopeName)}
	meter := meters.Meter(scopeName)
	t.meter = meter
	seconds := func(name, description string) (metric.Float64Histogram, error) {
		return meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(secondBounds...))
	}
	var errs [14]error
	t.requests, errs[0] = seconds("http.server.request.duration", "Duration of HTTP requests, the wrapped service included.")
	t.provider, errs[1] = seconds("caio.bridge.provider.duration", "Time that calls spent in the provider; what is left of the request's duration is the bridge's own.")
	t.firstEvent, errs[2] = seconds("caio.bridge.time_to_first_event", "Time from a request to the first event of its stream.")
	t.active, errs[3] = meter.Int64UpDownCounter("http.server.active_requests", metric.WithUnit("{request}"), metric.WithDescription("HTTP requests in progress."))
	t.admissions, errs[4] = meter.Int64Counter("caio.bridge.admissions", metric.WithUnit("{call}"), metric.WithDescription("Calls that were admitted, or refused by a limit or another clause of the contract."))
	t.tokens, errs[5] = meter.Int64Histogram("gen_ai.client.token.usage", metric.WithUnit("{token}"), metric.WithDescription("Tokens per call of a model."), metric.WithExplicitBucketBoundaries(tokenBounds...))
	t.spent, errs[6] = meter.Float64Counter("caio.bridge.cost", metric.WithUnit("1"), metric.WithDescription("What calls cost by the contract's prices, in the currency that the attribute names."))
	t.activeJobs, errs[7] = meter.Int64UpDownCounter("caio.bridge.active_jobs", metric.WithUnit("{job}"), metric.WithDescription("Jobs in progress."))
	t.jobs, errs[8] = seconds("caio.bridge.job.duration", "Duration of jobs, by outcome.")
	t.repeated, errs[9] = meter.Int64Counter("caio.bridge.repeated_calls", metric.WithUnit("{call}"), metric.WithDescription("Calls whose Idempotency-Key was known: replayed, refused because the first is in progress, or because they are not the same."))
	t.bodies, errs[10] = meter.Int64UpDownCounter("caio.bridge.body_bytes", metric.WithUnit("By"), metric.WithDescription("Bytes of request bodies of more than 64 KiB whose calls are not admitted yet."))
	t.refused, errs[11] = meter.Int64Counter("caio.bridge.refused_bodies", metric.WithUnit("{request}"), metric.WithDescription("Request bodies that were not received because too many large ones arrived at the same time: the slowest, or new ones without room."))
	t.checks, errs[12] = seconds("caio.bridge.schema_check.duration", "Time of checks against a schema that need its engine, the wait for other checks included.")
	t.schemaChecks, errs[13] = meter.Int64UpDownCounter("caio.bridge.active_schema_checks", metric.WithUnit("{check}"), metric.WithDescription("Checks against a schema that need its engine, in progress or waiting for others."))
	return t, errors.Join(errs[:]...)
}

// announces measures how the announcement of the bridge's service stands, until stop is called.
func (t *telemetry) announces(b *Bridge) (stop func(), err error) {
	gauge, err := t.meter.Int64ObservableGauge("caio.bridge.announced", metric.WithUnit("{service}"), metric.WithDescription("1 if the orchestrator confirmed the service's registration when last asked, else 0."))
	if err != nil {
		return nil, err
	}
	registration, err := t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		word, value := b.announcement(), int64(0)
		if word == "registered" {
			value = 1
		}
		if word != "" {
			o.ObserveInt64(gauge, value, metric.WithAttributes(keyService.String(b.service.Load().contract.ID), keyState.String(word)))
		}
		return nil
	}, gauge)
	if err != nil {
		return nil, err
	}
	return func() { _ = registration.Unregister() }, nil // it can only have been unregistered before
}

// begin starts the server span of a request, as a child of the caller's.
func (t *telemetry) begin(r *http.Request, requestID, serviceID string) (context.Context, trace.Span) {
	ctx := t.propagate.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, spanName(r), serverSpan...)
	if span.IsRecording() {
		if methodName(r) == otherMethod {
			span.SetAttributes(keyOriginal.String(shorten(r.Method)))
		}
		span.SetAttributes(keyMethod.String(methodName(r)), keyScheme.String(schemeOf(r)), keyPath.String(shorten(r.URL.Path)), keyRequestID.String(requestID), keyService.String(serviceID))
	}
	if t.active.Enabled(ctx) {
		t.active.Add(ctx, 1, t.ofRequest(r, "", 0, "").add...)
	}
	return ctx, span
}

// end records what became of a request.
func (t *telemetry) end(ctx context.Context, span trace.Span, x *exchange, status int) {
	code := ""
	if x.failure != nil {
		code = x.failure.code()
	}
	if span.IsRecording() {
		if x.route != "" {
			span.SetName(spanName(x.r) + " " + x.route)
			span.SetAttributes(keyRoute.String(x.route))
		}
		span.SetAttributes(keyStatus.Int(status))
		if code != "" {
			span.SetAttributes(keyErrorType.String(code))
		}
		if status >= 500 {
			span.SetStatus(codes.Error, code) // never the cause: spans leave the process
		}
	}
	span.End()
	if t.active.Enabled(ctx) {
		t.active.Add(ctx, -1, t.ofRequest(x.r, "", 0, "").add...)
	}
	if t.requests.Enabled(ctx) {
		t.requests.Record(ctx, time.Since(x.start).Seconds(), t.ofRequest(x.r, x.route, status, code).record...)
	}
}

// A requestKind is what measurements tell of a request: method and scheme of one in progress, and how it ended.
type requestKind struct {
	method, scheme, route, code string
	status                      int // 0: in progress
}

func (t *telemetry) ofRequest(r *http.Request, route string, status int, code string) *label {
	kind := requestKind{methodName(r), schemeOf(r), route, code, status}
	return t.ofRequests.of(kind, func() []attribute.KeyValue {
		attrs := []attribute.KeyValue{keyMethod.String(kind.method), keyScheme.String(kind.scheme)}
		if status != 0 {
			attrs = append(attrs, keyStatus.Int(status))
		}
		if route != "" {
			attrs = append(attrs, keyRoute.String(route))
		}
		if code != "" {
			attrs = append(attrs, keyErrorType.String(code))
		}
		return attrs
	})
}

// admitted counts a call that the limits let through, or one that they, or another clause of the contract, refused.
func (t *telemetry) admitted(ctx context.Context, route string, refused *Error) {
	if !t.admissions.Enabled(ctx) {
		return
	}
	kind := [3]string{route, "admitted"}
	if refused != nil {
		kind[1], kind[2] = "refused", refused.Clause
	}
	t.admissions.Add(ctx, 1, t.ofAdmissions.of(kind, func() []attribute.KeyValue {
		attrs := []attribute.KeyValue{keyRoute.String(route), keyOutcome.String(kind[1])}
		if refused != nil {
			attrs = append(attrs, keyClause.String(kind[2]))
		}
		return attrs
	}).add...)
}

func (t *telemetry) ofRoute(route string) *label {
	return t.ofRoutes.of(route, func() []attribute.KeyValue { return []attribute.KeyValue{keyRoute.String(route)} })
}

// call starts the client span of a call to the wrapped service, if the request's own span is kept. [ReportUsage] gives it its
// GenAI name.
func (t *telemetry) call(ctx context.Context, x *exchange) (context.Context, func(error)) {
	start := time.Now()
	span := noSpan
	if x.traced {
		ctx, span = t.tracer.Start(ctx, "call provider", clientSpan...)
	}
	return ctx, func(err error) {
		code := ""
		if err != nil {
			code = classify(err).code()
			span.SetAttributes(keyErrorType.String(code))
			span.SetStatus(codes.Error, code)
		}
		span.End()
		if t.provider.Enabled(ctx) {
			t.provider.Record(ctx, time.Since(start).Seconds(), t.ofOutcome(x.route, "", code).record...)
		}
	}
}

// began records that the first event of a stream went out.
func (t *telemetry) began(ctx context.Context, x *exchange) {
	if t.firstEvent.Enabled(ctx) {
		t.firstEvent.Record(ctx, time.Since(x.start).Seconds(), t.ofRoute(x.route).record...)
	}
}

// used records what a call of a model took.
func (t *telemetry) used(ctx context.Context, u Usage, cost *contract.Cost) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetName(u.Operation + " " + cmp.Or(u.RequestModel, u.Model))
		span.SetAttributes(u.attributes()...)
		if u.Model != "" {
			span.SetAttributes(keyGenAIInput.Int64(u.InputTokens), keyGenAIOutput.Int64(u.OutputTokens))
		}
	}
	if u.Model == "" {
		return // none answered
	}
	if t.tokens.Enabled(ctx) {
		t.tokens.Record(ctx, u.InputTokens, t.ofModel(u, keyGenAITokenType, "input").record...)
		t.tokens.Record(ctx, u.OutputTokens, t.ofModel(u, keyGenAITokenType, "output").record...)
	}
	if spent, ok := price(u, cost); ok && t.spent.Enabled(ctx) {
		t.spent.Add(ctx, spent, t.ofModel(u, keyCurrency, cost.Currency).add...)
	}
}

// attributes name the model, and who runs it.
func (u Usage) attributes() []attribute.KeyValue {
	about := []attribute.KeyValue{keyGenAIOperation.String(u.Operation), keyGenAIProvider.String(u.Provider)}
	if u.Model != "" {
		about = append(about, keyGenAIModel.String(u.Model))
	}
	if u.RequestModel != "" {
		about = append(about, keyGenAIAsked.String(u.RequestModel))
	}
	return about
}

// A tokenKind is what measurements of a model's use are about.
type tokenKind struct{ operation, provider, model, asked, detail string }

func (t *telemetry) ofModel(u Usage, key attribute.Key, detail string) *label {
	return t.ofTokens.of(tokenKind{u.Operation, u.Provider, u.Model, u.RequestModel, detail}, func() []attribute.KeyValue {
		return append(u.attributes(), key.String(detail))
	})
}

// price returns what a call costs by the contract, if the contract says.
func price(u Usage, cost *contract.Cost) (amount float64, stated bool) {
	if cost == nil {
		return 0, false
	}
	if cost.BaseCost != nil {
		amount, stated = *cost.BaseCost, true
	}
	if cost.TokenCost != nil {
		amount, stated = amount+*cost.TokenCost*float64(u.InputTokens+u.OutputTokens), true
	}
	return amount, stated
}

// job measures a job, of which ended tells what became of it.
func (t *telemetry) job(ctx context.Context, route string) (ended func(keptState)) {
	start := time.Now()
	t.activeJobs.Add(ctx, 1, t.ofRoute(route).add...)
	return func(s keptState) {
		t.activeJobs.Add(ctx, -1, t.ofRoute(route).add...)
		t.jobs.Record(ctx, time.Since(start).Seconds(), t.ofOutcome(route, string(s.Status), s.Code).record...)
	}
}

// repeats counts a call whose Idempotency-Key was known, which was answered as the first one unless there is an error.
func (t *telemetry) repeats(ctx context.Context, route string, err error) {
	outcome := "replayed"
	if err != nil {
		outcome = classify(err).code()
	}
	t.repeated.Add(ctx, 1, t.ofOutcome(route, outcome, "").add...)
}

// schemaChecked measures a check that needed the engine: "valid", "refused" or "unchecked".
func (t *telemetry) schemaChecked(ctx context.Context, route, outcome string, lasted time.Duration) {
	t.checks.Record(ctx, lasted.Seconds(), t.ofOutcome(route, outcome, "").record...)
}

// bodiesGrew measures what the budget of bodies counts.
func (t *telemetry) bodiesGrew(bytes int64) { t.bodies.Add(context.Background(), bytes) }

// bodyRefused counts a body that the budget refused: the "slowest" one, or one with "no_room".
func (t *telemetry) bodyRefused(ctx context.Context, route, outcome string) {
	t.refused.Add(ctx, 1, t.ofOutcome(route, outcome, "").add...)
}

func (t *telemetry) ofOutcome(route, outcome, code string) *label {
	return t.ofOutcomes.of([3]string{route, outcome, code}, func() []attribute.KeyValue {
		attrs := []attribute.KeyValue{keyRoute.String(route)}
		if outcome != "" {
			attrs = append(attrs, keyOutcome.String(outcome))
		}
		if code != "" {
			attrs = append(attrs, keyErrorType.String(code))
		}
		return attrs
	})
}

func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

const otherMethod = "_OTHER"

// methodName keeps the names of methods few, whatever callers send: those of RFC 9110 and PATCH.
func methodName(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return r.Method
	}
	return otherMethod
}

// spanName is the first word of the name of a request's span.
func spanName(r *http.Request) string {
	if name := methodName(r); name != otherMethod {
		return name
	}
	return "HTTP"
}

// Usage is what one call of a model took, as the wrapped service counted it. Names are those of the OpenTelemetry
// conventions for generative AI.
type Usage struct {
	Provider     string // gen_ai.provider.name, such as "openai"
	Operation    string // gen_ai.operation.name, such as "chat"
	Model        string // that answered: gen_ai.response.model; "" if none did
	RequestModel string // that was asked for, if known: gen_ai.request.model
	InputTokens  int64  // cached ones included
	OutputTokens int64  // those of reasoning included
}

// ReportUsage tells the bridge what a call of a model took, for traces, metrics, the log and [Options.Audit]. A handler
// calls it once for each such call, with its own ctx. Of a call that failed it tells who was asked, without Model: then its span
// has its name, and no tokens are counted. Outside of a handler it does nothing. Negative counts count as 0, and long names are cut.
func ReportUsage(ctx context.Context, u Usage) {
	x := exchangeOf(ctx)
	if x == nil {
		return
	}
	u.InputTokens, u.OutputTokens = max(0, u.InputTokens), max(0, u.OutputTokens)
	u.Provider, u.Operation = shorten(u.Provider), shorten(u.Operation)
	u.Model, u.RequestModel = shorten(u.Model), shorten(u.RequestModel) // which wrapped services choose, or operators
	x.addUsage(u)
	x.bridge.telemetry.used(ctx, u, x.service.contract.Cost)
}
