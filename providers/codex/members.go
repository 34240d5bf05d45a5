package codex

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A streamingMembers emits the string members of a JSON object that arrives in pieces.
//
// It emits each text as early as possible. Joined, the emitted texts of a member are its value, for
// any division into pieces. It skips nested and non-string members.
//
// It does not validate the JSON. It emits nothing for values other than objects. For broken JSON
// the emitted texts are undefined, but finite.
type streamingMembers struct {
	emit  func(name, text string) error
	state readState
	depth int // nesting inside the skipped value

	buf     []byte // decoded text, not emitted yet
	name    string // current member's name
	escaped bool   // the last byte was a backslash
	digits  int    // missing digits of \uXXXX
	code    rune   // value of the digits so far
	high    rune   // pending high surrogate, or 0
}

type readState int

const (
	beforeObject readState = iota
	beforeName
	inName
	beforeValue
	inText    // inside a top-level string
	inValue   // inside another value, or after a string
	inSkipped // inside a nested string
	ended
)

// write reads the next piece. It returns the error of emit.
func (r *streamingMembers) write(piece string) error {
	for i := range len(piece) {
		if err := r.next(piece[i]); err != nil {
			return err
		}
	}
	if r.state == inText {
		return r.flush(completeRunes(r.buf))
	}
	return nil
}

func (r *streamingMembers) next(c byte) error {
	switch r.state {
	case beforeObject:
		if c == '{' {
			r.state = beforeName
		} else if !isSpace(c) {
			r.state = ended
		}
	case beforeName:
		if c == '"' {
			r.state = inName
		} else if c == '}' {
			r.state = ended
		}
	case inName:
		if r.decode(c) {
			r.name, r.buf, r.state = strings.ToValidUTF8(string(r.buf), "\uFFFD"), nil, beforeValue
		}
	case beforeValue:
		r.value(c)
	case inText:
		if r.decode(c) {
			r.state = inValue
			return r.flush(len(r.buf))
		}
	case inSkipped:
		if r.decode(c) {
			r.state = inValue
		}
		r.buf = r.buf[:0]
	case inValue:
		r.skip(c)
	}
	return nil
}

// value reads the first byte of a top-level value.
func (r *streamingMembers) value(c byte) {
	switch {
	case isSpace(c) || c == ':':
	case c == '"':
		r.state = inText
	default:
		r.state = inValue
		r.skip(c)
	}
}

// skip reads one byte of a skipped value, outside its strings.
func (r *streamingMembers) skip(c byte) {
	switch c {
	case '"':
		r.state = inSkipped
	case '{', '[':
		r.depth++
	case '}', ']':
		if r.depth == 0 {
			r.state = ended
			return
		}
		r.depth--
	case ',':
		if r.depth == 0 {
			r.state = beforeName
		}
	}
}

// decode reads one byte of a string. It returns true for the closing quote.
func (r *streamingMembers) decode(c byte) (end bool) {
	switch {
	case r.digits > 0:
		r.code = r.code<<4 | rune(strings.IndexByte("0123456789abcdef", c|0x20))&0xF
		if r.digits--; r.digits == 0 {
			r.unit(r.code)
		}
	case r.escaped && c == 'u':
		r.escaped, r.digits, r.code = false, 4, 0
	case r.escaped:
		r.escaped = false
		r.flushSurrogate()
		if i := strings.IndexByte("bfnrt", c); i >= 0 {
			c = "\b\f\n\r\t"[i]
		}
		r.buf = append(r.buf, c)
	case c == '\\':
		r.escaped = true
	case c == '"':
		r.flushSurrogate()
		return true
	default:
		r.flushSurrogate()
		r.buf = append(r.buf, c)
	}
	return false
}

// unit appends the UTF-16 unit of a \uXXXX. It holds a high surrogate back until the next unit.
func (r *streamingMembers) unit(u rune) {
	if r.high != 0 {
		if pair := utf16.DecodeRune(r.high, u); pair != unicode.ReplacementChar {
			r.high = 0
			r.buf = utf8.AppendRune(r.buf, pair)
			return
		}
		r.flushSurrogate()
	}
	if 0xD800 <= u && u < 0xDC00 {
		r.high = u
		return
	}
	r.buf = utf8.AppendRune(r.buf, u) // U+FFFD for a low surrogate without a high one
}

// flushSurrogate replaces an unpaired high surrogate by U+FFFD, like encoding/json.
func (r *streamingMembers) flushSurrogate() {
	if r.high != 0 {
		r.high = 0
		r.buf = utf8.AppendRune(r.buf, unicode.ReplacementChar)
	}
}

// flush emits the first n bytes of the buffer.
func (r *streamingMembers) flush(n int) error {
	if n == 0 {
		return nil
	}
	text := strings.ToValidUTF8(string(r.buf[:n]), "\uFFFD")
	r.buf = append(r.buf[:0], r.buf[n:]...)
	return r.emit(r.name, text)
}

// completeRunes returns the length of b without an incomplete UTF-8 sequence at its end.
func completeRunes(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if c := b[len(b)-back]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-back:]) {
				return len(b) - back
			}
			break
		}
	}
	return len(b)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
