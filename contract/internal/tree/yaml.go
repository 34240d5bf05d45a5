package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// yaml.v3 serves as a parser to nodes only. Its decoder is not used: it takes quadratic time to find duplicate keys,
// turns dates into times and large numbers into text, and loses positions.

// parseYAML reads one YAML document.
func parseYAML(source *Source) (*Node, []Problem) {
	decoder := yaml.NewDecoder(strings.NewReader(source.text))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, []Problem{emptyFile}
	} else if err != nil {
		return nil, []Problem{syntaxProblem(source, err)}
	}
	if len(document.Content) != 1 {
		return nil, []Problem{emptyFile}
	}
	w := yamlWalker{builder: builder{source: source}, open: map[*yaml.Node]bool{}}
	root := w.value(document.Content[0], nil, "", 0, 0)
	var next yaml.Node
	switch err := decoder.Decode(&next); {
	case errors.Is(err, io.EOF):
	case err != nil:
		w.problems = append(w.problems, syntaxProblem(source, err))
	default:
		at := Position{Line: max(1, next.Line), Column: max(1, next.Column), Width: 1}
		w.report(at, "", "file/multi-document", "keep one contract per file", "a second document starts here")
	}
	if len(w.problems) > 0 {
		return nil, w.problems
	}
	root.source = source
	return root, nil
}

var emptyFile = Problem{At: Position{Line: 1, Column: 1, Width: 1}, Code: "file/empty", Message: "the file is empty"}

type yamlWalker struct {
	builder
	size int                 // of all texts, those of aliases as often as they are expanded
	open map[*yaml.Node]bool // mappings and sequences being walked, to find aliases to themselves
}

// value converts one YAML node. It never returns nil.
func (w *yamlWalker) value(y *yaml.Node, parent *Node, key string, index, depth int) *Node {
	n := &Node{parent: parent, key: key, index: int32(index), At: position(y)}
	if !w.enter(n, depth) {
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		return w.alias(y, n, depth)
	case yaml.ScalarNode:
		w.scalar(y, n)
		w.grow(n, y)
		return n
	}
	natural := "!!map"
	if y.Kind == yaml.SequenceNode {
		natural = "!!seq"
	}
	if tag := y.ShortTag(); tag != natural {
		w.badTag(n, tag)
		return n
	}
	w.open[y] = true
	defer delete(w.open, y)
	if y.Kind == yaml.SequenceNode {
		n.Kind, n.Items = List, make([]*Node, 0, len(y.Content))
		for i, item := range y.Content {
			n.Items = append(n.Items, w.value(item, n, "", i, depth+1))
			if w.halted {
				break
			}
		}
		return n
	}
	n.Kind, n.Members = Map, make([]Member, 0, len(y.Content)/2)
	w.members(y, n, depth)
	return n
}

// grow counts the bytes of a scalar at n: a long text with a hundred aliases would fill the memory.
func (w *yamlWalker) grow(n *Node, scalar *yaml.Node) {
	if w.size += len(scalar.Value); w.size > MaxBytes && !w.halted {
		w.halt(n.At, n.Path(), "file/size-limit", "write fewer aliases of long texts", "more than %d bytes, aliases expanded", MaxBytes)
	}
}

// alias expands y into n's place.
func (w *yamlWalker) alias(y *yaml.Node, n *Node, depth int) *Node {
	if w.open[y.Alias] {
		w.report(n.At, n.Path(), "file/alias-cycle", "write the value out", "the alias *%s contains itself", Shorten(y.Value))
		return n
	}
	if w.aliases++; w.aliases > MaxAliases {
		w.halt(n.At, n.Path(), "file/alias-limit", "write the values out", "more than %d aliases, those inside aliases counted", MaxAliases)
		return n
	}
	return w.value(y.Alias, n.parent, n.key, int(n.index), depth)
}

