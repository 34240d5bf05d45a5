package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
)

// Attribute names of the OpenTelemetry semantic conventions (HTTP 1.43.0, GenAI 1.41.0) and, under
// caio.bridge, of the bridge. No other file has such names, because the GenAI names still change.
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

	keyGenAIOperation    = attribute.Key("gen_ai.operation.name")
	keyGenAIProvider     = attribute.Key("gen_ai.provider.name")
	keyGenAIModel        = attribute.Key("gen_ai.response.model")
	keyGenAIRequestModel = attribute.Key("gen_ai.request.model")
	keyGenAIInput        = attribute.Key("gen_ai.usage.input_tokens")
	keyGenAIOutput       = attribute.Key("gen_ai.usage.output_tokens")
	keyGenAITokenType    = attribute.Key("gen_ai.token.type")
)

// Boundaries of histograms: seconds of the HTTP conventions and longer ones for models, tokens of
// the GenAI conventions.
var (
	secondBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160}
	tokenBounds  = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
)
