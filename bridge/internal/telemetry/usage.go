package telemetry

import (
	"cmp"
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Usage is the use of a model by one call, with the fields of bridge.Usage.
type Usage struct {
	Provider     string
	Operation    string
	Model        string
	RequestModel string
	InputTokens  int64
	OutputTokens int64
}

// Usage records the use of a model on the call's span and in metrics. It records no tokens and no
// cost without Model. The cost is unknown if cost is nil.
func (r *Recorder) Usage(ctx context.Context, u Usage, cost *contract.Cost) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetName(u.Operation + " " + cmp.Or(u.RequestModel, u.Model))
		span.SetAttributes(u.attributes()...)
		if u.Model != "" {
			span.SetAttributes(keyGenAIInput.Int64(u.InputTokens), keyGenAIOutput.Int64(u.OutputTokens))
		}
	}
	if u.Model == "" {
		return
	}
	if r.tokens.Enabled(ctx) {
		r.tokens.Record(ctx, u.InputTokens, r.ofModel(u, keyGenAITokenType, "input").record...)
		r.tokens.Record(ctx, u.OutputTokens, r.ofModel(u, keyGenAITokenType, "output").record...)
	}
	if amount, ok := price(u, cost); ok && r.spent.Enabled(ctx) {
		r.spent.Add(ctx, amount, r.ofModel(u, keyCurrency, cost.Currency).add...)
	}
}

// attributes name the model and its operator.
func (u Usage) attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{keyGenAIOperation.String(u.Operation), keyGenAIProvider.String(u.Provider)}
	if u.Model != "" {
		attrs = append(attrs, keyGenAIModel.String(u.Model))
	}
	if u.RequestModel != "" {
		attrs = append(attrs, keyGenAIRequestModel.String(u.RequestModel))
	}
	return attrs
}

// A modelKind is the key of a model's attributes.
type modelKind struct{ operation, provider, model, requestModel, detail string }

func (r *Recorder) ofModel(u Usage, key attribute.Key, detail string) *attrSet {
	kind := modelKind{u.Operation, u.Provider, u.Model, u.RequestModel, detail}
	return r.modelAttrs.get(kind, func() []attribute.KeyValue { return append(u.attributes(), key.String(detail)) })
}

// price returns the cost of a call. It reports false if the contract states no price.
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
