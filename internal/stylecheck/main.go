// Command stylecheck measures the comments and line widths of each package of a module.
//
//	go run ./internal/stylecheck
//
// It prints one line for each package, in the form of the table in ceilings.go, and exits with
// status 1 if a package is above its ceiling. Test files and folders named testdata are left out.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	ok, err := check(os.Stdout, ".", ceilings)
	if err != nil {
		fmt.Fprintln(os.Stderr, "stylecheck:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// check compares the packages below root with their limits and writes figures and findings to w.
// It reports whether every package is within its limits.
func check(w io.Writer, root string, limits map[string]figures) (ok bool, err error) {
	meters, err := measure(root)
	if err != nil {
		return false, err
	}
	ok = true
	for _, dir := range slices.Sorted(maps.Keys(meters)) {
		limit, listed := limits[dir]
		if !listed {
			limit = done
		}
		now := meters[dir].figures()
		fmt.Fprintf(w, "%-36s %-28s // ceiling %s\n", fmt.Sprintf("%q:", dir), now, limit)
		for kind, value := range now {
			if value > limit[kind] {
				ok = false
				fmt.Fprintf(w, "  %s: %g. At most %g are allowed: %s\n", kinds[kind].name, value, limit[kind], kinds[kind].remedy)
				meters[dir].print(w, kind)
			}
		}
	}
	for dir := range limits {
		if meters[dir] == nil {
			ok = false
			fmt.Fprintf(w, "ceilings.go: there is no package %q: remove its line\n", dir)
		}
	}
	return ok, nil
}

// measure returns a meter for each folder below root that contains Go files other than tests.
func measure(root string) (map[string]*meter, error) {
	meters := map[string]*meter{}
	return meters, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && path != root && (name == "testdata" || name[0] == '.') {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if dir = filepath.ToSlash(dir); meters[dir] == nil {
			meters[dir] = &meter{set: token.NewFileSet()}
		}
		return meters[dir].file(path)
	})
}

// A meter collects the findings of one package.
type meter struct {
	set   *token.FileSet
	words int // in comments
	found [len(kinds)][]string
}

// add records a finding.
func (m *meter) add(kind int, pos token.Pos, text string) {
	m.found[kind] = append(m.found[kind], fmt.Sprintf("%s: %s", m.set.Position(pos), text))
}

// figures returns the counts of findings, and for words their rate per 1,000, rounded to tenths.
// A package with less than 300 words of comments counts as one with 300.
func (m *meter) figures() (f figures) {
	for kind, found := range m.found {
		f[kind] = float64(len(found))
	}
	f[relativeWords] = math.Round(10000*f[relativeWords]/float64(max(m.words, 300))) / 10
	return f
}

// print writes the first 20 findings of a kind.
func (m *meter) print(w io.Writer, kind int) {
	found := m.found[kind]
	fmt.Fprintf(w, "    %s\n", strings.Join(found[:min(len(found), 20)], "\n    "))
	if len(found) > 20 {
		fmt.Fprintf(w, "    and %d more\n", len(found)-20)
	}
}

// file measures one file.
func (m *meter) file(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(m.set, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	m.lines(file, string(text))
	m.comments(file)
	m.declarations(file)
	return nil
}

// lines finds lines that are too wide. A tab counts as one column.
func (m *meter) lines(file *ast.File, text string) {
	literals := m.literals(file)
	starts := m.set.File(file.Pos())
	for i, line := range strings.Split(text, "\n") {
		width, trimmed := len([]rune(line)), strings.TrimSpace(line)
		switch comment := strings.HasPrefix(trimmed, "//"); {
		case comment && width > 100 && !strings.HasPrefix(trimmed, "//go:") && !strings.Contains(line, "://"):
			m.add(wideComments, starts.LineStart(i+1), fmt.Sprintf("%d columns", width))
		case !comment && width > 120 && width-literals[i+1] > 40:
			m.add(wideCode, starts.LineStart(i+1), fmt.Sprintf("%d columns", width))
		}
	}
}

// literals returns how many columns of a line a string literal takes. A line may be wide if the
// literal leaves at most 40 columns. Struct tags and literals of several lines take all columns.
func (m *meter) literals(file *ast.File) map[int]int {
	columns := map[int]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			if n.Tag != nil {
				columns[m.set.Position(n.Tag.Pos()).Line] = math.MaxInt
			}
		case *ast.BasicLit:
			first, last := m.set.Position(n.Pos()).Line, m.set.Position(n.End()).Line
			columns[first] = max(columns[first], len([]rune(n.Value)))
			for line := first; first < last && line <= last; line++ {
				columns[line] = math.MaxInt
			}
		}
		return true
	})
	return columns
}

// comments counts the words of all comments. Directives are left out.
func (m *meter) comments(file *ast.File) {
	notLetter := func(r rune) bool { return r < 'a' || r > 'z' }
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if strings.HasPrefix(comment.Text, "//go:") {
				continue
			}
			for _, word := range strings.FieldsFunc(strings.ToLower(comment.Text), notLetter) {
				m.words++
				if slices.Contains(counted, word) {
					m.add(relativeWords, comment.Pos(), word)
				}
			}
		}
	}
}
