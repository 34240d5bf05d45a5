package codex

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// A format is the JSON that the model must answer with.
type format struct {
	name   string
	schema string // JSON Schema in the subset of strict structured output: closed objects, all members required
}

// encode returns the body of the request that asks p. The SDK's own type is not used: encoding it takes many times as long.
func (u *upstream) encode(ctx context.Context, p prompt, stream bool) []byte {
	input := layOut(p.parts)
	body := make([]byte, 0, len(p.instructions)+len(input)*9/8+len(p.format.schema)+512)
	body = appendQuoted(append(body, `{"model":`...), u.model)
	body = appendQuoted(append(body, `,"instructions":`...), p.instructions)
	body = appendQuoted(append(body, `,"input":`...), input)
	body = strconv.AppendInt(append(body, `,"max_output_tokens":`...), int64(p.maxTokens), 10)
	if u.effort != "" {
		body = append(appendQuoted(append(body, `,"reasoning":{"effort":`...), u.effort), '}')
	}
	body = append(body, `,"store":false`...)
	if stream {
		body = append(body, `,"stream":true`...)
	}
	if caller := bridge.Principal(ctx); caller != "" {
		body = appendQuoted(append(body, `,"safety_identifier":`...), pseudonym(caller))
	}
	body = appendQuoted(append(body, `,"text":{"format":{"type":"json_schema","strict":true,"name":`...), p.format.name)
	return append(append(append(body, `,"schema":`...), p.format.schema...), "}}}"...)
}

// pseudonym is what the model's server is told of a caller. OpenAI asks for a stable one, so that one caller's abuse does
// not cost all callers their access.
func pseudonym(caller string) string {
	sum := sha256.Sum256([]byte("codex-bridge:" + caller))
	return hex.EncodeToString(sum[:])
}
