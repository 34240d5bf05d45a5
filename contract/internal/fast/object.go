package fast

import (
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// fewOthers bounds the members without a property that are compared with each other. A JSON reader
// must look for duplicates in larger objects: see [Verdict].
const fewOthers = 8

// members are the names of one object that were read.
type members struct {
	named  uint64 // bits: indexes of properties
	few    [fewOthers][]byte
	others int
}

// add reports if a name without a property is new among the first fewOthers.
func (m *members) add(w *walk, name []byte) bool {
	if m.others == fewOthers {
		w.many = true
		return true
	}
	for _, known := range m.few[:m.others] {
		if string(known) == string(name) {
			return false
		}
	}
	m.few[m.others] = name
	m.others++
	return true
}

// object checks the object at start.
func (n *node) object(w *walk, start, depth int) int {
	var seen members
	count, next := 0, 0
	i := space(w.d, start+1)
	for {
		if i >= len(w.d) {
			return w.stop(i)
		}
		if w.d[i] == '}' && count == 0 {
			break
		}
		name, end := w.name(i)
		if end < 0 {
			return w.stop(i)
		}
		count++
		if count > n.maxProps && w.most == 0 {
			return w.behind(start, w.fail(n, start, "maxProperties"))
		}
		if i = space(w.d, end); i >= len(w.d) || w.d[i] != ':' {
			return w.stop(i)
		}
		if i, next = n.memberAt(w, &seen, name, start, i+1, depth, next); i < 0 {
			return -1
		}
		if i = space(w.d, i); i >= len(w.d) {
			return w.stop(i)
		}
		if w.d[i] == '}' {
			break
		}
		if w.d[i] != ',' {
			return w.stop(i)
		}
		i = space(w.d, i+1)
	}
	if !n.complete(w, &seen, start, count) {
		return -1
	}
	return i + 1
}

// memberAt checks the member with the value at or after i. It returns the index behind it, and the
// property that likely comes next.
func (n *node) memberAt(w *walk, seen *members, name []byte, start, i, depth, next int) (end, following int) {
	at := n.find(name, next)
	if at >= 0 {
		if seen.named&(1<<at) != 0 {
			return w.stop(i), 0
		}
		seen.named |= 1 << at
		return n.properties[at].schema.scan(w, i, depth), at + 1
	}
	if w.most == 0 && !seen.add(w, name) || w.exact && n.resembles(name) {
		return w.stop(i), 0
	}
	if n.others == nil {
		return w.behind(i, w.failWith(n, start, "additionalProperties", 0, func() []string { return []string{string(name)} })), next
	}
	return n.others.scan(w, i, depth), next
}

// complete checks the keywords that need the whole object.
func (n *node) complete(w *walk, seen *members, start, count int) bool {
	if missing := n.required &^ seen.named; missing != 0 && !w.failWith(n, start, "required", 0, func() []string { return n.names(missing) }) {
		return false
	}
	if n.oneOf != nil && !oneComplete(n.oneOf, seen.named) && !w.failWith(n, start, "oneOf", 0, func() []string { return n.names(seen.named) }) {
		return false
	}
	return (count >= n.minProps || w.failWith(n, start, "minProperties", count, nil)) &&
		(count <= n.maxProps || w.failWith(n, start, "maxProperties", count, nil))
}

// names returns the names of a set of properties.
func (n *node) names(set uint64) (list []string) {
	for i := range n.properties {
		if set&(1<<i) != 0 {
			list = append(list, n.properties[i].name)
		}
	}
	return list
}

// oneComplete reports if exactly one of the sets is part of seen.
func oneComplete(sets []uint64, seen uint64) bool {
	complete := 0
	for _, set := range sets {
		if seen&set == set {
			complete++
		}
	}
	return complete == 1
}

// name returns the member name at i, without quotes and escapes.
func (w *walk) name(i int) (name []byte, end int) {
	if w.d[i] != '"' {
		return nil, -1
	}
	end, escapes, ascii := quoted(w.d, i)
	if end < 0 {
		return nil, -1
	}
	name = w.d[i+1 : end-1]
	if !ascii && !utf8.Valid(name) {
		return nil, -1
	}
	if escapes > 0 {
		unquoted, err := jsontext.AppendUnquote(nil, w.d[i:end])
		if err != nil {
			return nil, -1
		}
		return unquoted, end
	}
	return name, end
}

// find returns the index of a property, or -1. It tries next first, for members in the schema's
// order.
func (n *node) find(name []byte, next int) int {
	if next < len(n.properties) && n.properties[next].name == string(name) {
		return next
	}
	if at, known := n.index[string(name)]; known {
		return at
	}
	return -1
}

// resembles reports if a name differs in case only from one of the schema's.
func (n *node) resembles(name []byte) bool {
	if len(n.folded) == 0 || len(name) > utf8.UTFMax*n.longest {
		return false
	}
	var buffer [128]byte
	_, known := n.folded[string(fold(buffer[:0], string(name)))]
	return known
}

// fold appends a form of the name that is equal for names equal under [strings.EqualFold].
func fold(dst []byte, name string) []byte {
	for _, r := range name {
		switch {
		case 'a' <= r && r <= 'z':
			r -= 'a' - 'A'
		case r >= utf8.RuneSelf:
			least := r
			for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
				least = min(least, other)
			}
			r = least
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
