package contract

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// Severity says whether a [Diagnostic] keeps a contract from being used.
type Severity int

const (
	// Error makes a contract unusable.
	Error Severity = iota
	// Warning is likely a mistake, but the contract can be used.
	Warning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText returns "error" or "warning".
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Severity) UnmarshalText(text []byte) error {
	switch string(text) {
	case "error":
		*s = Error
	case "warning":
		*s = Warning
	default:
		return fmt.Errorf("contract: severity %q is neither error nor warning", tree.Shorten(string(text)))
	}
	return nil
}

// A Diagnostic is one fault of a contract: where it is, what was found and what to write.
type Diagnostic struct {
	File     string   `json:"file"`              // the contract, or a schema file that it names
	Line     int      `json:"line"`              // from 1
	Column   int      `json:"column"`            // from 1, in runes
	Severity Severity `json:"severity"`          // "error" or "warning" in JSON
	Code     string   `json:"code"`              // names the rule and never changes, for example "schema/unknown-field"; see [Explain]
	Path     string   `json:"path,omitempty"`    // as the author wrote it, for example "service.capabilities[0].type"; "" for the whole file
	Message  string   `json:"message"`           // what was found and what is wanted
	Fix      string   `json:"fix,omitempty"`     // what to do; "" if the message says it all
	Snippet  string   `json:"snippet,omitempty"` // the line in question with carets below it, two lines of text; "" if there is none
}

// String returns the diagnostic as compilers print it: a first line "file:line:column: error: message [code]" that
// editors and CI systems understand, then the snippet, the path and the fix.
func (d Diagnostic) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s: %s [%s]", d.File, d.Line, d.Column, d.Severity, d.Message, d.Code)
	if d.Snippet != "" {
		b.WriteString("\n" + d.Snippet)
	}
	if d.Path != "" {
		b.WriteString("\n    = at:  " + d.Path)
	}
	if d.Fix != "" {
		b.WriteString("\n    = fix: " + d.Fix)
	}
	return b.String()
}

// Diagnostics are all faults of a contract in the order of their places, at most 100. As the error of [Load],
// [LoadFile] and [Parse] they hold at least one [Error]; warnings may stand between.
type Diagnostics []Diagnostic

// Error returns all diagnostics as text, see [Diagnostic.String].
func (d Diagnostics) Error() string {
	texts := make([]string, len(d))
	for i, diagnostic := range d {
		texts[i] = diagnostic.String()
	}
	return strings.Join(texts, "\n")
}

// GitHub returns all diagnostics as workflow commands of GitHub Actions, one a line, which show up as annotations of the
// lines in question.
func (d Diagnostics) GitHub() string {
	var b strings.Builder
	for _, diagnostic := range d {
		message := diagnostic.Message
		if diagnostic.Fix != "" {
			message += "\n" + diagnostic.Fix
		}
		fmt.Fprintf(&b, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", diagnostic.Severity, escapeProperty(diagnostic.File),
			diagnostic.Line, diagnostic.Column, escapeProperty(diagnostic.Code), escapeCommand(message))
	}
	return b.String()
}

// escapeCommand escapes what would end a workflow command.
func escapeCommand(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func escapeProperty(text string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(escapeCommand(text))
}

const maxDiagnostics = 100

// A report collects diagnostics.
type report struct {
	list   []finding
	errors int
}

// A finding is a diagnostic whose snippet is not cut yet: only of those that are returned it is.
type finding struct {
	Diagnostic
	source *tree.Source // nil if the text must not be shown
	at     tree.Position
}

// add reports a fault of a node's value.
func (r *report) add(n *tree.Node, code, fix, format string, args ...any) {
	r.put(n.Source(), tree.Problem{At: n.At, Path: n.Path(), Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// addKey is add for a fault of a node's key, or of a list item or the whole document.
func (r *report) addKey(n *tree.Node, code, fix, format string, args ...any) {
	r.put(n.Source(), tree.Problem{At: n.Label(), Path: n.Path(), Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// put reports a problem of a document.
func (r *report) put(source *tree.Source, p tree.Problem) {
	d := Diagnostic{File: source.Name, Line: p.At.Line, Column: p.At.Column, Severity: severityOf(p.Code), Code: p.Code,
		Path: printable(p.Path), Message: printable(p.Message), Fix: printable(p.Fix)}
	if d.Severity == Error {
		r.errors++
	}
	if len(r.list) < 10*maxDiagnostics {
		r.list = append(r.list, finding{d, source, p.At})
	}
}

// hideLast keeps the text out of the diagnostic that was reported last.
func (r *report) hideLast() {
	r.list[len(r.list)-1].source = nil
}

// printable replaces what could drive the terminal that a diagnostic is printed on.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// sorted returns what was reported in the order of places: the contract first, then schema files by name. If not all
// fit, errors go before warnings.
func (r *report) sorted(contract string) Diagnostics {
	list := slices.Clone(r.list)
	if r.errors > 0 && len(list) > maxDiagnostics {
		list = slices.DeleteFunc(list, func(f finding) bool { return f.Severity == Warning })
	}
	slices.SortStableFunc(list, func(a, b finding) int {
		return cmp.Or(
			cmp.Compare(btoi(a.File != contract), btoi(b.File != contract)), cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	list = slices.CompactFunc(list, func(a, b finding) bool { return a.Diagnostic == b.Diagnostic })
	diagnostics := make(Diagnostics, min(len(list), maxDiagnostics))
	for i := range diagnostics {
		diagnostics[i] = list[i].Diagnostic
		if list[i].source != nil {
			diagnostics[i].Snippet = list[i].source.Snippet(list[i].at)
		}
	}
	return diagnostics
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
