// Package header reads request headers that the standard library does not parse, and writes the
// quotas of a response.
package header

import (
	"crypto/rand"
	"iter"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/internal/sse"
)

// MediaRanges returns the media ranges of an Accept header with their weights (RFC 9110 section
// 12.5.1). It skips malformed ones.
func MediaRanges(h http.Header) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, line := range h.Values("Accept") {
			for item := range strings.SplitSeq(line, ",") {
				mediaType, params, err := mime.ParseMediaType(item)
				q := 1.0
				if s, ok := params["q"]; ok && err == nil {
					q, err = strconv.ParseFloat(s, 64)
				}
				if err == nil && !yield(mediaType, q) {
					return
				}
			}
		}
	}
}

// PrefersYAML reports if Accept has YAML (RFC 9512) by name and JSON with no greater weight.
func PrefersYAML(h http.Header) bool {
	var json, yaml float64
	for mediaType, q := range MediaRanges(h) {
		switch mediaType {
		case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml":
			yaml = max(yaml, q)
		case "application/json":
			json = max(json, q)
		}
	}
	return yaml > 0 && yaml >= json
}

// WantsEvents reports if Accept prefers text/event-stream to JSON, for a route that streams. A
// route that does not stream has JSON only. It is not ok if the route has neither.
func WantsEvents(h http.Header, streams bool) (stream, ok bool) {
	if strings.TrimSpace(strings.Join(h.Values("Accept"), "")) == "" {
		return false, true
	}
	var json, events float64
	for mediaType, q := range MediaRanges(h) {
		switch mediaType {
		case sse.MediaType, "text/*":
			events = max(events, q)
		case "application/json", "application/*", "*/*", "application/problem+json":
			json = max(json, q)
		}
	}
	if streams && events > 0 && events >= json {
		return true, true
	}
	return false, json > 0
}

// Preference returns the value of a preference (RFC 7240), the first one if it is there twice.
func Preference(h http.Header, token string) (value string, stated bool) {
	for _, line := range h.Values("Prefer") {
		for _, preference := range splitUnquoted(line, ',') {
			preference = splitUnquoted(preference, ';')[0] // without its parameters
			name, value, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), token) {
				return strings.TrimSpace(value), true
			}
		}
	}
	return "", false
}

// splitUnquoted splits a header at a separator outside of quoted strings (RFC 9110 section 5.6.4).
func splitUnquoted(s string, separator byte) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == separator:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

// maxKeyLength is the largest length of an Idempotency-Key in bytes.
const maxKeyLength = 255

// IdempotencyKey returns the key of a request, "" without the header. It takes a string of
// structured fields (RFC 9651), as the draft has it, or a token, as most callers send it. It
// reports false for a malformed key.
func IdempotencyKey(h http.Header) (key string, ok bool) {
	values := h.Values("Idempotency-Key")
	switch len(values) {
	case 0:
		return "", true
	case 1:
		return parseKey(strings.Trim(values[0], " \t"))
	}
	return "", false
}

func parseKey(field string) (key string, ok bool) {
	quoted := strings.HasPrefix(field, `"`)
	if quoted {
		if field, ok = unquote(field); !ok {
			return "", false
		}
	}
	if field == "" || len(field) > maxKeyLength {
		return "", false
	}
	for _, c := range []byte(field) {
		if c < ' ' || c > '~' || !quoted && strings.IndexByte(` "(),;<=>?@[\]{}`, c) >= 0 {
			return "", false
		}
	}
	return field, true
}

// unquote removes the quoting of a string (RFC 9651 section 4.2.5).
func unquote(field string) (string, bool) {
	var key strings.Builder
	for i := 1; i < len(field); i++ {
		switch c := field[i]; c {
		case '"':
			return key.String(), i == len(field)-1
		case '\\':
			if i++; i == len(field) || field[i] != '"' && field[i] != '\\' {
				return "", false
			}
			key.WriteByte(field[i])
		default:
			key.WriteByte(c)
		}
	}
	return "", false
}

// SetQuotas sets RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10).
func SetQuotas(h http.Header, quotas []limits.Quota) {
	if len(quotas) == 0 {
		return
	}
	text := make([]byte, 0, 256) // both values
	for i, q := range quotas {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = appendItem(text, q.Name, ";q=", q.Limit, ";w=", Seconds(q.Window))
	}
	policy := len(text)
	for i, q := range quotas {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = appendItem(text, q.Name, ";r=", q.Remaining, ";t=", Seconds(q.Reset))
	}
	both := string(text)
	h["Ratelimit-Policy"] = []string{both[:policy]} // canonical names, as Set would write them
	h["Ratelimit"] = []string{both[policy:]}
}

// appendItem appends a string with two integer parameters (structured fields, RFC 9651).
func appendItem(b []byte, name, p string, m int, q string, n int) []byte {
	b = strconv.AppendInt(append(strconv.AppendQuote(b, name), p...), int64(m), 10)
	return strconv.AppendInt(append(b, q...), int64(n), 10)
}

// Seconds returns a duration in seconds, rounded up.
func Seconds(d time.Duration) int {
	seconds := d / time.Second
	if d%time.Second > 0 {
		seconds++
	}
	return int(seconds)
}

// IsJSON reports if a body is JSON by its Content-Type. detail says what else to send.
func IsJSON(h http.Header) (detail string, ok bool) {
	contentType := h.Get("Content-Type")
	if contentType == "application/json" { // as most callers send it
		return "", true
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "application/json" && !strings.HasSuffix(mediaType, "+json") {
		return "Send JSON, with Content-Type: application/json.", false
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "Send JSON in UTF-8 (RFC 8259 section 8.1).", false
	}
	return "", true
}

// IsGzip reports if a body is compressed with gzip. Another coding is not ok.
func IsGzip(h http.Header) (compressed, ok bool) {
	switch strings.ToLower(strings.TrimSpace(strings.Join(h.Values("Content-Encoding"), ","))) {
	case "", "identity":
		return false, true
	case "gzip", "x-gzip": // synonyms by RFC 9110 section 8.4.1.3
		return true, true
	}
	return false, false
}

// RequestID returns the X-Request-Id if it is harmless in logs and headers, or else a new id.
func RequestID(h http.Header) string {
	id := h.Get("X-Request-Id")
	if id == "" || len(id) > 128 {
		return rand.Text()
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == ':':
		default:
			return rand.Text()
		}
	}
	return id
}
