package fast

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// text checks the string that begins with the quote at i.
func (n *node) text(w *walk, i int) int {
	end, escapes, ascii := quoted(w.d, i)
	if end < 0 {
		return w.stop(i)
	}
	raw := w.d[i+1 : end-1]
	if !ascii && !utf8.Valid(raw) {
		return w.stop(i)
	}
	if len(raw) < maxEscape*n.minLength || n.maxLength < len(raw) {
		length := len(raw)
		if !ascii {
			length = utf8.RuneCount(raw)
		}
		if escapes > 0 {
			length -= spare(raw)
		}
		if length < n.minLength && !w.failWith(n, i, "minLength", length, nil) || length > n.maxLength && !w.failWith(n, i, "maxLength", length, nil) {
			return -1
		}
		if length > n.maxLength {
			return end // no pattern is asked about a text that is refused
		}
	}
	if n.pattern != nil || n.values != nil {
		return n.content(w, i, end, escapes)
	}
	return end
}

// content checks the characters of the string between i and end.
func (n *node) content(w *walk, i, end, escapes int) int {
	raw := w.d[i+1 : end-1]
	if w.matching -= n.patternSize * len(raw); w.matching < 0 {
		w.tooMuch = true
		return w.stop(i)
	}
	if escapes > 0 && n.values == nil && n.matchesBetween(raw) {
		return end
	}
	if escapes > 0 {
		unquoted, err := jsontext.AppendUnquote(nil, w.d[i:end])
		if err != nil {
			return w.stop(i)
		}
		raw = unquoted
	}
	if n.values != nil && !n.values.texts[string(raw)] && !w.fail(n, i, n.choice) {
		return -1
	}
	if n.pattern != nil && !n.pattern.Match(raw) && !w.fail(n, i, "pattern") {
		return -1
	}
	return end
}

// matchesBetween reports if the pattern certainly matches a text with escapes, without a copy of
// it. A pattern without anchors may match between two escapes, and most texts of requests have
// escapes.
func (n *node) matchesBetween(raw []byte) bool {
	for n.floating {
		plain, _, more := bytes.Cut(raw, []byte{'\\'})
		if n.pattern.Match(plain) {
			return true
		}
		if !more {
			return false
		}
		raw = raw[len(plain):]
		raw = raw[escape(raw):]
	}
	return false
}

// quoted reads the string that begins with the quote at i. It returns the index behind it, or -1 if
// it is not a JSON string, and the number of escapes. If ascii is false, the caller must check
// UTF-8.
func quoted(d []byte, i int) (end, escapes int, ascii bool) {
	var seen uint64
	for i++; i < len(d); {
		if i+8 <= len(d) {
			word := binary.LittleEndian.Uint64(d[i:])
			seen |= word
			found := notable(word)
			if found == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(found) / 8
		}
		switch c := d[i]; {
		case c == '"':
			return i + 1, escapes, seen&highs == 0
		case c < ' ':
			return -1, 0, false
		case c == '\\':
			size := escape(d[i:])
			if size == 0 {
				return -1, 0, false
			}
			escapes++
			i += size
		default:
			seen |= uint64(c)
			i++
		}
	}
	return -1, 0, false
}

const ones, highs = 0x0101010101010101, 0x8080808080808080

// notable returns 0 if none of 8 bytes is a quote, a backslash or a control character. Otherwise
// the lowest bit that is set is in the first that is one. See
// https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord.
func notable(word uint64) uint64 {
	quotes, backslashes := word^(ones*'"'), word^(ones*'\\')
	controls := (word - ones*' ') & ^word
	return (controls | (quotes-ones)&^quotes | (backslashes-ones)&^backslashes) & highs
}

// maxEscape is the length of the longest escape of one character.
const maxEscape = len(`\ud83d\ude00`)

// escape returns the length of the escape at the start of d, a surrogate pair counting as one, or 0
// if it is not one.
func escape(d []byte) int {
	if len(d) < 2 {
		return 0
	}
	switch d[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
	default:
		return 0
	}
	first, ok := hex4(d)
	switch {
	case !ok:
		return 0
	case first < 0xD800 || first > 0xDFFF:
		return 6
	case first > 0xDBFF || len(d) < 12:
		return 0
	}
	if second, ok := hex4(d[6:]); !ok || second < 0xDC00 || second > 0xDFFF {
		return 0
	}
	return 12
}

// hex4 reads \uXXXX.
func hex4(d []byte) (code rune, ok bool) {
	if len(d) < 6 || d[0] != '\\' || d[1] != 'u' {
		return 0, false
	}
	for _, c := range d[2:6] {
		switch {
		case isDigit(c):
			code = code<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			code = code<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			code = code<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return code, true
}

// spare counts the characters of raw beyond the one that each escape stands for.
func spare(raw []byte) (n int) {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			i++
			continue
		}
		size := escape(raw[i:])
		n += size - 1
		i += size
	}
	return n
}
