// Package telemetry records OpenTelemetry traces and metrics of a bridge.
package telemetry

import (
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

	"github.com/smarthaus/caio-bridge-go/internal/text"
)

var (
	serverSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	clientSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}

	noSpan trace.Span = tracenoop.Span{}
)

// A Recorder records spans and measurements. It is safe for concurrent use.
type Recorder struct {
	tracer    trace.Tracer
	meter     metric.Meter
	propagate propagation.TraceContext // without baggage: it would reach the wrapped service

	requestAttrs   attrCache[requestKind]
	admissionAttrs attrCache[[3]string] // by route, outcome, clause
	routeAttrs     attrCache[string]
	modelAttrs     attrCache[modelKind]
	outcomeAttrs   attrCache[[3]string] // by route, outcome, error code

	instruments
}

// New returns a Recorder, or the error of an instrument that cannot be made. A nil provider records
// nothing.
func New(tracers trace.TracerProvider, meters metric.MeterProvider) (*Recorder, error) {
	if tracers == nil {
		tracers = tracenoop.NewTracerProvider()
	}
	if meters == nil {
		meters = metricnoop.NewMeterProvider()
	}
	r := &Recorder{tracer: tracers.Tracer(scopeName), meter: meters.Meter(scopeName)}
	return r, r.create(r.meter)
}

// A Request is a request in progress.
type Request struct {
	method, scheme string
	start          time.Time
	span           trace.Span
	recorded       bool // also true after the span has ended, while a job goes on
}

// TraceID returns the id of the request's trace, "" if there is none.
func (q *Request) TraceID() string {
	if span := q.span.SpanContext(); span.IsValid() {
		return span.TraceID().String()
	}
	return ""
}

// Begin starts the server span of a request as a child of the caller's span.
func (r *Recorder) Begin(h *http.Request, start time.Time, requestID, serviceID string) (context.Context, Request) {
	q := Request{method: methodName(h), scheme: scheme(h), start: start}
	ctx := r.propagate.Extract(h.Context(), propagation.HeaderCarrier(h.Header))
	ctx, q.span = r.tracer.Start(ctx, q.spanName(), serverSpan...)
	if q.recorded = q.span.IsRecording(); q.recorded {
		if q.method == otherMethod {
			q.span.SetAttributes(keyOriginal.String(text.Clip(h.Method)))
		}
		q.span.SetAttributes(keyMethod.String(q.method), keyScheme.String(q.scheme),
			keyPath.String(text.Clip(h.URL.Path)), keyRequestID.String(requestID), keyService.String(serviceID))
	}
	if r.active.Enabled(ctx) {
		r.active.Add(ctx, 1, r.ofRequest(&q, "", 0, "").add...)
	}
	return ctx, q
}

// End ends the span of a request. Route is "" if no route matched, code is "" for a success.
func (r *Recorder) End(ctx context.Context, q *Request, route string, status int, code string) {
	if q.span.IsRecording() {
		if route != "" {
			q.span.SetName(q.spanName() + " " + route)
			q.span.SetAttributes(keyRoute.String(route))
		}
		q.span.SetAttributes(keyStatus.Int(status))
		if code != "" {
			q.span.SetAttributes(keyErrorType.String(code))
		}
		if status >= 500 {
			q.span.SetStatus(codes.Error, code) // without the cause: spans leave the process
		}
	}
	q.span.End()
	if r.active.Enabled(ctx) {
		r.active.Add(ctx, -1, r.ofRequest(q, "", 0, "").add...)
	}
	if r.requests.Enabled(ctx) {
		r.requests.Record(ctx, time.Since(q.start).Seconds(), r.ofRequest(q, route, status, code).record...)
	}
}

// A requestKind is the key of a request's attributes. Status is 0 for one in progress.
type requestKind struct {
	method, scheme, route, code string
	status                      int
}

