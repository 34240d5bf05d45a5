package fast

import (
	"math"
	"slices"
	"strconv"
	"strings"
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
			if member == nil || unnamed == maxOthers || n.resembles(name) || slices.ContainsFunc(others[:unnamed], func(o []byte) bool { return string(o) == string(name) }) {
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

// resembles reports whether a name that is not the schema's differs from one only in case: not everybody wants that.
func (n *node) resembles(name []byte) bool {
	for at := range n.properties {
		if strings.EqualFold(unsafe.String(unsafe.SliceData(name), len(name)), n.properties[at].name) {
			return true
		}
	}
	return false
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
