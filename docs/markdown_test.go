package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fencedBlock = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	link        = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading     = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks demands that each relative link of a page leads to a file, and to a heading if it has a fragment.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(fencedBlock.ReplaceAllString(read(t, page), ""), -1) {
			target, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue
			}
			path := filepath.Join(filepath.Dir(page), target)
			if target == "" {
				path = page
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if fragment != "" && !anchors(read(t, path))[fragment] {
				t.Errorf("%s: %s has no heading #%s", page, path, fragment)
			}
		}
	}
}

// TestTables demands that all rows of a table have the same number of cells.
func TestTables(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		cells := 0 // of the row above; 0 outside a table
		for line := range strings.Lines(fencedBlock.ReplaceAllString(read(t, page), "")) {
			if !strings.HasPrefix(line, "|") {
				cells = 0
				continue
			}
			n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
			if cells != 0 && n != cells {
				t.Errorf("%s: %d cells, %d in the row above: %s", page, n-1, cells-1, line)
			}
			cells = n
		}
	}
}

// anchors returns the fragments that GitHub makes of the headings of a page.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(fencedBlock.ReplaceAllString(page, ""), -1) {
		text := notInAnchor.ReplaceAllString(strings.ToLower(match[1]), "")
		all[strings.ReplaceAll(text, " ", "-")] = true
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