func (r *Recorder) ofRequest(q *Request, route string, status int, code string) *attrSet {
	kind := requestKind{q.method, q.scheme, route, code, status}
	return r.requestAttrs.get(kind, func() []attribute.KeyValue {
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

// Admitted counts an admitted call.
func (r *Recorder) Admitted(ctx context.Context, route string) {
	r.admission(ctx, route, "admitted", "")
}

// Refused counts a call that a limit or another clause of the contract refused.
func (r *Recorder) Refused(ctx context.Context, route, clause string) {
	r.admission(ctx, route, "refused", clause)
}

func (r *Recorder) admission(ctx context.Context, route, outcome, clause string) {
	if !r.admissions.Enabled(ctx) {
		return
	}
	set := r.admissionAttrs.get([3]string{route, outcome, clause}, func() []attribute.KeyValue {
		attrs := []attribute.KeyValue{keyRoute.String(route), keyOutcome.String(outcome)}
		if outcome == "refused" {
			attrs = append(attrs, keyClause.String(clause))
		}
		return attrs
	})
	r.admissions.Add(ctx, 1, set.add...)
}

// Call starts the client span of a call to the wrapped service, if the request's span is recorded.
// The caller passes the error code, "" for a success, to ended.
func (r *Recorder) Call(ctx context.Context, q *Request, route string) (_ context.Context, ended func(code string)) {
	start := time.Now()
	span := noSpan
	if q.recorded {
		ctx, span = r.tracer.Start(ctx, "call provider", clientSpan...)
	}
	return ctx, func(code string) {
		if code != "" {
			span.SetAttributes(keyErrorType.String(code))
			span.SetStatus(codes.Error, code)
		}
		span.End()
		if r.provider.Enabled(ctx) {
			r.provider.Record(ctx, time.Since(start).Seconds(), r.ofOutcome(route, "", code).record...)
		}
	}
}

// FirstEvent measures the time to the first event of a stream.
func (r *Recorder) FirstEvent(ctx context.Context, q *Request, route string) {
	if r.firstEvent.Enabled(ctx) {
		r.firstEvent.Record(ctx, time.Since(q.start).Seconds(), r.ofRoute(route).record...)
	}
}

// Job counts a job in progress until the caller passes its outcome to ended.
func (r *Recorder) Job(ctx context.Context, route string) (ended func(status, code string)) {
	start := time.Now()
	r.activeJobs.Add(ctx, 1, r.ofRoute(route).add...)
	return func(status, code string) {
		r.activeJobs.Add(ctx, -1, r.ofRoute(route).add...)
		r.jobs.Record(ctx, time.Since(start).Seconds(), r.ofOutcome(route, status, code).record...)
	}
}

// Repeated counts a call with a known Idempotency-Key: replayed if code is "", else refused.
func (r *Recorder) Repeated(ctx context.Context, route, code string) {
	if code == "" {
		code = "replayed"
	}
	r.repeated.Add(ctx, 1, r.ofOutcome(route, code, "").add...)
}

// SchemaCheck counts a check that needs the schema engine until the caller calls ended. The outcome
// is "valid", "refused", "unchecked", or "" for a check that did not run.
func (r *Recorder) SchemaCheck(ctx context.Context, route string) (ended func(outcome string)) {
	start := time.Now()
	r.activeChecks.Add(ctx, 1)
	return func(outcome string) {
		r.activeChecks.Add(context.WithoutCancel(ctx), -1)
		if outcome != "" {
			r.checks.Record(ctx, time.Since(start).Seconds(), r.ofOutcome(route, outcome, "").record...)
		}
	}
}

// BodyBytes adds to the bytes of large bodies in memory.
func (r *Recorder) BodyBytes(delta int64) { r.bodies.Add(context.Background(), delta) }

// BodyRefused counts a body that the budget of bodies refused: "slowest" or "no_room".
func (r *Recorder) BodyRefused(ctx context.Context, route, reason string) {
	r.refusedBodies.Add(ctx, 1, r.ofOutcome(route, reason, "").add...)
}

// Announced measures the announcement of a service until stop is called. An empty state is not
// measured. After an error, stop does nothing.
func (r *Recorder) Announced(state func() (serviceID, state string)) (stop func(), err error) {
	none := func() {}
	gauge, err := r.meter.Int64ObservableGauge("caio.bridge.announced", metric.WithUnit("{service}"),
		metric.WithDescription("1 if the orchestrator confirmed the service's registration when last asked, else 0."))
	if err != nil {
		return none, err
	}
	registration, err := r.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		serviceID, state := state()
		var value int64
		if state == "registered" {
			value = 1
		}
		if state != "" {
			o.ObserveInt64(gauge, value, metric.WithAttributes(keyService.String(serviceID), keyState.String(state)))
		}
		return nil
	}, gauge)
	if err != nil {
		return none, err
	}
	return func() { _ = registration.Unregister() }, nil // it fails only if it was unregistered before
}

func (r *Recorder) ofRoute(route string) *attrSet {
	return r.routeAttrs.get(route, func() []attribute.KeyValue { return []attribute.KeyValue{keyRoute.String(route)} })
}

func (r *Recorder) ofOutcome(route, outcome, code string) *attrSet {
	return r.outcomeAttrs.get([3]string{route, outcome, code}, func() []attribute.KeyValue {
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

func scheme(h *http.Request) string {
	if h.TLS != nil {
		return "https"
	}
	return "http"
}

const otherMethod = "_OTHER"

// methodName returns a method of RFC 9110, PATCH or otherMethod, so that callers cannot make new
// attribute values.
func methodName(h *http.Request) string {
	switch h.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return h.Method
	}
	return otherMethod
}

// spanName returns the first word of the name of a request's span.
func (q *Request) spanName() string {
	if q.method != otherMethod {
		return q.method
	}
	return "HTTP"
}

// instruments are the instruments of a bridge.
type instruments struct {
	requests, provider, firstEvent, jobs, checks metric.Float64Histogram
	active, activeJobs, activeChecks, bodies     metric.Int64UpDownCounter
	admissions, repeated, refusedBodies          metric.Int64Counter
	tokens                                       metric.Int64Histogram
	spent                                        metric.Float64Counter
}

// create makes the instruments.
func (i *instruments) create(meter metric.Meter) error {
	var errs []error
	seconds := func(to *metric.Float64Histogram, name, description string) {
		var err error
		*to, err = meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(secondBounds...))
		errs = append(errs, err)
	}
	upDown := func(to *metric.Int64UpDownCounter, name, unit, description string) {
		var err error
		*to, err = meter.Int64UpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
	}
	counter := func(to *metric.Int64Counter, name, unit, description string) {
		var err error
		*to, err = meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
	}
	seconds(&i.requests, "http.server.request.duration", "Duration of HTTP requests, the wrapped service included.")
	seconds(&i.provider, "caio.bridge.provider.duration",
		"Time of calls in the provider. The rest of the request's duration is the bridge's own.")
	seconds(&i.firstEvent, "caio.bridge.time_to_first_event", "Time from a request to the first event of its stream.")
	seconds(&i.jobs, "caio.bridge.job.duration", "Duration of jobs, by outcome.")
	seconds(&i.checks, "caio.bridge.schema_check.duration",
		"Time of checks that need the schema engine, the wait for other checks included.")
	upDown(&i.active, "http.server.active_requests", "{request}", "HTTP requests in progress.")
	upDown(&i.activeJobs, "caio.bridge.active_jobs", "{job}", "Jobs in progress.")
	upDown(&i.activeChecks, "caio.bridge.active_schema_checks", "{check}",
		"Checks that need the schema engine, in progress or waiting for others.")
	upDown(&i.bodies, "caio.bridge.body_bytes", "By",
		"Bytes of request bodies of more than 64 KiB before the admission of their calls.")
	counter(&i.admissions, "caio.bridge.admissions", "{call}",
		"Calls that were admitted, or refused by a limiter or another clause of the contract.")
	counter(&i.repeated, "caio.bridge.repeated_calls", "{call}",
		"Calls with a known Idempotency-Key: replayed, or refused because the first is in progress or differs.")
	counter(&i.refusedBodies, "caio.bridge.refused_bodies", "{request}",
		"Request bodies refused because too many large ones arrived at the same time: the slowest, or new ones.")
	var err error
	i.tokens, err = meter.Int64Histogram("gen_ai.client.token.usage", metric.WithUnit("{token}"),
		metric.WithDescription("Tokens per call of a model."), metric.WithExplicitBucketBoundaries(tokenBounds...))
	errs = append(errs, err)
	i.spent, err = meter.Float64Counter("caio.bridge.cost", metric.WithUnit("1"),
		metric.WithDescription("Cost of calls by the contract's prices, in the currency of the attribute."))
	return errors.Join(append(errs, err)...)
}
