// Package tree holds a YAML or JSON document as a tree of values that know where they were written.
//
// It is strict where the two formats are lax: what different readers would understand differently (duplicate names,
// leading zeros, numbers out of range, several documents in one file) is a [Problem] and not a guess.
package tree

import (
	"math"
	"strconv"
	"strings"
)

// Kind is the JSON type of a [Node].
type Kind uint8

// The kinds of a node.
const (
	Null Kind = iota
	Bool
	Number
	Text
	List
	Map
)

// A Position is a place in a document. Line and Column count from 1, columns and Width in runes. The zero Position is
// nowhere.
type Position struct{ Line, Column, Width int }

// A Node is one value of a document. Nodes are not modified once they are built.
type Node struct {
	Kind    Kind
	doubt   doubt    // whether other YAML readers take the value for something else
	index   int32    // in parent, if that is a List
	Scalar  string   // Text: the text; Number: a JSON number as written; Bool: "true" or "false"
	Members []Member // of a Map, in the author's order, without duplicates
	Items   []*Node  // of a List
	At      Position // of the value
	KeyAt   Position // of the key in front of it; zero for the root and in lists
	parent  *Node    // nil for the root
	key     string   // in parent, if that is a Map
	origin  *Node    // what a derived node was derived from
	source  *Source  // of the root
}

// doubt is a type for which other YAML readers may take a value.
type doubt uint8

const (
	noDoubt doubt = iota
	truthDoubt
	numberDoubt
	dateDoubt
	textDoubt
)

// Elsewhere says what other YAML readers take the value for, if that is something else; "" if not.
func (n *Node) Elsewhere() string {
	return [...]string{noDoubt: "", truthDoubt: "true or false", numberDoubt: "a number", dateDoubt: "a date", textDoubt: "text"}[n.doubt]
}

// A Member is one entry of a Map.
type Member struct {
	Key   string
	Value *Node
}

// Get returns the member of that name, or nil. Get of a nil node or of one that is no Map is nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Members {
		if n.Members[i].Key == key {
			return n.Members[i].Value
		}
	}
	return nil
}

// Find follows names and indexes (in decimal) from n, as a JSON pointer does, and returns nil if they lead nowhere.
func (n *Node) Find(path ...string) *Node {
	for _, token := range path {
		if n != nil && n.Kind == List {
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(n.Items) {
				return nil
			}
			n = n.Items[i]
			continue
		}
		n = n.Get(token)
	}
	return n
}

// Is reports whether n exists and is of the kind.
func (n *Node) Is(kind Kind) bool { return n != nil && n.Kind == kind }

// Text returns the text of a Text node, and "" for every other and for nil.
func (n *Node) Text() string {
	if !n.Is(Text) {
		return ""
	}
	return n.Scalar
}

// Bool returns the value of a Bool node, nil for every other.
func (n *Node) Bool() *bool {
	if !n.Is(Bool) {
		return nil
	}
	v := n.Scalar == "true"
	return &v
}

// Float returns the value of a Number node, nil for every other.
func (n *Node) Float() *float64 {
	if !n.Is(Number) {
		return nil
	}
	v := n.float()
	return &v
}

// float parses the number again: few are ever asked for.
func (n *Node) float() float64 {
	value, _ := parseNumber(n.Scalar) // was checked when n was made
	return value
}

// Int returns the value of a Number node that is a whole number, and 0 for every other. What does not fit is cut to
// the largest or smallest int.
func (n *Node) Int() int {
	if !n.Is(Number) {
		return 0
	}
	switch value := n.float(); {
	case value != math.Trunc(value):
		return 0
	case value >= math.MaxInt:
		return math.MaxInt
	case value <= math.MinInt:
		return math.MinInt
	default:
		return int(value)
	}
}

// Any returns the value as [encoding/json] would decode it: nil, bool, float64, string, []any or map[string]any.
func (n *Node) Any() any {
	switch {
	case n == nil || n.Kind == Null:
		return nil
	case n.Kind == Bool:
		return n.Scalar == "true"
	case n.Kind == Number:
		return n.float()
	case n.Kind == Text:
		return n.Scalar
	case n.Kind == List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = item.Any()
		}
		return list
	}
	object := make(map[string]any, len(n.Members))
	for _, m := range n.Members {
		object[m.Key] = m.Value.Any()
	}
	return object
}

// Path returns the way from the root to n as its author wrote it, for example "service.capabilities[0].type"; "" is
// the root.
func (n *Node) Path() string {
	for n != nil && n.origin != nil {
		n = n.origin
	}
	if n == nil || n.parent == nil {
		return ""
	}
	parent := n.parent.Path()
	if n.parent.Kind == List {
		return parent + "[" + strconv.Itoa(int(n.index)) + "]"
	}
	return JoinPath(parent, n.key)
}

// Source returns the document that n was written in.
func (n *Node) Source() *Source {
	for n != nil {
		switch {
		case n.source != nil:
			return n.source
		case n.origin != nil:
			n = n.origin
		default:
			n = n.parent
		}
	}
	return nil
}

// JoinPath appends the name of a member to a path.
func JoinPath(path, key string) string {
	plain := key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r <= ' ' || strings.ContainsRune(`.[]"'`, r) || r == 0x7f
	})
	switch {
	case !plain:
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// Label returns the position of n's key, or of n itself where it has none.
func (n *Node) Label() Position {
	if n.KeyAt.Line > 0 {
		return n.KeyAt
	}
	return n.At
}

// Describe names the value for people, for example `the number 1.4`, `the text "ten"` or "a list". Long texts are cut.
func (n *Node) Describe() string {
	switch n.Kind {
	case Null:
		return "nothing"
	case Bool:
		return n.Scalar
	case Number:
		return "the number " + Shorten(n.Scalar)
	case Text:
		return "the text " + strconv.Quote(Shorten(n.Scalar))
	case List:
		return "a list"
	}
	return "an object"
}

// Shorten cuts text to at most 40 runes.
func Shorten(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	runes := []rune(text[:min(len(text), 4*most+4)])
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// Levels returns how many levels of lists and objects n has: 0 for a scalar.
func (n *Node) Levels() int {
	if n.Kind != List && n.Kind != Map {
		return 0
	}
	inner := 0
	for _, item := range n.Items {
		inner = max(inner, item.Levels())
	}
	for _, m := range n.Members {
		inner = max(inner, m.Value.Levels())
	}
	return 1 + inner
}

// Key returns the name of n in the object around it, "" if there is none.
func (n *Node) Key() string {
	for n.origin != nil {
		n = n.origin
	}
	return n.key
}

// Size returns the number of values in n, n included.
func (n *Node) Size() int {
	size := 1
	for _, item := range n.Items {
		size += item.Size()
	}
	for _, m := range n.Members {
		size += m.Value.Size()
	}
	return size
}
