package bridge_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// A saboteur panics in telemetry at one place, as long as it is on.
type saboteur struct {
	place string
	on    atomic.Bool
}

func (s *saboteur) at(place string) {
	if s.on.Load() && s.place == place {
		panic("sabotage at " + place)
	}
}

type sabotagedTracers struct {
	trace.TracerProvider
	*saboteur
}

func (p sabotagedTracers) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return sabotagedTracer{p.TracerProvider.Tracer(name, opts...), p.saboteur}
}

type sabotagedTracer struct {
	trace.Tracer
	*saboteur
}

func (p sabotagedTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	p.at("start of " + name)
	ctx, span := p.Tracer.Start(ctx, name, opts...)
	return ctx, sabotagedSpan{span, name, p.saboteur}
}

type sabotagedSpan struct {
	trace.Span
	name string
	*saboteur
}

func (s sabotagedSpan) End(opts ...trace.SpanEndOption) {
	s.Span.End(opts...)
	s.at("end of " + s.name)
}

type sabotagedMeters struct {
	metric.MeterProvider
	*saboteur
}

func (p sabotagedMeters) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	return sabotagedMeter{p.MeterProvider.Meter(name, opts...), p.saboteur}
}

type sabotagedMeter struct {
	metric.Meter
	*saboteur
}

func (m sabotagedMeter) Int64Counter(name string, opts ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	c, err := m.Meter.Int64Counter(name, opts...)
	return sabotagedCounter{c, name, m.saboteur}, err
}

func (m sabotagedMeter) Int64UpDownCounter(name string, opts ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	c, err := m.Meter.Int64UpDownCounter(name, opts...)
	return sabotagedUpDownCounter{c, name, m.saboteur}, err
}

func (m sabotagedMeter) Float64Histogram(name string, opts ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	h, err := m.Meter.Float64Histogram(name, opts...)
	return sabotagedHistogram{h, name, m.saboteur}, err
}

type sabotagedCounter struct {
	metric.Int64Counter
	name string
	*saboteur
}

func (c sabotagedCounter) Add(ctx context.Context, n int64, opts ...metric.AddOption) {
	c.at(c.name)
	c.Int64Counter.Add(ctx, n, opts...)
}

type sabotagedUpDownCounter struct {
	metric.Int64UpDownCounter
	name string
	*saboteur
}

func (c sabotagedUpDownCounter) Add(ctx context.Context, n int64, opts ...metric.AddOption) {
	c.at(c.name)
	c.Int64UpDownCounter.Add(ctx, n, opts...)
}

type sabotagedHistogram struct {
	metric.Float64Histogram
	name string
	*saboteur
}

func (h sabotagedHistogram) Record(ctx context.Context, v float64, opts ...metric.RecordOption) {
	h.at(h.name)
	h.Float64Histogram.Record(ctx, v, opts...)
}

// Wherever telemetry panics, no key, slot or goroutine stays: repeated calls run, and Serve stops
// at once.
func TestPanicsOfTelemetry(t *testing.T) {
	t.Parallel()
	for _, place := range []string{
		"start of call provider", "end of call provider", "caio.bridge.admissions", "caio.bridge.provider.duration",
		"caio.bridge.active_jobs", "caio.bridge.job.duration", "caio.bridge.time_to_first_event", "caio.bridge.repeated_calls",
	} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &saboteur{place: place}
				i := instrument(t)
				i.opts.TracerProvider = sabotagedTracers{i.opts.TracerProvider, s}
				i.opts.MeterProvider = sabotagedMeters{i.opts.MeterProvider, s}
				var stopping time.Time
				inBubble(t, newBridge(t, loadContract(t), shouter(shout), &i.opts), func(client *http.Client) {
					kinds := map[string][]string{
						"plain":        nil,
						"keyed":        {"Idempotency-Key", "k-1"},
						"keyed stream": {"Idempotency-Key", "k-2", "Accept", "text/event-stream"},
						"job":          {"Prefer", "respond-async"},
						"keyed job":    {"Prefer", "respond-async", "Idempotency-Key", "k-3"},
					}
					call := func(header []string) int {
						res, err := client.Do(newRequest(t, "POST", shoutURL, `{"text": "a"}`, header...))
						if err != nil {
							return 0 // a stream that was cut off
						}
						defer res.Body.Close()
						_, _ = io.Copy(io.Discard, res.Body)
						return res.StatusCode
					}
					s.on.Store(true)
					for name, header := range kinds {
						for range 2 {
							if got := call(header); got == 409 || got == 429 {
								t.Errorf("%s = %d while telemetry panics", name, got)
							}
							synctest.Wait()
						}
					}
					s.on.Store(false)
					for name, header := range kinds {
						if got := call(header); got != 200 && got != 202 {
							t.Errorf("%s = %d when telemetry works again", name, got)
						}
						synctest.Wait()
					}
					if got := fetchURL(t, client, "GET", origin+"/health"); !strings.Contains(got.Body, `"calls_in_progress":0`) {
						t.Errorf("a slot was not freed: %s", got.Body)
					}
					stopping = time.Now()
				})
				if took := time.Since(stopping); took > time.Second {
					t.Errorf("Serve stopped after %v", took)
				}
			})
		})
	}
}
