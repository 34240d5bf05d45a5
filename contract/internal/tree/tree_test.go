package tree_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

func TestSyntaxErrorsAreFoundWhereTheyAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"list not closed", "a: 1\nb: [1, 2\nc: 3\n", "2:1 a list in brackets is not closed"},
		{"tab", "a:\n  b: 1\n\tc: 2\n", "3:1 a tab in the indentation"},
		{"colon in text", "a: 1\nb: c: d\n", "2:1 a colon where no key can be"},
		{"bad indentation", "a:\n  b: 1\n c: 2\n", "3:2 a line that does not fit the indentation around it"},
		{"quote not closed", "a: 1\nb: \"x\nc: 2\n", "2:1 the quotes that open here are not closed"},
		{"no colon", "a: 1\nbcd\ne: 2\n", "2:1 a line without a colon"},
		{"unknown alias", "a: 1\nb: *c\n", "2:1 an alias without an anchor"},
		{"reserved", "a: @b\n", "1:1 a character that cannot start a value"},
		{"JSON comma", "{\"a\": 1,\n \"b\": 2,}", "2:8 not valid JSON: invalid character ','"},
		{"JSON end", "{\"a\": 1,\n \"b\": [", "2:8 not valid JSON: the document ends too early"},
		{"JSON quote", "{\"a\": 'x'}", ""},
	} {
		name := "contract"
		if c.name == "JSON comma" {
			name = "contract.json"
		}
		_, problems := tree.Parse(tree.NewSource(name, []byte(c.text)))
		got := ""
		for _, p := range problems {
			message, _, _ := strings.Cut(p.Message, " (yaml")
			message, _, _ = strings.Cut(message, " (found")
			got += fmt.Sprintf("%d:%d %s", p.At.Line, p.At.Column, message)
		}
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: want %q, got %q", c.name, c.want, got)
		}
	}
}

func TestSnippets(t *testing.T) {
	t.Parallel()
	source := tree.NewSource("contract", []byte("first\r\nzweite: ü x\rthird\u2028fourth\u0085url: http://me:secret@host/\n"+strings.Repeat("é", 300)+"here"+strings.Repeat("z", 300)+"\n\tb: \x1b[31m"))
	for _, c := range []struct {
		at   tree.Position
		want string
	}{
		{tree.Position{Line: 1, Column: 1, Width: 5}, "  1 | first\n    | ^^^^^"},
		{tree.Position{Line: 2, Column: 11, Width: 1}, "  2 | zweite: ü x\n    |           ^"},
		{tree.Position{Line: 4, Column: 1, Width: 99}, "  4 | fourth\n    | ^^^^^^"},
		{tree.Position{Line: 5, Column: 6, Width: 4}, "  5 | url: http://*********@host/\n    |      ^^^^"},
		{tree.Position{Line: 6, Column: 301, Width: 4}, "  6 | " + strings.Repeat("é", 33) + "here" + strings.Repeat("z", 63) + "\n    | " + strings.Repeat(" ", 33) + "^^^^"},
		{tree.Position{Line: 7, Column: 2, Width: 1}, "  7 |  b:  [31m\n    |  ^"},
		{tree.Position{Line: 7, Column: 50, Width: 1}, ""},
		{tree.Position{Line: 99, Column: 1, Width: 1}, "\n"},
	} {
		got := source.Snippet(c.at)
		if c.want == "\n" {
			continue // no such line: nothing to see, but no panic either
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.at, diff)
		}
	}
}

func TestPositionsOfYAMLAndJSONAgree(t *testing.T) {
	t.Parallel()
	const text = "{\"a\": [1, {\"ü\": true}],\n \"b\": \"x\"}"
	places := func(name string, parse func(*tree.Source) (*tree.Node, []tree.Problem), text string) map[string]string {
		root, problems := parse(tree.NewSource(name, []byte(text)))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		found := map[string]string{}
		var walk func(n *tree.Node)
		walk = func(n *tree.Node) {
			found[n.Path()] = fmt.Sprintf("%d:%d key %d:%d", n.At.Line, n.At.Column, n.KeyAt.Line, n.KeyAt.Column)
			for _, item := range n.Items {
				walk(item)
			}
			for _, m := range n.Members {
				walk(m.Value)
			}
		}
		walk(root)
		return found
	}
	asJSON := places("contract.json", tree.Parse, text)
	asYAML := places("contract.yaml", tree.Parse, strings.Replace(text, "\"x\"", "'x'", 1)) // single quotes are YAML only
	if diff := cmp.Diff(asJSON, asYAML); diff != "" {
		t.Errorf("positions (-JSON +YAML):\n%s", diff)
	}
	if got := asJSON["a[1].ü"]; got != "1:17 key 1:12" {
		t.Errorf("a[1].ü is at %s", got)
	}
}
