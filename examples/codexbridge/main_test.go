package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/jobfile"
	"github.com/smarthaus/caio-bridge-go/caio"
)

// scratch is a folder for what all tests share.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "codexbridge-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(scratch)
		os.Exit(code)
	}))
}

// web does not keep connections, which would outlive a test.
var web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// ownPorts are flags for ports that nobody else uses.
var ownPorts = []string{"-addr", "127.0.0.1:0", "-caio-addr", "127.0.0.1:0"}

// A running is the example started in this process.
type running struct {
	bridge, caio string // URLs as printed
	output       string // all that was printed
}

// start runs the example with ports of its own until the test ends, and checks that it ends well.
func start(t *testing.T, env map[string]string, args ...string) running {
	t.Helper()
	return startLogging(t, t.Output(), env, args...)
}

// startLogging is start with another place for the log.
func startLogging(t *testing.T, stderr io.Writer, env map[string]string, args ...string) running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	printed, stdout := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, nil, slices.Concat(ownPorts, args), func(name string) string { return env[name] }, stdout, stderr)
		stdout.Close()
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
	})
	return readWelcome(t, printed)
}

// freeAddr returns an address on loopback with a port that is free at the moment.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return ln.Addr().String()
}

// readWelcome reads what is printed at the start.
func readWelcome(t *testing.T, from io.Reader) (r running) {
	t.Helper()
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		line := lines.Text()
		r.output += line + "\n"
		switch fields := strings.Fields(line); {
		case strings.HasPrefix(line, "Codex bridge "):
			r.bridge = fields[2]
		case strings.HasPrefix(line, "CAIO "):
			r.caio = fields[1]
		case strings.HasPrefix(line, "Ctrl-C"):
			go io.Copy(io.Discard, from) // until it closes
			return r
		}
	}
	t.Fatalf("it ended early, having printed:\n%s", r.output)
	return r
}

// call sends body as JSON, or nothing if it is nil, and decodes the answer.
func call(t *testing.T, method, url string, body any) (status int, answer map[string]any) {
	t.Helper()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = strings.NewReader(string(encoded))
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return res.StatusCode, answer
}

// download returns what GET url answers. token may be "".
func download(t *testing.T, url, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s = %d, %v", url, res.StatusCode, err)
	}
	return string(body)
}

// need skips the test for want of a tool, except in CI, where everything must be there.
func need(t *testing.T, sentence string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(sentence)
	}
	t.Skip(sentence)
}

func openStore(t *testing.T, path string) bridge.JobStore {
	t.Helper()
	store, err := jobfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// The client of CAIO reports its announcements to the bridge.
var _ bridge.AnnouncementReporter = (*caio.Client)(nil)
