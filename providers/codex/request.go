package codex

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/go-json-experiment/json"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// A modelRequest is a request of the Responses API, as far as a bridge makes one. The SDK's own type is not used: encoding
// it takes several times as long.
type modelRequest struct {
	Model            string    `json:"model"`
	Instructions     string    `json:"instructions"`
	Input            string    `json:"input"`
	MaxOutputTokens  int       `json:"max_output_tokens"`
	Reasoning        reasoning `json:"reasoning,omitzero"`
	Store            bool      `json:"store"`
	Stream           bool      `json:"stream,omitzero"`
	SafetyIdentifier string    `json:"safety_identifier,omitzero"`
	// and text, with the format: see encode
}

type reasoning struct {
	Effort string `json:"effort"`
}

// A format is the JSON that the model must answer with.
type format struct {
	name   string
	schema string // JSON Schema in the subset of strict structured output: closed objects, all members required
}

// encode returns the body of the request that asks p. The format, which is constant and half of the body, is put behind the
// rest as it stands: to encode it takes as long as all else.
func (u *upstream) encode(ctx context.Context, p prompt, stream bool) ([]byte, error) {
	body, err := json.Marshal(modelRequest{
		Model:            u.model,
		Instructions:     p.instructions,
		Input:            layOut(p.parts),
		MaxOutputTokens:  p.maxTokens,
		Reasoning:        reasoning{u.effort},
		Stream:           stream,
		SafetyIdentifier: pseudonym(bridge.Principal(ctx)),
	}, lenient)
	if err != nil {
		return nil, err
	}
	text := `,"text":{"format":{"type":"json_schema","strict":true,"name":"` + p.format.name + `","schema":` + p.format.schema + `}}}`
	return append(body[:len(body)-1], text...), nil
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
