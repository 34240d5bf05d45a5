package codex

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// A modelRequest is a request of the Responses API, as far as a bridge makes one. The SDK's own type is not used: encoding
// it takes several times as long.
type modelRequest struct {
	Model            string     `json:"model"`
	Instructions     string     `json:"instructions"`
	Input            string     `json:"input"`
	MaxOutputTokens  int        `json:"max_output_tokens"`
	Reasoning        reasoning  `json:"reasoning,omitzero"`
	Text             textFormat `json:"text"`
	Store            bool       `json:"store"`
	Stream           bool       `json:"stream,omitzero"`
	SafetyIdentifier string     `json:"safety_identifier,omitzero"`
}

type (
	reasoning struct {
		Effort string `json:"effort"`
	}
	textFormat struct {
		Format *format `json:"format"`
	}
	// A format is the JSON that the model must answer with.
	format struct {
		Type   string         `json:"type"` // "json_schema"
		Name   string         `json:"name"`
		Schema jsontext.Value `json:"schema"` // in the subset of strict structured output: closed objects, all members required
		Strict bool           `json:"strict"`
	}
)

// encode returns the body of the request that asks p.
func (u *upstream) encode(ctx context.Context, p prompt, stream bool) ([]byte, error) {
	return json.Marshal(modelRequest{
		Model:            u.model,
		Instructions:     p.instructions,
		Input:            p.input,
		MaxOutputTokens:  p.maxTokens,
		Reasoning:        reasoning{u.effort},
		Text:             textFormat{p.format},
		Stream:           stream,
		SafetyIdentifier: pseudonym(bridge.Principal(ctx)),
	}, lenient)
}

// pseudonym is what the model's server is told of a caller. OpenAI asks for a stable one, so that one caller's abuse does
// not cost all callers their access.
func pseudonym(caller string) string {
	if caller == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("codex-bridge:" + caller))
	return hex.EncodeToString(sum[:])
}
