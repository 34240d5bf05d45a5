// Package header reads request headers that the standard library does not parse.
package header

import (
	"iter"
	"mime"
	"net/http"
	"strconv"
	"strings"
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
// structured fields (RFC 9651), as the draft has it, or a token, as most callers send it. It reports
// false for a malformed key.
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
