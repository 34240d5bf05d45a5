package codex

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A streamingMembers reads a JSON object that arrives in pieces and emits the text of its top-level members as it comes, as
// far as it can be known: put together, the emitted texts of a member are its value, however the object was cut. Members
// that are not text are skipped.
//
// It does not check the JSON. What is not an object emits nothing; what is broken emits something that ends.
type streamingMembers struct {
	emit  func(name, text string) error
	state readState
	depth int // of arrays and objects inside the value being skipped

	buf     []byte // decoded text not yet emitted
	name    string // of the member whose value is being read
	escaped bool   // after a backslash
	digits  int    // of \uXXXX still to come
	code    rune
	high    rune // first half of a surrogate pair, 0 if none
}

type readState int

const (
	beforeObject readState = iota
	beforeName
	inName
	beforeValue
	inText    // a text at top level
	inValue   // any other value, or behind a text
	inSkipped // a text inside of one
	ended
)

// write takes the next piece. Its error is that of emit.
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
			r.name, r.buf, r.state = r.take(), nil, beforeValue
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

// value begins a value at top level.
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

// skip passes over one byte of a value that is not text.
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

// decode takes one byte of a text behind its opening quote and reports whether it is the closing one.
func (r *streamingMembers) decode(c byte) (end bool) {
	switch {
	case r.digits > 0:
		r.code = r.code<<4 | hexValue(c)
		if r.digits--; r.digits == 0 {
			r.unit(r.code)
		}
	case r.escaped && c == 'u':
		r.escaped, r.digits, r.code = false, 4, 0
	case r.escaped:
		r.escaped = false
		r.flushSurrogate()
		r.buf = append(r.buf, unescape(c))
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

// unit takes the UTF-16 unit of a \uXXXX. Two of them may be one character.
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
	r.buf = utf8.AppendRune(r.buf, u) // U+FFFD for the second half of a pair without the first
}

// lone replaces a first half of a surrogate pair that has no second, as encoding/json does.
func (r *streamingMembers) flushSurrogate() {
	if r.high != 0 {
		r.high = 0
		r.buf = utf8.AppendRune(r.buf, unicode.ReplacementChar)
	}
}

func (r *streamingMembers) take() string { return strings.ToValidUTF8(string(r.buf), "\uFFFD") }

// flush emits the first n bytes of the buffer.
func (r *streamingMembers) flush(n int) error {
	if n == 0 {
		return nil
	}
	text := strings.ToValidUTF8(string(r.buf[:n]), "\uFFFD")
	r.buf = append(r.buf[:0], r.buf[n:]...)
	return r.emit(r.name, text)
}

// completeRunes returns how many bytes of b do not belong to a character that may still be going on.
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

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hexValue(c byte) rune {
	switch {
	case c >= 'a':
		return rune(c-'a'+10) & 0xF
	case c >= 'A':
		return rune(c-'A'+10) & 0xF
	}
	return rune(c-'0') & 0xF
}
