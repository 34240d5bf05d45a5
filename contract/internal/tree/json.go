package tree

import (
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// parseJSON reads one JSON document. YAML is nearly a superset of JSON, but yaml.v3 refuses escaped surrogate pairs,
// which is how other languages write characters beyond the basic plane, and words its errors poorly.
func parseJSON(source *Source) (*Node, []Problem) {
	text := strings.TrimPrefix(source.text, "\uFEFF")
	r := jsonReader{builder: builder{source: source}, text: text, base: len(source.text) - len(text),
		decoder: jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true))}
	root := r.value(nil, "", 0, 0)
	if !r.halted {
		if _, err := r.decoder.ReadToken(); err == nil {
			r.fail(errors.New("something follows after the end of the document"))
		} else if !errors.Is(err, io.EOF) {
			r.fail(err)
		}
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	root.source = source
	return root, nil
}

type jsonReader struct {
	builder
	text    string
	base    int // offset of text in the source
	decoder *jsontext.Decoder

	lastOffset int // of the latest token, and where it stands: lines may be long
	last       Position
}

// next returns the next token and where it stands.
func (r *jsonReader) next() (jsontext.Token, Position, bool) {
	start := int(r.decoder.InputOffset())
	for start < len(r.text) && strings.IndexByte(" \t\r\n,:", r.text[start]) >= 0 {
		start++
	}
	token, err := r.decoder.ReadToken()
	if err != nil {
		r.fail(err)
		return token, Position{}, false
	}
	at := r.position(start)
	at.Width = max(1, utf8.RuneCountInString(r.text[start:r.decoder.InputOffset()]))
	return token, at, true
}

// position is [Source.Position] in constant time for offsets that grow, which matters in a long line.
func (r *jsonReader) position(offset int) Position {
	lines := r.source.lines
	if line := r.last.Line; line > 0 && (line == len(lines) || r.base+offset < lines[line]) {
		r.last.Column += utf8.RuneCountInString(r.text[r.lastOffset:offset])
	} else {
		r.last = r.source.Position(r.base + offset)
	}
	r.lastOffset = offset
	return r.last
}

func (r *jsonReader) fail(err error) {
	offset := int(r.decoder.InputOffset())
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		offset, err = int(syntax.ByteOffset), syntax.Err
	}
	message := strings.TrimPrefix(err.Error(), "jsontext: ")
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		message = "the document ends too early"
	}
	r.halt(r.source.Position(r.base+offset), "", "file/syntax", "", "not valid JSON: %s", message)
}

// value reads one value. It never returns nil.
func (r *jsonReader) value(parent *Node, key string, index, depth int) *Node {
	n := &Node{parent: parent, key: key, index: int32(index)}
	token, at, ok := r.next()
	n.At = at
	if !ok || !r.enter(n, depth) {
		return n
	}
	switch token.Kind() {
	case 't', 'f':
		n.Kind, n.Scalar = Bool, token.String()
	case '"':
		n.Kind, n.Scalar = Text, token.String()
	case '0':
		r.setNumber(n, token.String(), n.Path)
	case '[':
		n.Kind = List
		for i := 0; !r.halted && r.decoder.PeekKind() != ']'; i++ {
			n.Items = append(n.Items, r.value(n, "", i, depth+1))
		}
		r.close()
	case '{':
		n.Kind = Map
		r.members(n, depth)
		r.close()
	}
	return n
}

func (r *jsonReader) members(n *Node, depth int) {
	seen := map[string]Position{}
	for !r.halted && r.decoder.PeekKind() != '}' {
		token, at, ok := r.next()
		if !ok {
			return
		}
		name := token.String()
		if first, dup := seen[name]; dup {
			r.report(at, JoinPath(n.Path(), name), "file/duplicate-key", "remove one of the two",
				"the key %q is already on line %d", Shorten(name), first.Line)
		}
		value := r.value(n, name, 0, depth+1)
		value.KeyAt = at
		if _, dup := seen[name]; !dup {
			n.Members = append(n.Members, Member{name, value})
		}
		seen[name] = at
	}
}

func (r *jsonReader) close() {
	if r.halted {
		return
	}
	r.next()
}
