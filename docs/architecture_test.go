package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/smarthaus/caio-bridge-go/"

// TestImportsPointOneWay demands the directions of imports that docs/architecture.md draws.
func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	forbidden := []struct{ from, to string }{
		{`contract`, `bridge|caio|providers|examples`},
		{`bridge`, `caio|providers|examples`},
		{`caio`, `bridge|providers|examples`},
		{`providers`, `caio|examples`},
		{`internal`, `contract|bridge|caio|providers|examples`},
	}
	below := func(path, folders string) bool {
		return regexp.MustCompile("^(" + folders + ")(/|$)").MatchString(path)
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(strings.ReplaceAll(line, module, ""))
		for _, imported := range imports[1:] {
			for _, rule := range forbidden {
				isKit := below(imports[0], "bridge/bridgetest") && below(imported, "caio")
				if below(imports[0], rule.from) && below(imported, rule.to) && !isKit {
					t.Errorf("%s imports %s: docs/architecture.md has no such arrow", imports[0], imported)
				}
			}
		}
	}
}

// TestArchitectureNamesFilesThatExist checks each path between backticks.
func TestArchitectureNamesFilesThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	path := regexp.MustCompile("`((?:bridge|caio|contract|docs|examples|internal|providers)/[^` ]+)`")
	for _, match := range path.FindAllStringSubmatch(string(text), -1) {
		found, err := filepath.Glob(filepath.Join(root, match[1]))
		if err != nil || len(found) == 0 {
			t.Errorf("%s does not exist: %v", match[1], err)
		}
	}
}
