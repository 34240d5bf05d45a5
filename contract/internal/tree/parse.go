package tree

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a document. A contract of 150 lines has about 450 nodes, 10 levels and no aliases.
const (
	MaxBytes   = 256 << 10
	MaxDepth   = 100
	MaxNodes   = 200_000
	MaxAliases = 1_000 // expansions

	maxNumber   = 100 // characters of a number
	maxProblems = 100
)

// A Problem says what is wrong with a document, and where.
type Problem struct {
	At      Position
	Path    string // as in [Node.Path]
	Code    string // for example "file/duplicate-key"
	Message string
	Fix     string // "" if there is nothing to suggest
}

// Parse reads one YAML or JSON document; what is named *.json must be JSON. It returns a nil node if there are problems.
func Parse(source *Source) (*Node, []Problem) {
	if problem := checkText(source); problem != nil {
		return nil, []Problem{*problem}
	}
	text := []byte(source.text)
	if !looksLikeJSON(text) && !strings.HasSuffix(source.Name, ".json") {
		return parseYAML(source)
	}
	root, problems := parseJSON(source)
	if len(problems) == 0 || problems[0].Code != "file/syntax" || strings.HasSuffix(source.Name, ".json") {
		return root, problems
	}
	// Flow style YAML starts like JSON, too.
	if root, yamlProblems := parseYAML(source); root != nil || !startsWithQuote(text) {
		return root, yamlProblems
	}
	return nil, problems
}

// TooLarge is the problem of a document whose size is beyond [MaxBytes]. what is "the file has" or the like.
func TooLarge(what string, size int) Problem {
	return Problem{At: Position{Line: 1, Column: 1, Width: 1}, Code: "file/size-limit",
		Message: fmt.Sprintf("%s %d bytes, at most %d are read", what, size, MaxBytes),
		Fix:     "move large parts, such as endpoint schemas, to files of their own"}
}

func looksLikeJSON(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

func startsWithQuote(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n{[")
	return len(text) > 0 && text[0] == '"'
}

// checkText refuses what is too large or not UTF-8 text.
func checkText(source *Source) *Problem {
	text := source.text
	start := Position{Line: 1, Column: 1, Width: 1}
	switch {
	case len(text) > MaxBytes:
		problem := TooLarge("the file has", len(text))
		return &problem
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return &Problem{At: start, Code: "file/encoding", Message: "the file is UTF-16", Fix: "save it as UTF-8"}
	}
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			return &Problem{At: source.Position(i), Code: "file/encoding",
				Message: fmt.Sprintf("the byte 0x%02x is not UTF-8", text[i]), Fix: "save the file as UTF-8"}
		}
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f {
			return &Problem{At: source.Position(i), Code: "file/encoding",
				Message: fmt.Sprintf("the control character U+%04X is not allowed", r), Fix: "remove it"}
		}
	}
	return nil
}

// A builder collects problems and counts against the limits while a document is read.
type builder struct {
	source   *Source
	nodes    int
	aliases  int
	problems []Problem
	halted   bool // a limit was hit: what follows is not read
}

func (b *builder) report(at Position, path, code, fix, format string, args ...any) {
	if b.halted || len(b.problems) >= maxProblems {
		return
	}
	b.problems = append(b.problems, Problem{At: at, Path: path, Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (b *builder) halt(at Position, path, code, fix, format string, args ...any) {
	b.report(at, path, code, fix, format, args...)
	b.halted = true
}

// enter counts a node at a depth and reports whether reading may go on.
func (b *builder) enter(n *Node, depth int) bool {
	b.nodes++
	switch {
	case b.halted:
	case depth > MaxDepth:
		b.halt(n.At, "", "file/depth-limit", "", "more than %d levels of nesting", MaxDepth)
	case b.nodes > MaxNodes:
		b.halt(n.At, "", "file/node-limit", "", "more than %d values, aliases expanded", MaxNodes)
	}
	return !b.halted
}

// setNumber makes n a Number.
func (b *builder) setNumber(n *Node, text string, path func() string) {
	n.Kind, n.Scalar = Number, text
	if _, problem := parseNumber(text); problem != "" {
		b.report(n.At, path(), "file/number-range", "put it in quotes if it is meant as text", "the number %s %s", Shorten(text), problem)
	}
}
