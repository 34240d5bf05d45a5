package fast

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// A walk is one reading of a text.
type walk struct {
	d        []byte
	exact    bool // names that differ from the schema's in case only are doubtful
	work     int  // bytes that may be read again
	matching int  // instructions times bytes that regular expressions may take
	many     bool // an object has more members than are compared
	tooMuch  bool // the limits are reached
	doubt    bool // the outcome is unknown

	faults []Fault
	most   int // of faults; 0 stops at the first, without a record
	pos    int // offset of the last fault or doubt
}

// A Fault is one keyword that a value does not satisfy.
type Fault struct {
	Offset  int      // offset of the value in bytes
	Keyword []string // the way to the keyword from the root of the schema; to the schema itself if that is false
	Names   []string // the unknown member, the missing members ("required"), or the present ones ("oneOf")
	Count   int      // number of items, members or characters, if the keyword bounds it
}

func (s *Schema) newWalk(data []byte, exact bool) walk {
	return walk{d: data, exact: exact, work: len(data) + 4096, matching: MaxMatching}
}

// A Verdict is the answer of [Schema.Valid].
type Verdict uint8

// The verdicts. Unnamed members that are many are not compared with each other, because that takes
// memory.
const (
	Unknown       Verdict = iota
	TooMuchWork           // to say more
	ValidIfUnique         // valid if no object has a name twice
	Valid
)

// Valid judges data: strict JSON that the schema allows, or Unknown. If exact, a member makes it
// Unknown if its name differs in case only from one of the schema's.
func (s *Schema) Valid(data []byte, exact bool) Verdict {
	w := s.newWalk(data, exact)
	end := s.root.scan(&w, 0, s.maxDepth)
	switch {
	case w.tooMuch:
		return TooMuchWork
	case end < 0 || space(data, end) != len(data):
		return Unknown
	case w.many:
		return ValidIfUnique
	}
	return Valid
}

// Faults returns at most most faults of data, in the order of their places. It reports false if the
// outcome is unknown. The text must be JSON with unique names, no deeper than the schema's limit.
func (s *Schema) Faults(data []byte, exact bool, most int) (faults []Fault, known bool) {
	w := s.newWalk(data, exact)
	w.most = most
	s.root.scan(&w, 0, s.maxDepth)
	if w.doubt {
		return nil, false
	}
	slices.SortStableFunc(w.faults, func(a, b Fault) int { return a.Offset - b.Offset })
	return w.faults, true
}

// fail records a fault of the value at i and reports if reading goes on behind the value.
func (w *walk) fail(n *node, i int, keyword string) bool { return w.failWith(n, i, keyword, 0, nil) }

// failWith is fail with the other fields of a [Fault]. It calls names only if it records the fault.
func (w *walk) failWith(n *node, i int, keyword string, count int, names func() []string) bool {
	w.pos = i
	if w.most == 0 {
		return false
	}
	at := n.at
	if keyword != "" {
		at = n.below(keyword)
	}
	f := Fault{Offset: i, Keyword: at, Count: count}
	if names != nil {
		f.Names = names()
	}
	w.faults = append(w.faults, f)
	return len(w.faults) < w.most
}

// stop says that the outcome is unknown.
func (w *walk) stop(i int) int {
	w.pos, w.doubt = i, true
	return -1
}

// behind returns the index behind the value at i if reading shall go on there after a fault, else
// -1.
func (w *walk) behind(i int, goOn bool) int {
	if !goOn {
		return -1
	}
	return skip(w.d, i)
}

// scan returns the index behind the value that starts at or after i, or -1 if it is not certainly
// valid or reading ends. depth is how many levels the value may have.
func (n *node) scan(w *walk, i, depth int) int {
	i = space(w.d, i)
	if i >= len(w.d) {
		return w.stop(i)
	}
	rest, end := n.all, 0
	switch {
	case n.inPlace && len(rest) > 0:
		end, rest = rest[0].scan(w, i, depth), rest[1:]
	case n.inPlace && n.anyOf != nil:
		if end = n.branch(w, i, depth); end >= 0 || w.doubt {
			return end
		}
		return w.behind(i, w.fail(n, i, "anyOf"))
	default:
		end = n.own(w, i, depth)
	}
	if end < 0 {
		return -1
	}
	for _, other := range rest {
		if !w.readAgain(i, end) || other.scan(w, i, depth) < 0 {
			return -1
		}
	}
	if n.anyOf != nil {
		if !w.readAgain(i, end) {
			return -1
		}
		if n.branch(w, i, depth) < 0 {
			if w.doubt || !w.fail(n, i, "anyOf") {
				return -1
			}
		}
	}
	return end
}

// readAgain charges for reading the bytes between i and end again. It reports false if that is too
// much.
func (w *walk) readAgain(i, end int) bool {
	if w.work -= end - i; w.work < 0 {
		w.tooMuch = true
		w.stop(i)
	}
	return !w.doubt
}

