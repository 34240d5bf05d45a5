package bridge

import (
	"context"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/telemetry"
	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// A Usage is the use of a model by one call, as the wrapped service counted it. Names are those of
// the OpenTelemetry conventions for generative AI.
type Usage struct {
	Provider     string // gen_ai.provider.name, such as "openai"
	Operation    string // gen_ai.operation.name, such as "chat"
	Model        string // gen_ai.response.model, the model that answered; "" if none did
	RequestModel string // gen_ai.request.model, the model of the request; "" if unknown
	InputTokens  int64  // tokens of the request, cached ones included
	OutputTokens int64  // tokens of the answer, reasoning included
}

// ReportUsage reports the use of a model to traces, metrics, the log and [Options.Audit].
//
// A handler calls it once for each call of a model, with its own ctx. It is safe for concurrent use,
// and does nothing outside of a handler. For a call that failed, Model is empty: the call's span gets
// its name, and no tokens are counted. Negative counts count as 0, and names are cut to 80 bytes.
func ReportUsage(ctx context.Context, u Usage) {
	x := exchangeOf(ctx)
	if x == nil {
		return
	}
	u.InputTokens, u.OutputTokens = max(0, u.InputTokens), max(0, u.OutputTokens)
	u.Provider, u.Operation = text.Clip(u.Provider), text.Clip(u.Operation)
	u.Model, u.RequestModel = text.Clip(u.Model), text.Clip(u.RequestModel)
	x.addUsage(u)
	x.bridge.telemetry.Usage(ctx, telemetry.Usage(u), x.service.contract.Cost)
}