// members fills the Map n: own members first, then what merge keys ("<<") add.
func (w *yamlWalker) members(y *yaml.Node, n *Node, depth int) {
	seen := make(map[string]Position, len(y.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content) && !w.halted; i += 2 {
		k := y.Content[i]
		if isMerge(k) {
			merges = append(merges, y.Content[i+1])
			continue
		}
		name, ok := w.key(k, n)
		if !ok {
			continue
		}
		w.grow(n, k)
		at := position(k)
		if first, dup := seen[name]; dup {
			w.report(at, JoinPath(n.Path(), name), "file/duplicate-key", "remove one of the two",
				"the key %q is already on line %d", Shorten(name), first.Line)
			continue
		}
		seen[name] = at
		value := w.value(y.Content[i+1], n, name, 0, depth+1)
		value.KeyAt = at
		n.Members = append(n.Members, Member{name, value})
	}
	for _, merge := range merges {
		w.merge(merge, n, seen, depth)
	}
}

// merge adds to n the members of a mapping, or of a list of mappings of which earlier ones win.
func (w *yamlWalker) merge(y *yaml.Node, n *Node, seen map[string]Position, depth int) {
	merged := w.value(y, n, "<<", 0, depth+1)
	maps := []*Node{merged}
	if merged.Kind == List {
		maps = merged.Items
	}
	for _, from := range maps {
		if w.halted {
			return
		}
		if from.Kind != Map {
			w.report(from.At, n.Path(), "file/merge", "name an object with an alias: <<: *anchor",
				"a merge key needs an object or a list of objects, found %s", from.Describe())
			continue
		}
		for _, m := range from.Members {
			if _, own := seen[m.Key]; !own {
				seen[m.Key] = m.Value.KeyAt
				m.Value.parent = n
				n.Members = append(n.Members, m)
			}
		}
	}
}

// key returns the name that a mapping key stands for.
func (w *yamlWalker) key(k *yaml.Node, n *Node) (string, bool) {
	for hops := 0; k.Kind == yaml.AliasNode && hops < 10; hops++ {
		k = k.Alias
	}
	if k.Kind == yaml.ScalarNode {
		probe := &Node{At: position(k), parent: n, key: k.Value}
		scratch := yamlWalker{builder: builder{source: w.source}}
		scratch.scalar(k, probe)
		if probe.Kind == Text && len(scratch.problems) == 0 {
			return probe.Scalar, true
		}
		w.report(probe.At, n.Path(), "file/key-not-text", "write it in quotes", "the key %s is not text", Shorten(k.Value))
		return "", false
	}
	w.report(position(k), n.Path(), "file/key-not-text", "use a text as the key", "a key must be text, found a list or an object")
	return "", false
}

func isMerge(k *yaml.Node) bool {
	return k.Kind == yaml.ScalarNode && k.Value == "<<" && k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.TaggedStyle) == 0
}

const quotedStyle = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

func (w *yamlWalker) scalar(y *yaml.Node, n *Node) {
	tagged := y.Style&yaml.TaggedStyle != 0
	tag := y.Tag
	if tagged {
		tag = y.ShortTag()
	}
	switch {
	case tagged && tag == "!!str", !tagged && y.Style&quotedStyle != 0:
		n.Kind, n.Scalar = Text, y.Value
		return
	case !tagged:
		w.resolvePlain(n, y.Value, n.Path)
		return
	}
	w.resolvePlain(n, y.Value, n.Path)
	want := map[string]Kind{"!!null": Null, "!!bool": Bool, "!!int": Number, "!!float": Number}
	if kind, known := want[tag]; !known || kind != n.Kind {
		w.badTag(n, tag)
	}
}

func (w *yamlWalker) badTag(n *Node, tag string) {
	w.report(n.At, n.Path(), "file/tag", "leave the tag out", "the tag %s does not fit here", Shorten(tag))
}

