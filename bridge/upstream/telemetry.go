package upstream

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
)

// Names of the OpenTelemetry semantic conventions (1.43.0). The histogram's is that of .NET's HTTP
// client: the general conventions have none for the wait.
const (
	scopeName = "github.com/smarthaus/caio-bridge-go/bridge/upstream"

	timeInQueue = "http.client.request.time_in_queue"

	keyServer = attribute.Key("server.address")
	keyPort   = attribute.Key("server.port")
)

// queueBounds are the boundaries of the histogram in seconds: the conventions' own up to 10 s, then
// longer waits, for calls of models.
var queueBounds = []float64{
	0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
}

// telemetry measures a client.
type telemetry struct {
	inQueue metric.Float64Histogram
}

// newTelemetry accepts nil, for no measurements.
func newTelemetry(meters metric.MeterProvider) (telemetry, error) {
	if meters == nil {
		meters = metricnoop.NewMeterProvider()
	}
	inQueue, err := meters.Meter(scopeName).Float64Histogram(timeInQueue,
		metric.WithUnit("s"),
		metric.WithDescription("Time that attempts waited for a connection because as many as allowed were in use."),
		metric.WithExplicitBucketBoundaries(queueBounds...))
	return telemetry{inQueue}, err
}

// queued records the wait of one attempt at a server.
func (t telemetry) queued(ctx context.Context, server metric.RecordOption, wait time.Duration) {
	if t.inQueue.Enabled(ctx) {
		t.inQueue.Record(ctx, wait.Seconds(), server)
	}
}

// serverOption returns the attributes of measurements about the server of u.
func serverOption(u *url.URL) metric.RecordOption {
	if u == nil {
		return metric.WithAttributeSet(*attribute.EmptySet())
	}
	host, port := splitHostPort(u)
	number, _ := strconv.Atoi(port) // url.Parse lets only digits pass
	return metric.WithAttributeSet(attribute.NewSet(keyServer.String(host), keyPort.Int(number)))
}
