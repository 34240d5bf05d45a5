package codex

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// encode returns the request body for p. It writes JSON by hand, because encoding the SDK's type
// takes many times as long.
func (u *upstream) encode(ctx context.Context, p prompt, stream bool) []byte {
	input := p.render()
	body := make([]byte, 0, len(p.instructionsJSON)+len(input)*9/8+len(p.formatJSON)+256)
	body = appendQuoted(append(body, `{"model":`...), u.model)
	body = append(append(body, ','), p.instructionsJSON...)
	body = appendQuoted(append(body, `,"input":`...), input)
	body = strconv.AppendInt(append(body, `,"max_output_tokens":`...), int64(p.maxTokens), 10)
	if u.effort != "" {
		body = append(appendQuoted(append(body, `,"reasoning":{"effort":`...), u.effort), '}')
	}
	body = append(body, `,"store":false,`...)
	if stream {
		body = append(body, `"stream":true,`...)
	}
	if caller := bridge.Principal(ctx); caller != "" {
		body = append(appendQuoted(append(body, `"safety_identifier":`...), pseudonym(caller)), ',')
	}
	return append(append(body, p.formatJSON...), '}')
}

// pseudonym returns a stable hash of the caller's name, sent as safety_identifier. By it OpenAI can
// block one abusive caller instead of all.
func pseudonym(caller string) string {
	sum := sha256.Sum256([]byte("codex-bridge:" + caller))
	return hex.EncodeToString(sum[:])
}
