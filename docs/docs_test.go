// Package docs_test holds the documentation against the code: what the pages show compiles, and what they tell to type works.
package docs_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	root = ".."
	walk = "From an empty folder" // a section that starts where this module is not
)

// A block is one fenced code block of a page.
type block struct {
	page     string
	section  string // the last heading
	line     int
	language string
	file     string // that the reader is told to write, if any: the second word after the fence
	text     string
}

// pages returns the paths of all pages.
func pages(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/design/*.md", "providers/*/*.md", "examples/*/*.md", "caio/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		t.Fatal("no pages found")
	}
	return all
}

// blocks returns the code blocks of all pages.
func blocks(t *testing.T) (all []block) {
	t.Helper()
	for _, page := range pages(t) {
		all = append(all, blocksOf(page, read(t, page))...)
	}
	return all
}

func blocksOf(page, text string) []block {
	var all []block
	var open *block
	section := ""
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			language, file, _ := strings.Cut(fence, " ")
			open = &block{page: filepath.ToSlash(strings.TrimPrefix(page, root+string(filepath.Separator))), section: section, line: i + 1, language: language, file: file}
		case open == nil && strings.HasPrefix(line, "#"):
			section = strings.TrimLeft(line, "# ")
		case isFence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	return all
}

// A Go block is either a whole program, which must build, or an excerpt of a file that does.
func TestGoBlocksCompile(t *testing.T) {
	t.Parallel()
	sources := goSources(t)
	for _, b := range blocks(t) {
		if b.language != "go" {
			continue
		}
		if b.file != "" { // built by TestFromAnEmptyFolder
			continue
		}
		if !strings.HasPrefix(b.text, "package ") {
			excerpt := normalise(b.text)
			if !slices.ContainsFunc(sources, func(source string) bool { return strings.Contains(source, excerpt) }) {
				t.Errorf("%s:%d: this Go block is no excerpt of any Go file of the module", b.page, b.line)
			}
			continue
		}
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "build", "-o", os.DevNull, file)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s:%d: this program does not build: %v\n%s", b.page, b.line, err, out)
		}
	}
}

// goSources returns every Go file of the module, normalised.
func goSources(t *testing.T) []string {
	t.Helper()
	var sources []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		sources = append(sources, normalise(string(text)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

// normalise strips indentation and blank lines.
func normalise(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// Commands that a shell block may hold besides those that are run below: each is run elsewhere in CI.
var otherCommands = regexp.MustCompile(`^(go run \./examples/codexbridge|go test |go run \./caio/cmd/caioctl serve|npm install |export |[A-Z_]+=\S* go run|go get |\.ci/run|git clone|git tag |git push |go run \./internal/stylecheck|go list -m |cd )`)

// Every command of a shell block works as it stands, against the running example.
func TestShellBlocksRun(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("curl is missing")
		}
		t.Skip("curl is not installed; with it, the commands of the documentation are run too")
	}
	example := startExample(t)
	for _, b := range blocks(t) {
		if b.section == walk { // run by TestFromAnEmptyFolder
			continue
		}
		if b.language != "sh" && b.language != "bash" && b.language != "console" {
			continue
		}
		for _, command := range commands(b.text) {
			switch {
			case strings.HasPrefix(command, "curl "), strings.HasPrefix(command, "go run ./caio/cmd/caioctl ") && !otherCommands.MatchString(command):
				cmd := exec.Command("sh", "-c", example.addresses.Replace(command))
				cmd.Dir = root
				cmd.Env = append(os.Environ(), "CURL_HOME="+example.curlHome, "CAIO_URL="+example.caioURL)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s:%d: %v\n%s\n%s", b.page, b.line, err, command, out)
				}
			case !otherCommands.MatchString(command):
				t.Errorf("%s:%d: nothing runs this command: %s", b.page, b.line, command)
			}
		}
	}
}

// commands splits a shell block into commands: a line, with the lines that continue it.
func commands(text string) []string {
	var all []string
	var command string
	for line := range strings.Lines(text) {
		command += line
		trimmed := strings.TrimSpace(command)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			command = ""
			continue
		}
		if strings.HasSuffix(strings.TrimSpace(line), "\\") || strings.Count(command, "'")%2 == 1 {
			continue
		}
		all = append(all, trimmed)
		command = ""
	}
	return all
}

type example struct {
	addresses *strings.Replacer // of the pages to those of this run
	curlHome  string            // where curl is told to fail on HTTP errors
	caioURL   string
}

// startExample builds and starts the example on free ports, with its offline model, and stops it with the test.
func startExample(t *testing.T) example {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "codexbridge")
	if out, err := exec.Command("go", "build", "-o", binary, "../examples/codexbridge").CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	bridgeAddr, caioAddr := freeAddress(t), freeAddress(t)
	cmd := exec.Command(binary, "-addr", bridgeAddr, "-caio-addr", caioAddr)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "OPENAI_") || strings.HasPrefix(v, "CODEX_") || strings.HasPrefix(v, "CAIO_")
	})
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "curl") { // the commands to try are the last it says
				close(ready)
				break
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
	}()
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatal("the example did not say within a minute that it runs")
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("fail-with-body\nsilent\nshow-error\nmax-time = 30\nretry = 10\nretry-delay = 1\nretry-connrefused\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return example{strings.NewReplacer("localhost:8082", bridgeAddr, "127.0.0.1:8082", bridgeAddr, "localhost:8080", caioAddr, "127.0.0.1:8080", caioAddr), home, "http://" + caioAddr}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
