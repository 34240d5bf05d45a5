package tree

import (
	"slices"
	"strconv"
)

// Derived nodes rewrite a document without losing where its parts were written: their positions and paths are those of
// the node that they were derived from.

// NewMap returns a Map with members that says it was written where origin was.
func NewMap(origin *Node, members ...Member) *Node {
	return &Node{Kind: Map, Members: members, At: origin.At, KeyAt: origin.KeyAt, origin: origin}
}

// NewList is [NewMap] for a List.
func NewList(origin *Node, items ...*Node) *Node {
	return &Node{Kind: List, Items: items, At: origin.At, KeyAt: origin.KeyAt, origin: origin}
}

// NewText is [NewMap] for a Text.
func NewText(origin *Node, text string) *Node {
	return &Node{Kind: Text, Scalar: text, At: origin.At, KeyAt: origin.KeyAt, origin: origin}
}

// NewBool is [NewMap] for a Bool.
func NewBool(origin *Node, value bool) *Node {
	return &Node{Kind: Bool, Scalar: strconv.FormatBool(value), At: origin.At, KeyAt: origin.KeyAt, origin: origin}
}

// NewNumber is [NewMap] for a Number.
func NewNumber(origin *Node, value float64) *Node {
	return &Node{Kind: Number, Scalar: string(appendNumber(nil, value)), At: origin.At, KeyAt: origin.KeyAt, origin: origin}
}

// With returns a copy of the Map n in which key has the value, appended if it was absent. Its path and position are
// those of n.
func (n *Node) With(key string, value *Node) *Node {
	members := make([]Member, 0, len(n.Members)+1)
	found := false
	for _, m := range n.Members {
		if m.Key == key {
			m.Value, found = value, true
		}
		members = append(members, m)
	}
	if !found {
		members = append(members, Member{key, value})
	}
	return NewMap(n, members...)
}

// Without returns a copy of the Map n without the keys.
func (n *Node) Without(keys ...string) *Node {
	return n.Filter(func(key string) bool { return !slices.Contains(keys, key) })
}

// Filter returns a copy of the Map n with the members that are to be kept.
func (n *Node) Filter(keep func(key string) bool) *Node {
	members := make([]Member, 0, len(n.Members))
	for _, m := range n.Members {
		if keep(m.Key) {
			members = append(members, m)
		}
	}
	return NewMap(n, members...)
}

// Same reports whether both nodes are, or were derived from, the same value of a document.
func (n *Node) Same(other *Node) bool {
	for n.origin != nil {
		n = n.origin
	}
	for other.origin != nil {
		other = other.origin
	}
	return n == other
}
