package upstream_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// Connections of an HTTP/1.1 upstream are reused by as many callers as there are, and bounded.
func TestPool(t *testing.T) {
	t.Parallel()
	const callers, rounds = 64, 10
	for _, limit := range []int{0, 8} {
		t.Run(fmt.Sprintf("MaxConnsPerHost %d", limit), func(t *testing.T) {
			t.Parallel()
			var opened, open, most atomic.Int32
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
			srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					opened.Add(1)
					most.Store(max(most.Load(), open.Add(1)))
				case http.StateClosed:
					open.Add(-1)
				}
			}
			srv.Start()
			t.Cleanup(srv.Close)
			client := newClient(t, upstream.Options{MaxConnsPerHost: limit}, srv.URL)

			for range rounds {
				var all sync.WaitGroup
				for range callers {
					all.Go(func() {
						if code, _, err := send(client, newRequest(t, t.Context(), "POST", srv.URL, "x")); code != 200 {
							t.Error(code, err)
						}
					})
				}
				all.Wait()
			}

			// A few more than callers on a busy machine: net/http gives up a connection if it does not see
			// within 50 ms that the request was written. Without reuse there would be one for each call.
			if got, want := int(opened.Load()), 2*callers; limit == 0 && got > want {
				t.Errorf("%d connections for %d rounds of %d callers, want at most %d", got, rounds, callers, want)
			}
			if got := int(most.Load()); limit > 0 && got > limit {
				t.Errorf("%d connections at a time, want at most %d", got, limit)
			}
		})
	}
}

// Waiting for a connection ends with the caller's context, and is not held against the upstream
// however long it took.
func TestQueueEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, upstream.Options{MaxConnsPerHost: 1, BreakAfter: 1, HeaderTimeout: time.Hour}, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Minute)
		})
		first := make(chan error, 1)
		go func() {
			_, _, err := send(client, newRequest(t, t.Context(), "GET", "http://x.test", ""))
			first <- err
		}()
		synctest.Wait()
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, _, err := send(client, newRequest(t, ctx, "GET", "http://x.test", "")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want the deadline", err)
			}
			cancel()
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// A pooled connection may have died unnoticed. If then nobody listens either, still nothing was
// sent.
func TestDeadPooledConnection(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	var dead atomic.Bool
	dials := 0
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		if dials == 2 {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		dead.Store(false)
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return mortalConn{conn, &dead}, err
	}
	client, err := upstream.NewOver(upstream.Options{Proxy: http.ProxyURL(nil), MaxBackoff: time.Millisecond}, dial)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	for _, want := range []string{"first", "second"} {
		if _, body, err := send(client, newRequest(t, t.Context(), "POST", srv.URL, want)); body != want || err != nil {
			t.Errorf("got %q (%v), want %q", body, err, want)
		}
		dead.Store(true)
	}
	if dials != 3 {
		t.Errorf("%d dials, want the first, one that is refused, and another", dials)
	}
}

type mortalConn struct {
	net.Conn
	dead *atomic.Bool
}

func (c mortalConn) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// HTTP/2 is used over TLS, own authorities included, also beyond the streams of one connection.
// There MaxConnsPerHost bounds nothing.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 1} {
		t.Run(fmt.Sprintf("MaxConnsPerHost %d", limit), func(t *testing.T) {
			t.Parallel()
			testHTTP2(t, limit)
		})
	}
}

func testHTTP2(t *testing.T, limit int) {
	const callers = 100
	var arrived sync.WaitGroup
	arrived.Add(callers)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		arrived.Wait() // all at a time
		_, _ = io.WriteString(w, r.Proto)
	}))
	srv.EnableHTTP2 = true
	srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 30}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	client := newClient(t, upstream.Options{TLS: &tls.Config{RootCAs: pool}, MaxConnsPerHost: limit}, srv.URL)

	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, body, err := send(client, newRequest(t, t.Context(), "POST", srv.URL, "x")); body != "HTTP/2.0" {
				t.Errorf("answered over %q (%v), want HTTP/2.0", body, err)
			}
		})
	}
	all.Wait()
}

// A certificate that is not trusted stays so: asking again does not help.
func TestUntrustedCertificateIsNotRetried(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	var seen attempts
	client := newClient(t, upstream.Options{Observe: seen.observe}, srv.URL)
	_, _, err := send(client, newRequest(t, t.Context(), "GET", srv.URL, ""))
	if got := len(seen.all()); got != 1 || err == nil {
		t.Errorf("%d attempts (%v), want one and its error", got, err)
	}
}
