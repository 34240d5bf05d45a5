package upstream_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// quiet is the log of servers whose complaints a test expects.
var quiet = log.New(io.Discard, "", 0)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server on loopback.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// newClient returns a client that may call servers and that uses no proxy unless opts name one.
func newClient(t testing.TB, opts upstream.Options, servers ...string) *http.Client {
	t.Helper()
	opts.AllowHosts = append(opts.AllowHosts, servers...)
	if opts.Proxy == nil {
		opts.Proxy = http.ProxyURL(nil)
	}
	client, err := upstream.New(&opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// inMemory returns a client of a server in memory, for use in a synctest bubble: the URL's host
// does not matter.
func inMemory(t testing.TB, opts upstream.Options, h http.HandlerFunc) *http.Client {
	t.Helper()
	ln := memnet.Listen()
	srv := &http.Server{Handler: h}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = srv.Serve(ln)
	}()
	opts.Proxy = http.ProxyURL(nil)
	client, err := upstream.NewOver(opts, ln.Dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		srv.Close()
		<-stopped
	})
	return client
}

// attempts collects what Options.Observe is told.
type attempts struct {
	mu   sync.Mutex
	seen []upstream.Attempt
}

func (a *attempts) observe(_ context.Context, one upstream.Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, one)
}

func (a *attempts) all() []upstream.Attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]upstream.Attempt(nil), a.seen...)
}

func newRequest(t testing.TB, ctx context.Context, method, url, body string, header ...string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// send returns status and body, and an error of either.
func send(client *http.Client, req *http.Request) (status int, body string, err error) {
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), err
}
