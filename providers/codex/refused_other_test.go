//go:build !unix

package codex_test

import (
	"net"
	"testing"
)

// refusingURL returns the URL of a closed port.
func refusingURL(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String()
}
