//go:build unix

package docs_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serving matches commands that run until they are stopped.
var serving = regexp.MustCompile(`^(go tool caioctl serve|go run \.)$`)

// offline keeps go from fetching this module. The others are in the module cache.
const offline = "GOPROXY=off"

// A walker follows a section of a page in an empty folder. It writes the files, runs the commands and
// compares their output with the page.
type walker struct {
	folder    string
	env       []string
	addresses *strings.Replacer // replaces the addresses of the page by those of this walk
	caio      string            // address of the registry
	service   string            // address of the service
	printed   string            // output of the commands of the last block
}

// TestFromAnEmptyFolder follows the guide to a service that is registered, discovered, routed to and called.
func TestFromAnEmptyFolder(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("curl is missing")
		}
		t.Skip("curl is not installed; with it, this test follows the guide")
	}
	w := newWalker(t)
	seen := 0
	for _, b := range blocks(t) {
		if b.section != walk {
			continue
		}
		seen++
		text := w.addresses.Replace(b.text)
		switch {
		case b.file != "":
			if err := os.WriteFile(filepath.Join(w.folder, b.file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		case b.language == "sh":
			w.printed = ""
			for _, command := range commands(text) {
				w.do(t, b, command)
			}
		case b.language == "text":
			for line := range strings.Lines(text) {
				if !strings.Contains(w.printed, strings.TrimSpace(line)) {
					t.Errorf("%s:%d: the commands before do not print %q, but:\n%s", b.page, b.line, strings.TrimSpace(line), w.printed)
				}
			}
		}
	}
	if seen < 12 {
		t.Errorf("only %d blocks were found", seen)
	}
}

func newWalker(t *testing.T) *walker {
	t.Helper()
	caio, service := freeAddress(t), freeAddress(t)
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("fail-with-body\nmax-time = 30\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &walker{
		folder: t.TempDir(), caio: caio, service: service,
		env:       append(os.Environ(), offline, "GOSUMDB=off", "GOFLAGS=", "GOWORK=off", "CURL_HOME="+home, "CAIO_URL=http://"+caio, "CAIO_TOKEN="),
		addresses: strings.NewReplacer("localhost:8080", caio, "localhost:8090", service, "127.0.0.1:8090", service),
	}
}

// do runs a command.
func (w *walker) do(t *testing.T, b block, command string) {
	t.Helper()
	if serving.MatchString(command) {
		w.start(t, command)
		return
	}
	out, err := w.run(t, command)
	if err != nil && strings.Contains(out, offline) {
		fetchModules(t)
		out, err = w.run(t, command)
	}
	if err != nil {
		t.Fatalf("%s:%d: %s\n%v\n%s", b.page, b.line, command, err, out)
	}
	w.printed += out
	if strings.HasPrefix(command, "go mod init ") { // as the page says for a clone
		clone, err := filepath.Abs(root)
		if err != nil {
			t.Fatal(err)
		}
		w.do(t, b, "go mod edit -replace github.com/smarthaus/caio-bridge-go="+clone)
	}
}

func (w *walker) run(t *testing.T, command string) (printed string, err error) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = w.folder, w.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// fetchModules fetches go.mod files that another module needs and this one does not build.
func fetchModules(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "all")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("go list -m all: %v\n%s", err, out)
		}
		t.Skipf("the required modules cannot be listed; with them, this test follows the guide: %v", err)
	}
}

// start runs a server until the end of the test, and returns when it accepts connections.
func (w *walker) start(t *testing.T, command string) {
	t.Helper()
	address := w.service
	if strings.HasSuffix(command, "serve") {
		address = w.caio
		command += " --addr " + address // instead of the default
	}
	var output strings.Builder
	cmd := exec.Command("sh", "-c", "exec "+command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = w.folder, w.env, &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go and what it runs are stopped together, as by Ctrl-C
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", command, &output)
		}
	})
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) { // go builds it first
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %v", command, err)
		}
	}
}
