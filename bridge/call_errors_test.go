package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// explosive is an error that cannot be read.
type explosive struct{}

func (explosive) Error() string { panic("explosive") }

// An error that is none, or cannot be read, ended the process if the call was a job, and a stream without a last event.
func TestErrorsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for says, err := range map[string]error{"a nil *bridge.Error": (*bridge.Error)(nil), "panic: explosive": explosive{}, "a nil *bridge.Error: wrapped": fmt.Errorf("%w: wrapped", (*bridge.Error)(nil))} {
		var log logBuffer
		p := checked{shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
			if req.Text == "event" {
				_ = send(word{"A"})
			}
			return shoutResponse{}, err
		}), func(context.Context) error { return err }}
		b := newBridge(t, loadContract(t), p, &bridge.Options{Logger: log.logger()})
		srv := serve(t, b)
		for _, header := range [][]string{nil, wantEvents, {"Idempotency-Key", "k"}} {
			if got := post(t, srv, "/shout", `{"text": "none"}`, header...); got.Status != 500 || got.problem(t).Code != "internal" {
				t.Errorf("%s, %v: %d %s", says, header, got.Status, got.Body)
			}
		}
		if got := post(t, srv, "/shout", `{"text": "event"}`, wantEvents...); got.Status != 200 || strings.Count(got.Body, "event: error\n") != 1 {
			t.Errorf("%s: the stream ends with\n%s", says, got.Body)
		}
		job := post(t, srv, "/shout", `{"text": "event"}`, "Prefer", "respond-async").Header.Get("Location")
		if got := get(t, srv, job, wantEvents...); strings.Count(got.Body, "event: error\n") != 1 {
			t.Errorf("%s: the job ends with\n%s", says, got.Body)
		}
		if got := get(t, srv, "/readyz?verbose"); got.Status != 503 {
			t.Errorf("%s from a health check: %d %s", says, got.Status, got.Body)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), says); n < 5 { // that of the job may come later
			t.Errorf("%s: the log says so %d times:\n%s", says, n, log.String())
		}
	}
}

// moody is a handler of log records that panics at those of jobs.
type moody struct{ slog.Handler }

func (h moody) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "job" {
		panic("no more paper")
	}
	return h.Handler.Handle(ctx, r)
}

// A logger that panics when a job has ended, on a goroutine of the bridge's own, ended the process.
func TestLoggerThatPanicsAfterAJob(t *testing.T) {
	t.Parallel()
	b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Logger: slog.New(moody{slog.DiscardHandler})})
	defer b.Close()
	srv := serve(t, b)
	if job := ended(t, srv.Client(), begin(t, srv.Client(), srv.URL, "a")); job.Status != "succeeded" {
		t.Errorf("job = %+v", job)
	}
}

type badTracers struct{ tracenoop.TracerProvider }

func (badTracers) Tracer(string, ...trace.TracerOption) trace.Tracer { return badTracer{} }

type badTracer struct{ tracenoop.Tracer }

func (badTracer) Start(context.Context, string, ...trace.SpanStartOption) (context.Context, trace.Span) {
	panic("no spans")
}

// A request that telemetry does not let begin holds on to nothing: else a provider that was replaced would never be closed.
func TestTracerThatPanics(t *testing.T) {
	t.Parallel()
	old := newTenant(t, "old", nil)
	b := newBridge(t, loadContract(t), old, &bridge.Options{TracerProvider: badTracers{}})
	func() {
		defer func() { _ = recover() }()
		b.ServeHTTP(httptest.NewRecorder(), newRequest(t, "GET", "http://localhost/livez", ""))
		t.Error("no panic")
	}()
	if err := b.Reload(nil, newTenant(t, "new", nil)); err != nil || old.closed.Load() != 1 {
		t.Errorf("Reload = %v; the provider was closed %d times", err, old.closed.Load())
	}
}
