package fast

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// maxOthers bounds the members of one object that its schema does not name: they are compared pairwise.
const maxOthers = 16

// Valid reports that data is strict JSON which the schema allows. False means only that the engine must be asked.
func (s *Schema) Valid(data []byte) bool {
	end := s.root.scan(data, 0, s.maxDepth)
	return end >= 0 && space(data, end) == len(data)
}

// scan returns the index behind the value that starts at or after i, or -1 if it is not certainly valid. depth is how
// many levels the value may have.
func (n *node) scan(d []byte, i, depth int) int {
	i = space(d, i)
	if i >= len(d) {
		return -1
	}
	end := n.own(d, i, depth)
	if end < 0 {
		return -1
	}
	for _, other := range n.all {
		if other.scan(d, i, depth) < 0 {
			return -1
		}
	}
	if n.anyOf != nil && !slices.ContainsFunc(n.anyOf, func(other *node) bool { return other.scan(d, i, depth) >= 0 }) {
		return -1
	}
	return end
}

// own checks the value against the node's own keywords.
func (n *node) own(d []byte, i, depth int) int {
	switch c := d[i]; c {
	case '{':
		if n.kinds&object == 0 || n.values != nil || depth == 0 {
			return -1
		}
		return n.object(d, i+1, depth-1)
	case '[':
		if n.kinds&array == 0 || n.values != nil || depth == 0 {
			return -1
		}
		return n.array(d, i+1, depth-1)
	case '"':
		if n.kinds&text == 0 {
			return -1
		}
		return n.text(d, i)
	case 't':
		return n.boolean(d, i, "true", 1)
	case 'f':
		return n.boolean(d, i, "false", 0)
	case 'n':
		if n.kinds&null == 0 || n.values != nil && n.values.kinds&null == 0 {
			return -1
		}
		return literal(d, i, "null")
	default:
		if n.kinds&number == 0 {
			return -1
		}
		return n.number(d, i)
	}
}

func (n *node) boolean(d []byte, i int, word string, value int) int {
	if n.kinds&boolean == 0 || n.values != nil && !n.values.bools[value] {
		return -1
	}
	return literal(d, i, word)
}

func literal(d []byte, i int, word string) int {
	if end := i + len(word); end <= len(d) && string(d[i:end]) == word {
		return end
	}
	return -1
}

// object checks what stands behind "{".
func (n *node) object(d []byte, i, depth int) int {
	var seen uint64
	var others [maxOthers][]byte
	count, unnamed, next := 0, 0, 0
	for i = space(d, i); ; {
		if i >= len(d) {
			return -1
		}
		if d[i] == '}' && count == 0 {
			break
		}
		name, end := plainName(d, i)
		if end < 0 {
			return -1
		}
		member := n.others
		if at := n.find(name, next); at >= 0 {
			if seen&(1<<at) != 0 {
				return -1
			}
			seen |= 1 << at
			next = at + 1
			member = n.properties[at].schema
		} else {
			if member == nil || unnamed == maxOthers || slices.ContainsFunc(others[:unnamed], func(o []byte) bool { return string(o) == string(name) }) {
				return -1
			}
			others[unnamed] = name
			unnamed++
		}
		if i = space(d, end); i >= len(d) || d[i] != ':' {
			return -1
		}
		if i = member.scan(d, i+1, depth); i < 0 {
			return -1
		}
		count++
		if i = space(d, i); i >= len(d) {
			return -1
		}
		if d[i] == '}' {
			break
		}
		if d[i] != ',' {
			return -1
		}
		i = space(d, i+1)
	}
	if seen&n.required != n.required || count < n.minProps || count > n.maxProps || n.oneOf != nil && !oneComplete(n.oneOf, seen) {
		return -1
	}
	return i + 1
}

// oneComplete reports whether exactly one of the sets is part of seen.
func oneComplete(sets []uint64, seen uint64) bool {
	complete := 0
	for _, set := range sets {
		if seen&set == set {
			complete++
		}
	}
	return complete == 1
}

// find looks a name up, first where it stands if members come in the schema's order.
func (n *node) find(name []byte, next int) int {
	if next < len(n.properties) && n.properties[next].name == string(name) {
		return next
	}
	for at := range n.properties {
		if n.properties[at].name == string(name) {
			return at
		}
	}
	return -1
}

