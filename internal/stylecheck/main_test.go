package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var source = `// Package sample is a package which counts.
package sample

import (
	"sync"
	"time"
)

// SampleOptions are options.
type SampleOptions struct {
	Wait   time.Duration // how long
	Retry  time.Duration // pause between attempts; default: 1 s
	Name   string        // of the sample
	hidden time.Duration
}

// Guarded has a lock.
type Guarded struct {
	mu sync.Mutex
}

// Do does it.
func (g *Guarded) Do() error { return nil }

// Undo fails if nothing was done.
func (g *Guarded) Undo() error { return nil }

// Close frees the memory.
func (g *Guarded) Close() error { return nil }

func Bare() {}

func hidden() error { return nil }

// ` + strings.Repeat("x", 98) + `
// https://example.com/` + strings.Repeat("x", 98) + `
const text = "` + strings.Repeat("x", 120) + `"

var raw = ` + "`" + strings.Repeat("x", 120) + "\n" + strings.Repeat("x", 120) + "`" + `

var sum = ` + strings.Repeat("1 + ", 30) + `1
`

// TestCheck demands each kind of finding, with its place, and nothing else.
func TestCheck(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "sample", "sample.go"), source)
	write(t, filepath.Join(root, "sample", "sample_test.go"), "package sample // which whom")
	write(t, filepath.Join(root, "sample", "testdata", "bad.go"), "not Go")
	figuresOfSample := figures{3.3, 1, 1, 1, 3}
	for _, test := range []struct {
		name   string
		limits map[string]figures
		ok     bool
		want   string
	}{
		{"at the ceiling", map[string]figures{"sample": figuresOfSample}, true,
			"\"sample\": {3.3, 1, 1, 1, 3}, // ceiling {3.3, 1, 1, 1, 3},\n"},
		{"one better demanded", map[string]figures{"sample": {3.3, 1, 1, 1, 2}}, false, `"sample": {3.3, 1, 1, 1, 3}, // ceiling {3.3, 1, 1, 1, 2},
comments without errors, defaults or concurrency: 3. At most 2 are allowed: add the sentence
sample/sample.go:11:2: Wait: say the default, with its unit
sample/sample.go:18:6: Guarded has a lock: say whether it is safe for concurrent use
sample/sample.go:23:1: Do returns an error: say when
`},
		{"no line in the table", nil, false, `"sample": {3.3, 1, 1, 1, 3}, // ceiling {6, 0, 0, 0, 0},
comment lines over 100 columns: 1. At most 0 are allowed: wrap them
sample/sample.go:35:1: 101 columns
code lines over 120 columns: 1. At most 0 are allowed: break them, and give a long literal a line of its own
sample/sample.go:42:1: 131 columns
exported names without a comment: 1. At most 0 are allowed: write name, verb and object
sample/sample.go:31:6: Bare
comments without errors, defaults or concurrency: 3. At most 0 are allowed: add the sentence
sample/sample.go:11:2: Wait: say the default, with its unit
sample/sample.go:18:6: Guarded has a lock: say whether it is safe for concurrent use
sample/sample.go:23:1: Do returns an error: say when
`},
		{"a line without a package", map[string]figures{"sample": figuresOfSample, "gone": {}}, false,
			"\"sample\": {3.3, 1, 1, 1, 3}, // ceiling {3.3, 1, 1, 1, 3},\n" +
				"ceilings.go: there is no package \"gone\": remove its line\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			ok, err := check(&out, root, test.limits)
			if err != nil {
				t.Fatal(err)
			}
			if ok != test.ok {
				t.Errorf("ok = %t, want %t", ok, test.ok)
			}
			if diff := cmp.Diff(test.want, withoutSpace(out.String(), root)); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

// withoutSpace strips indentation, repeated spaces and the path of root.
func withoutSpace(text, root string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Join(strings.Fields(strings.ReplaceAll(line, root+"/", "")), " ") + "\n")
	}
	return b.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
