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

// scratch is a folder shared by all tests.
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

// web is a client without connection reuse, because idle connections would outlive a test.
var web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// ownPorts are flags for free ports.
var ownPorts = []string{"-addr", "127.0.0.1:0", "-caio-addr", "127.0.0.1:0"}

// A running is a running example.
type running struct {
	bridge, caio string // printed URLs
	output       string // printed banner
}

// start runs the example on free ports until the test ends, and checks its exit code.
func start(t *testing.T, env map[string]string, args ...string) running {
	t.Helper()
	return startLogging(t, t.Output(), env, args...)
}

// startLogging is start with a destination for the log.
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
	return readBanner(t, printed)
}

// freeAddr returns a loopback address with a port that is free at the moment.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return ln.Addr().String()
}

// readBanner parses the banner.
func readBanner(t *testing.T, from io.Reader) (r running) {
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
	t.Fatalf("the example ended early and printed:\n%s", r.output)
	return r
}

// request sends a JSON request with pairs of header names and values, and returns the response.
func request(t *testing.T, method, url, body string, header ...string) (status int, h http.Header, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return res.StatusCode, res.Header, string(content)
}

// call sends body as JSON, or no body if it is nil, and decodes the response.
func call(t *testing.T, method, url string, body any) (status int, answer map[string]any) {
	t.Helper()
	content := []byte{}
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	status, _, text := request(t, method, url, string(content))
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return status, answer
}

// download returns the body of GET url. An empty token sends none.
func download(t *testing.T, url, token string) string {
	t.Helper()
	var header []string
	if token != "" {
		header = []string{"Authorization", "Bearer " + token}
	}
	status, _, text := request(t, http.MethodGet, url, "", header...)
	if status != http.StatusOK {
		t.Fatalf("GET %s = %d %s", url, status, text)
	}
	return text
}

// need skips the test because of a missing tool. In CI it fails the test.
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