// branch returns the index behind the value if a branch of anyOf allows it, else -1.
func (n *node) branch(w *walk, i, depth int) int {
	most := w.most
	w.most = 0
	defer func() { w.most = most }()
	for _, branch := range n.anyOf {
		if end := branch.scan(w, i, depth); end >= 0 || w.doubt {
			return end
		}
		if !w.readAgain(i, max(i, w.pos)) {
			return -1
		}
	}
	return -1
}

// own checks the value against the node's own keywords.
func (n *node) own(w *walk, i, depth int) int {
	var k kind
	switch c := w.d[i]; {
	case c == '{':
		k = object
	case c == '[':
		k = array
	case c == '"':
		k = text
	case c == 't' || c == 'f':
		k = boolean
	case c == 'n':
		k = null
	case c == '-' || isDigit(c):
		k = number
	default:
		return w.stop(i)
	}
	if n.kinds&k == 0 {
		return w.behind(i, w.fail(n, i, n.kindKeyword(k)))
	}
	switch k {
	case object, array:
		if depth == 0 {
			return w.stop(i)
		}
		if n.values != nil {
			return w.behind(i, w.fail(n, i, n.choice))
		}
		if k == array {
			return n.array(w, i, depth-1)
		}
		return n.object(w, i, depth-1)
	case text:
		return n.text(w, i)
	case number:
		return n.number(w, i)
	}
	return n.literal(w, i)
}

// kindKeyword returns the keyword that does not allow a kind.
func (n *node) kindKeyword(k kind) string {
	switch {
	case n.never:
		return ""
	case n.typed&k == 0:
		return "type"
	}
	return "oneOf"
}

// literal checks true, false and null.
func (n *node) literal(w *walk, i int) int {
	for at, word := range [...]string{"false", "true", "null"} {
		end := i + len(word)
		if end > len(w.d) || string(w.d[i:end]) != word {
			continue
		}
		allowed := n.values == nil || at < 2 && n.values.bools[at] || at == 2 && n.values.kinds&null != 0
		if !allowed && !w.fail(n, i, n.choice) {
			return -1
		}
		return end
	}
	return w.stop(i)
}

// array checks the list at start.
func (n *node) array(w *walk, start, depth int) int {
	count := 0
	i := space(w.d, start+1)
	for {
		if i >= len(w.d) {
			return w.stop(i)
		}
		if w.d[i] == ']' && count == 0 {
			break
		}
		if count++; count > n.maxItems {
			if w.most == 0 {
				return w.behind(start, w.fail(n, start, "maxItems"))
			}
			i = skip(w.d, i) // further items are counted, not checked
		} else if i = n.items.scan(w, i, depth); i < 0 {
			return -1
		}
		if i = space(w.d, i); i >= len(w.d) {
			return w.stop(i)
		}
		if w.d[i] == ']' {
			break
		}
		if w.d[i] != ',' {
			return w.stop(i)
		}
		i = space(w.d, i+1)
	}
	if count < n.minItems && !w.failWith(n, start, "minItems", count, nil) || count > n.maxItems && !w.failWith(n, start, "maxItems", count, nil) {
		return -1
	}
	return i + 1
}

// number checks the number at i against the grammar (RFC 8259 section 6) and the bounds.
func (n *node) number(w *walk, i int) int {
	d, start := w.d, i
	if d[i] == '-' {
		i++
	}
	digits := i
	i = behindDigits(d, i)
	if i == digits || d[digits] == '0' && i > digits+1 {
		return w.stop(i)
	}
	simple := i-digits <= 15
	if i < len(d) && d[i] == '.' {
		simple = false
		fraction := i + 1
		if i = behindDigits(d, fraction); i == fraction {
			return w.stop(i)
		}
	}
	if i < len(d) && (d[i] == 'e' || d[i] == 'E') {
		simple = false
		if i++; i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		exponent := i
		if i = behindDigits(d, i); i == exponent {
			return w.stop(i)
		}
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
		if value, err = strconv.ParseFloat(unsafe.String(&d[start], i-start), 64); err != nil {
			return w.stop(i)
		}
	}
	keyword := ""
	switch {
	case n.integral && value != math.Trunc(value):
		keyword = "type"
	case n.values != nil && !n.values.numbers[value]:
		keyword = n.choice
	case value < n.low:
		keyword = "minimum"
	case value > n.high:
		keyword = "maximum"
	}
	if keyword != "" && !w.fail(n, start, keyword) {
		return -1
	}
	return i
}

func behindDigits(d []byte, i int) int {
	for i < len(d) && isDigit(d[i]) {
		i++
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

// skip returns the index behind the value at i, in text that is known to be JSON.
func skip(d []byte, i int) int {
	depth := 0
	for i = space(d, i); i < len(d); {
		switch c := d[i]; c {
		case '"':
			end, _, _ := quoted(d, i)
			if end < 0 {
				return len(d)
			}
			i = end
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ' ', '\n', '\t', '\r', ',', ':':
			i++
			continue
		default:
			for i < len(d) && !strings.ContainsRune(",:]} \n\t\r", rune(d[i])) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return i
}
