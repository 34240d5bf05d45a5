package bridge_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
)

// serveOnLoopback has b serve on a socket of its own, and returns the address.
func serveOnLoopback(t *testing.T, b *bridge.Bridge) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, b, ln)
	return ln.Addr().String()
}

// What a server of net/http would answer by itself, or take without bounds, does not get past a bridge that serves.
func TestHeadersThatAreRefused(t *testing.T) {
	t.Parallel()
	b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Authenticate: bridge.BearerTokens(map[string]string{"ann": "token-a"})})
	addr := serveOnLoopback(t, b)
	for name, test := range map[string]struct {
		request string
		status  int
	}{
		"as large as headers may be": {"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Large: " + strings.Repeat("a", 63<<10) + "\r\n\r\n", 200},
		"larger":                     {"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Large: " + strings.Repeat("a", 70<<10) + "\r\n\r\n", 431},
		"many that are larger":       {"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: "+strings.Repeat("a", 100)+"\r\n", 1000) + "\r\n", 431},
		"for the server as a whole":  {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 401},
		"under another name":         {"OPTIONS * HTTP/1.1\r\nHost: evil.example.com\r\n\r\n", 403},
		"without a name":             {"GET /livez HTTP/1.1\r\n\r\n", 400},
		"under two names":            {"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example.com\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, test.request) // the bridge may stop reading
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != test.status {
				t.Errorf("status %d, want %d", res.StatusCode, test.status)
			}
		})
	}
}

// A caller that sends its header byte by byte keeps a connection for ten seconds, not for as long as it likes.
func TestHeaderThatNeverEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shouter(shout), nil)
		ln := memnet.Listen()
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- b.Serve(ctx, ln) }()
		conn, err := ln.Dial(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			_, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nX: ")
			for err == nil {
				time.Sleep(time.Second)
				_, err = io.WriteString(conn, "a")
			}
		}()
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("the connection ended with %v", err)
		}
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("the connection was kept for %v, want ten seconds", took)
		}
		conn.Close()
		<-writing
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}
