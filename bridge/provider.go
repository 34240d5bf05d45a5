package bridge

import (
	"context"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/telemetry"
	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// A Provider wraps one external service. [New] calls Routes once and binds them to the contract.
//
// A provider may also implement
//
//   - [Namer], default: the contract's id;
//   - [HealthChecker], default: always healthy;
//   - [TokenCounter], required if the contract limits context_length;
//   - [io.Closer], called once, after the end of the last call; default: none.
type Provider interface {
	Routes() []Route
}

// A Namer returns the service's name for GET /health, such as "codex-bridge".
type Namer interface{ Name() string }

// A HealthChecker checks if the provider can work, for /health and /readyz.
//
// CheckHealth must be quick and must not call a billed API. The bridge runs one check at a time, at
// most one a second, and fails it after two seconds. The text of its error is logged, not sent. If
// it is an [*Error], authenticated callers see its Detail at /readyz?verbose.
type HealthChecker interface {
	CheckHealth(ctx context.Context) error
}

// A TokenCounter counts the tokens of a request, to enforce the contract's
// context_length.max_tokens before the call. req is the decoded request of one of the provider's
// routes. An estimate should err on the large side. CountTokens is called concurrently.
type TokenCounter interface {
	CountTokens(req any) int
}

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
// A handler calls it once for each call of a model, with its own ctx. It is safe for concurrent
// use, and does nothing outside of a handler. For a call that failed, Model is empty: the call's
// span gets its name, and no tokens are counted. Negative counts count as 0, and names are cut to
// 80 bytes.
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
