package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName     = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)\(`)
)

// Every test that a page names exists, and every row of a table of docs/security.md names one.
func TestPagesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	tests := testFunctions(t)
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		inTable := false
		for i, line := range strings.Split(string(text), "\n") {
			names := testName.FindAllStringSubmatch(line, -1)
			for _, name := range names {
				if !tests[name[1]] {
					t.Errorf("%s:%d: there is no %s", page, i+1, name[1])
				}
			}
			if filepath.Base(page) != "security.md" {
				continue
			}
			switch {
			case !strings.HasPrefix(line, "|"):
				inTable = false
			case !inTable:
				inTable = true
				if !strings.HasSuffix(line, "| test |") {
					t.Errorf("%s:%d: the table has no column \"test\"", page, i+1)
				}
			case len(names) == 0 && !strings.HasPrefix(line, "| ---"):
				t.Errorf("%s:%d: the row names no test", page, i+1)
			}
		}
	}
}

// testFunctions returns the names of all tests, fuzz targets and benchmarks of the module.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "test") || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range testFunction.FindAllStringSubmatch(string(text), -1) {
			names[match[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
