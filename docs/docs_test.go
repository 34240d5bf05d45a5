// Package docs_test compares the documentation with the code. Go blocks compile, commands run, and
// paths, links and names of tests exist.
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
	file     string // name of the file to write, if any: the second word after the fence
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
			name := filepath.ToSlash(strings.TrimPrefix(page, root+string(filepath.Separator)))
			open = &block{page: name, section: section, line: i + 1, language: language, file: file}
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

// TestGoBlocksCompile demands that a Go block is a program that builds or an excerpt of a Go file.
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

// otherCommands matches commands that TestShellBlocksRun does not run. Other steps of CI run most of them.
var otherCommands = regexp.MustCompile(`^(` +
	`go run \./examples/codexbridge|go run \./caio/cmd/caioctl serve|go run \./internal/stylecheck|[A-Z_]+=\S* go run|` +
	`go test |go get |go list -m |npm install |\.ci/run|git clone|git tag |git push |export |cd )`)

// TestShellBlocksRun runs the commands of shell blocks as they are, with the running example.
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
			case otherCommands.MatchString(command):
			case strings.HasPrefix(command, "curl "), strings.HasPrefix(command, "go run ./caio/cmd/caioctl "):
				cmd := exec.Command("sh", "-c", example.addresses.Replace(command))
				cmd.Dir = root
				cmd.Env = append(os.Environ(), "CURL_HOME="+example.curlHome, "CAIO_URL="+example.caioURL)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s:%d: %v\n%s\n%s", b.page, b.line, err, command, out)
				}
			default:
				t.Errorf("%s:%d: nothing runs this command: %s", b.page, b.line, command)
			}
		}
	}
}

// commands splits a shell block into commands. A command is a line with its continuation lines.
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
	addresses *strings.Replacer // replaces the addresses of the pages by those of this run
	curlHome  string            // folder of a .curlrc that makes curl fail on HTTP errors
	caioURL   string
}

// startExample builds the example and runs it on free ports, with its offline model, until the test ends.
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
			if strings.Contains(lines.Text(), "curl") { // the last lines are commands to try
				close(ready)
				break
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
	}()
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatal("the example did not print its commands within a minute")
	}
	home := t.TempDir()
	const curlrc = "fail-with-body\nsilent\nshow-error\nmax-time = 30\nretry = 10\nretry-delay = 1\nretry-connrefused\n"
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte(curlrc), 0o600); err != nil {
		t.Fatal(err)
	}
	addresses := strings.NewReplacer(
		"localhost:8082", bridgeAddr, "127.0.0.1:8082", bridgeAddr,
		"localhost:8080", caioAddr, "127.0.0.1:8080", caioAddr,
	)
	return example{addresses, home, "http://" + caioAddr}
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