// array checks what stands behind "[".
func (n *node) array(d []byte, i, depth int) int {
	count := 0
	for i = space(d, i); ; {
		if i >= len(d) {
			return -1
		}
		if d[i] == ']' && count == 0 {
			break
		}
		if i = n.items.scan(d, i, depth); i < 0 {
			return -1
		}
		count++
		if i = space(d, i); i >= len(d) {
			return -1
		}
		if d[i] == ']' {
			break
		}
		if d[i] != ',' {
			return -1
		}
		i = space(d, i+1)
	}
	if count < n.minItems || count > n.maxItems {
		return -1
	}
	return i + 1
}

// text checks the string that starts at the quote at i. What it does not see through (escapes, where the characters
// themselves matter) it leaves to the engine.
func (n *node) text(d []byte, i int) int {
	end, escapes, ascii := quoted(d, i)
	if end < 0 {
		return -1
	}
	raw := d[i+1 : end-1]
	if !ascii && !utf8.Valid(raw) {
		return -1
	}
	if len(raw) < maxEscape*n.minLength || n.maxLength < len(raw) {
		length := len(raw)
		if !ascii {
			length = utf8.RuneCount(raw)
		}
		if escapes > 0 {
			length -= spare(raw)
		}
		if length < n.minLength || length > n.maxLength {
			return -1
		}
	}
	if n.pattern != nil && !n.matches(raw, escapes) {
		return -1
	}
	if n.values != nil && (escapes > 0 || !slices.ContainsFunc(n.values.texts, func(s string) bool { return s == string(raw) })) {
		return -1
	}
	return end
}

// matches reports whether the pattern certainly matches. If it does not look at what surrounds a match, one between two
// escapes is enough.
func (n *node) matches(raw []byte, escapes int) bool {
	if escapes == 0 {
		return n.pattern.Match(raw)
	}
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

// number checks the number at i against the grammar (RFC 8259 section 6) and the bounds.
func (n *node) number(d []byte, i int) int {
	start := i
	if d[i] == '-' {
		i++
	}
	digits := i
	for i < len(d) && isDigit(d[i]) {
		i++
	}
	if i == digits || d[digits] == '0' && i > digits+1 {
		return -1
	}
	simple := i-digits <= 15
	if i < len(d) && d[i] == '.' {
		simple = false
		fraction := i + 1
		for i = fraction; i < len(d) && isDigit(d[i]); i++ {
		}
		if i == fraction {
			return -1
		}
	}
	if i < len(d) && (d[i] == 'e' || d[i] == 'E') {
		return -1 // its size is not worth an own opinion
	}
	var value float64
	if simple {
		var whole int64
		for _, c := range d[digits:i] {
			whole = whole*10 + int64(c-'0')
		}
		if value = float64(whole); d[start] == '-' {
			value = -value
		}
	} else {
		var err error
		if value, err = strconv.ParseFloat(unsafe.String(&d[start], i-start), 64); err != nil || math.Abs(value) > maxWhole {
			return -1
		}
	}
	if n.integral && value != math.Trunc(value) || value < n.low || value > n.high {
		return -1
	}
	if n.values != nil && !slices.Contains(n.values.numbers, value) {
		return -1
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func space(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\n' || d[i] == '\t' || d[i] == '\r') {
		i++
	}
	return i
}

// plainName returns the member name at i, without quotes. Names with escapes are left to the engine.
func plainName(d []byte, i int) (name []byte, end int) {
	if d[i] != '"' {
		return nil, -1
	}
	end, escapes, ascii := quoted(d, i)
	if end < 0 || escapes > 0 {
		return nil, -1
	}
	name = d[i+1 : end-1]
	if !ascii && !utf8.Valid(name) {
		return nil, -1
	}
	return name, end
}

// quoted returns the index behind the string whose opening quote is at i, how many escapes it has and whether it is ASCII,
// which may be denied wrongly; -1 if it is not a JSON string. UTF-8 is for the caller to check.
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

// notable returns 0 if none of 8 bytes is a quote, a backslash or a control character. Otherwise the lowest bit that is
// set is in the first that is one.
// See https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord.
func notable(word uint64) uint64 {
	quotes, backslashes := word^(ones*'"'), word^(ones*'\\')
	controls := (word - ones*' ') & ^word
	return (controls | (quotes-ones)&^quotes | (backslashes-ones)&^backslashes) & highs
}

// maxEscape is the length of the longest escape of one character.
const maxEscape = len(`\ud83d\ude00`)

// escape returns the length of the escape at the start of d, a surrogate pair counting as one, or 0 if it is not one.
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