func position(y *yaml.Node) Position {
	width := 1
	if y.Kind == yaml.ScalarNode && y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		width = utf8.RuneCountInString(y.Value)
		if y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			width += 2
		}
	} else if y.Kind == yaml.AliasNode {
		width = 1 + utf8.RuneCountInString(y.Value)
	}
	return Position{Line: y.Line, Column: y.Column, Width: max(1, width)}
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// plainWords says in words what the parser's most frequent messages mean.
var plainWords = []struct{ part, words, fix string }{
	{"found character that cannot start any token", "a character that cannot start a value", "indent with spaces instead of tabs; put texts that start with @, ` or % in quotes"},
	{"found a tab character", "a tab in the indentation", "indent with spaces"},
	{"mapping values are not allowed", "a colon where no key can be", "put a text that contains ': ' in quotes, and check the indentation"},
	{"did not find expected key", "a line that does not fit the indentation around it", "line it up with its neighbours"},
	{"did not find expected '-' indicator", "a line that does not fit the list around it", "line it up with the other items"},
	{"could not find expected ':'", "a line without a colon", "write  key: value"},
	{"did not find expected ',' or ']'", "a list in brackets is not closed", "add the missing ]"},
	{"did not find expected ',' or '}'", "an object in braces is not closed", "add the missing }"},
	{"found unexpected end of stream", "the quotes that open here are not closed", "add the missing quote"},
	{"unknown anchor", "an alias without an anchor", "define the anchor with & before it is used"},
}

func syntaxProblem(source *Source, err error) Problem {
	message, line := err.Error(), 1
	if m := yamlError.FindStringSubmatch(message); m != nil {
		message = m[2]
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			line = n
		}
	}
	line = max(1, min(failingLine(source, line), len(source.lines)))
	text := source.Line(line)
	indent := len(text) - len(strings.TrimLeft(text, " "))
	p := Problem{At: Position{Line: line, Column: 1 + indent, Width: max(1, utf8.RuneCountInString(strings.TrimSpace(text)))}, Code: "file/syntax"}
	for _, known := range plainWords {
		if strings.Contains(message, known.part) {
			p.Message, p.Fix = known.words+" ("+message+")", known.fix
			return p
		}
	}
	p.Message = fmt.Sprintf("not valid YAML: %s", Shorten(message))
	return p
}

// failingLine returns the first line from which on no prefix of the file can be read. It is nearer to the mistake than the
// line of yaml.v3, often the start of the surrounding block and one off. Files too large for that keep the reported line.
func failingLine(source *Source, reported int) int {
	const most = 1_000_000 // bytes parsed in all, at most 0.25 s
	if len(source.lines)*len(source.text) > 2*most {
		return reported
	}
	for line := len(source.lines); line > 1; line-- {
		var ignored yaml.Node
		err := yaml.NewDecoder(bytes.NewReader([]byte(source.text[:source.lines[line-1]]))).Decode(&ignored)
		if err == nil || errors.Is(err, io.EOF) {
			return line
		}
	}
	return 1
}

// YAML returns n as YAML, with the same value when read back. It returns errors of the encoder.
func (n *Node) YAML() ([]byte, error) { return yaml.Marshal(n.yaml()) }

func (n *Node) yaml() *yaml.Node {
	switch n.Kind {
	case Null:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: n.Scalar}
	case Number:
		tag := "!!int"
		if strings.ContainsAny(n.Scalar, ".eE") || len(n.Scalar) > 18 {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: yamlNumber(n.Scalar)}
	case Text:
		return yamlText(n.Scalar)
	case List:
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range n.Items {
			list.Content = append(list.Content, item.yaml())
		}
		return list
	}
	object := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, m := range n.Members {
		object.Content = append(object.Content, yamlText(m.Key), m.Value.yaml())
	}
	return object
}

// yamlNumber writes exponents so that all YAML readers take them for such: 1e5 as 1.0e+5.
func yamlNumber(number string) string {
	i := strings.IndexAny(number, "eE")
	if i < 0 {
		return number
	}
	mantissa, exponent := number[:i], number[i+1:]
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	if exponent[0] != '-' && exponent[0] != '+' {
		exponent = "+" + exponent
	}
	return mantissa + "e" + exponent
}

// yamlText quotes what any YAML reader could take for something else than text.
func yamlText(text string) *yaml.Node {
	y := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	probe := &Node{}
	scratch := builder{}
	scratch.resolvePlain(probe, text, func() string { return "" })
	simple := !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == 0x85 || r == '\u2028' || r == '\u2029' || r == '\ufeff'
	})
	if probe.Kind != Text || probe.doubt != noDoubt || len(scratch.problems) > 0 || text == "<<" || !simple {
		y.Style = yaml.DoubleQuotedStyle
	}
	return y
}
