package tree

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Source is the text of a document, split into lines as YAML does: at LF, CRLF, CR, NEL, U+2028 and U+2029.
type Source struct {
	Name  string
	text  string
	lines []int // offsets at which lines start
}

// NewSource splits data into lines.
func NewSource(name string, data []byte) *Source {
	s := &Source{Name: name, text: string(data), lines: []int{0}}
	for i := 0; i < len(s.text); {
		width := breakAt(s.text[i:])
		if width == 0 {
			i++
			continue
		}
		i += width
		s.lines = append(s.lines, i)
	}
	return s
}

// breakAt returns the length of the line break that text starts with, or 0.
func breakAt(text string) int {
	switch {
	case text[0] == '\n':
		return 1
	case text[0] == '\r':
		if len(text) > 1 && text[1] == '\n' {
			return 2
		}
		return 1
	case strings.HasPrefix(text, "\u0085"):
		return 2
	case strings.HasPrefix(text, "\u2028"), strings.HasPrefix(text, "\u2029"):
		return 3
	}
	return 0
}

// Position returns the place of the byte at offset.
func (s *Source) Position(offset int) Position {
	offset = max(0, min(offset, len(s.text)))
	line := sort.SearchInts(s.lines, offset+1)
	return Position{Line: line, Column: 1 + utf8.RuneCountInString(s.text[s.lines[line-1]:offset]), Width: 1}
}

// Line returns the text of a line, counted from 1, without its break; "" if there is no such line.
func (s *Source) Line(number int) string {
	if number < 1 || number > len(s.lines) {
		return ""
	}
	end := len(s.text)
	if number < len(s.lines) {
		end = s.lines[number]
	}
	return strings.TrimRight(s.text[s.lines[number-1]:end], "\r\n\u0085\u2028\u2029")
}

// userInfo finds the user and password in a URL.
var userInfo = regexp.MustCompile(`://[^/\s"']*@`)

// mask replaces a user and password by as many stars.
func mask(info string) string {
	return "://" + strings.Repeat("*", utf8.RuneCountInString(info)-4) + "@"
}

// Snippet shows the line of a position with carets under it, as compilers do. Characters that would disturb the
// alignment or the terminal are replaced, passwords in URLs are masked, and long lines are cut to what is around the position.
func (s *Source) Snippet(at Position) string {
	const width = 100
	text, cut := around(s.Line(at.Line), at.Column-1, 4*width)
	line := []rune(userInfo.ReplaceAllStringFunc(text, mask))
	start := at.Column - 1 - cut
	if start < 0 || start > len(line) {
		return ""
	}
	if len(line) > width {
		from := max(0, min(start-width/3, len(line)-width))
		line = line[from:min(len(line), from+width)]
		start -= from
	}
	for i, r := range line {
		if !unicode.IsPrint(r) {
			line[i] = ' '
		}
	}
	carets := max(1, min(at.Width, len(line)-start))
	gutter := fmt.Sprintf("%3d", at.Line)
	return fmt.Sprintf("%s | %s\n%*s | %s%s", gutter, strings.TrimRight(string(line), " "),
		len(gutter), "", strings.Repeat(" ", start), strings.Repeat("^", carets))
}

// around returns the part of a line within reach of a rune, and how many runes were cut off at its start.
func around(line string, center, reach int) (part string, cut int) {
	from, to, runes := 0, len(line), 0
	for i := range line {
		if runes == center-reach {
			from, cut = i, runes
		}
		if runes == center+reach {
			to = i
			break
		}
		runes++
	}
	return line[from:to], cut
}
