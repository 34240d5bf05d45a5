package bridge_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// The span of a job's call is kept though the one of its request has mostly ended; where that one is not kept, there is no other.
func TestProviderSpans(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &i.opts))
	job := post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async")
	get(t, srv, job.Header.Get("Location"), wantEvents...)
	if spans := i.spans.Ended(); !slices.ContainsFunc(spans, func(s sdktrace.ReadOnlySpan) bool { return s.SpanKind() == trace.SpanKindClient }) {
		t.Errorf("the job has no span of its call among %d", len(spans))
	}

	i = instrument(t)
	var seen dropped
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSampler(&seen))
	t.Cleanup(func() { _ = tracers.Shutdown(context.Background()) })
	i.opts.TracerProvider = tracers
	post(t, serve(t, newBridge(t, loadContract(t), shouter(shout), &i.opts)), "/shout", `{"text": "a"}`)
	if diff := gocmp.Diff([]string{"POST"}, seen.names); diff != "" {
		t.Errorf("spans begun (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(map[string]float64{"http.route=/shout": 1}, i.sums(t, "caio.bridge.provider.duration")); diff != "" {
		t.Errorf("the call was not measured (-want +got):\n%s", diff)
	}
}

// Who was asked is known of a call that failed, too; it is no call of a model by its tokens, nor by its price.
func TestTelemetryOfFailedModels(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	c := loadContract(t, "  constraints:", "  cost: {model: per_request, base_cost: 1, currency: USD}\n  constraints:")
	srv := serve(t, newBridge(t, c, shouter(func(ctx context.Context, req shoutRequest, _ func(word) error) (shoutResponse, error) {
		if req.Text == "second" {
			bridge.ReportUsage(ctx, bridge.Usage{Provider: "openai", Operation: "chat", Model: "m-0", InputTokens: 1})
		}
		bridge.ReportUsage(ctx, bridge.Usage{Provider: "openai", Operation: "chat", RequestModel: "m-1"})
		return shoutResponse{}, &bridge.Error{Code: bridge.CodeUpstreamFailed}
	}), &i.opts))
	post(t, srv, "/shout", `{"text": "first"}`)
	if got := i.sums(t, "gen_ai.client.token.usage"); len(got) != 0 {
		t.Errorf("tokens of a call that failed: %v", got)
	}
	post(t, srv, "/shout", `{"text": "second"}`)
	srv.Close()
	if diff := gocmp.Diff(map[string]float64{"caio.bridge.currency=USD gen_ai.operation.name=chat gen_ai.provider.name=openai gen_ai.response.model=m-0": 1}, i.sums(t, "caio.bridge.cost")); diff != "" {
		t.Errorf("cost (-want +got):\n%s", diff)
	}
	var names []string
	for _, s := range i.spans.Ended() {
		if s.SpanKind() == trace.SpanKindClient {
			names = append(names, fmt.Sprint(s.Name(), " ", words(attribute.NewSet(s.Attributes()...))))
		}
	}
	if len(names) != 2 || names[0] != "chat m-1 error.type=upstream_failed gen_ai.operation.name=chat gen_ai.provider.name=openai gen_ai.request.model=m-1" {
		t.Errorf("spans of the calls: %q", names)
	}
	if got := []string{i.calls[0].Usage.RequestModel, i.calls[1].Usage.Model}; got[0] != "m-1" || got[1] != "m-0" {
		t.Errorf("the audit was told of %v", got)
	}
}

// dropped is a sampler that keeps no span.
type dropped struct{ names []string }

func (d *dropped) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	d.names = append(d.names, p.Name)
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}
func (*dropped) Description() string { return "none" }
