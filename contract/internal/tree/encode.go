package tree

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends n as JSON: members in the author's order, numbers as written.
func (n *Node) AppendJSON(dst []byte) []byte { return n.appendJSON(dst, false) }

// AppendCanonical appends n as JSON that is the same for equal values: members sorted, numbers in one form.
// Numbers are compared as float64.
func (n *Node) AppendCanonical(dst []byte) []byte { return n.appendJSON(dst, true) }

func (n *Node) appendJSON(dst []byte, canonical bool) []byte {
	switch n.Kind {
	case Null:
		return append(dst, "null"...)
	case Bool:
		return append(dst, n.Scalar...)
	case Number:
		if canonical {
			return appendNumber(dst, n.float())
		}
		return append(dst, n.Scalar...)
	case Text:
		return appendText(dst, n.Scalar)
	case List:
		dst = append(dst, '[')
		for i, item := range n.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.appendJSON(dst, canonical)
		}
		return append(dst, ']')
	}
	members := n.Members
	if canonical {
		members = slices.SortedFunc(slices.Values(members), func(a, b Member) int { return strings.Compare(a.Key, b.Key) })
	}
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, m.Key), ':')
		dst = m.Value.appendJSON(dst, canonical)
	}
	return append(dst, '}')
}

func appendText(dst []byte, text string) []byte {
	// AppendQuote fails for invalid UTF-8 only, which no node holds.
	quoted, err := jsontext.AppendQuote(dst, text)
	if err != nil {
		return strconv.AppendQuoteToASCII(dst, "")
	}
	if strings.Contains(text, "\x7f") { // which files must not have as it is
		return append(dst, bytes.ReplaceAll(quoted[len(dst):], []byte("\x7f"), []byte(`\u007f`))...)
	}
	return quoted
}

// appendNumber writes whole numbers without a fraction and the rest in the shortest form that reads back the same.
func appendNumber(dst []byte, value float64) []byte {
	if value == math.Trunc(value) && math.Abs(value) < 1<<53 {
		return strconv.AppendInt(dst, int64(value), 10)
	}
	return strconv.AppendFloat(dst, value, 'g', -1, 64)
}
