package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// A default of 256 connections made further streams wait for the end of one, although the contract
// allowed more. Here each stream lasts until all of them have begun.
func TestConnectionsAreNotCapped(t *testing.T) {
	t.Parallel()
	const streams = 500
	synctest.Test(t, func(t *testing.T) {
		var seen attempts
		var began sync.WaitGroup
		began.Add(streams)
		client := inMemory(t, upstream.Options{Observe: seen.observe}, func(w http.ResponseWriter, r *http.Request) {
			began.Done()
			began.Wait()
			_, _ = io.WriteString(w, "data: {}\n\n")
		})
		var all sync.WaitGroup
		for range streams {
			all.Go(func() {
				if code, _, err := send(client, newRequest(t, t.Context(), "POST", "http://x.test", "x")); code != 200 {
					t.Errorf("a stream ended with status %d, error %v", code, err)
				}
			})
		}
		all.Wait()
		for _, a := range seen.all() {
			if a.ConnectionWait != 0 {
				t.Fatalf("a stream waited %v for a connection", a.ConnectionWait)
			}
		}
	})
}

// Every attempt at a connection reports its own wait, to Observe and as a metric: one that finds a
// connection, one that waits and gets it, one that leaves the queue with its context, and the
// second attempt of a request.
func TestConnectionWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		var seen attempts
		var asked atomic.Int32
		client := inMemory(t, upstream.Options{
			MaxConnsPerHost: 1, Observe: seen.observe, MaxBackoff: time.Millisecond,
			MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
		}, func(w http.ResponseWriter, r *http.Request) {
			switch asked.Add(1) {
			case 1:
				time.Sleep(time.Minute)
			case 2:
				status(w, 503, "")
			}
		})
		var all sync.WaitGroup
		defer all.Wait()
		call := func(timeout time.Duration) {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				_, _, _ = send(client, newRequest(t, ctx, "GET", "http://x.test:81/v1", ""))
			})
			synctest.Wait()
		}
		call(time.Hour)
		call(time.Hour)
		call(10 * time.Second)
		all.Wait()

		type attempt struct {
			Number, Status int
			ConnectionWait time.Duration
		}
		var got []attempt
		for _, a := range seen.all() {
			got = append(got, attempt{a.Number, a.Status, a.ConnectionWait})
		}
		want := []attempt{
			{1, 0, 10 * time.Second}, // the third call, at its deadline
			{1, 200, 0},
			{1, 503, time.Minute},
			{2, 200, 0},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		wait := queueHistogram(t, reader)
		if got, want := wait.Count, uint64(4); got != want {
			t.Errorf("the metric counts %d attempts, want %d", got, want)
		}
		if got, want := wait.Sum, 70.0; got != want {
			t.Errorf("the metric has %v s of waiting, want %v", got, want)
		}
		attrs := wait.Attributes
		host, _ := attrs.Value("server.address")
		port, _ := attrs.Value("server.port")
		if host.AsString() != "x.test" || port.AsInt64() != 81 || attrs.Len() != 2 {
			t.Errorf("attributes %s, want server.address x.test and server.port 81", attrs.Encoded(nil))
		}
	})
}

// queueHistogram returns the only point of the histogram of waits: there is one per server.
func queueHistogram(t *testing.T, reader sdkmetric.Reader) metricdata.HistogramDataPoint[float64] {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			points, ok := m.Data.(metricdata.Histogram[float64])
			if m.Name == "http.client.request.time_in_queue" && m.Unit == "s" && ok && len(points.DataPoints) == 1 {
				return points.DataPoints[0]
			}
		}
	}
	t.Fatalf("no histogram http.client.request.time_in_queue in seconds with one point: %+v", collected.ScopeMetrics)
	return metricdata.HistogramDataPoint[float64]{}
}

// A deadline that passes soon after a long wait for a connection says nothing about the host. The
// breaker counted it as the host's failure, because it took the wait for the host's time.
func TestConnectionWaitIsNotTheHostsFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := upstream.Options{MaxConnsPerHost: 1, BreakAfter: 1, Attempts: 1}
		client := inMemory(t, opts, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(20 * time.Second):
			case <-r.Context().Done():
			}
		})
		var all sync.WaitGroup
		for _, timeout := range []time.Duration{time.Hour, 25 * time.Second} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				_, _, _ = send(client, newRequest(t, ctx, "GET", "http://x.test", ""))
			})
			synctest.Wait()
		}
		all.Wait() // the second call waited 20 s and gave the host 5 s
		_, _, err := send(client, newRequest(t, t.Context(), "GET", "http://x.test", ""))
		if open, ok := errors.AsType[*upstream.OpenError](err); ok {
			t.Errorf("the host is left alone: %v", open)
		}
	})
}
