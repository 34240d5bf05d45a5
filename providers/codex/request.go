package codex

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// encode returns the body of the request that asks p. The SDK's own type is not used: encoding it takes many times as long.
func (u *upstream) encode(ctx context.Context, p prompt, stream bool) []byte {
	input := p.render()
	body := make([]byte, 0, len(p.head)+len(input)*9/8+len(p.tail)+256)
	body = appendQuoted(append(body, `{"model":`...), u.model)
	body = append(append(body, ','), p.head...)
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
	return append(append(body, p.tail...), '}')
}

// pseudonym is what the model's server is told of a caller. OpenAI asks for a stable one, so that one caller's abuse does
// not cost all callers their access.
func pseudonym(caller string) string {
	sum := sha256.Sum256([]byte("codex-bridge:" + caller))
	return hex.EncodeToString(sum[:])
}
