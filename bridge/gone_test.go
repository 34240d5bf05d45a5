package bridge_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// What only looks as if its caller were gone is answered all the same, and never with the empty 200 that net/http sends for
// a handler that writes nothing.
func TestCallersWhoAreNotGone(t *testing.T) {
	t.Parallel()
	const head = "POST /shout HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for name, test := range map[string]struct {
		sent   string
		status int
		code   string
	}{
		"half closed when the call is under way": {head + "Content-Length: 16\r\n\r\n" + `{"text": "wait"}`, 499, "client_closed_request"},
		"half closed in the middle of the body":  {head + "Content-Length: 99\r\n\r\n" + `{"text": "wait"}`, 499, "client_closed_request"},
		"malformed chunks":                       {head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logBuffer
			b := newBridge(t, loadContract(t), shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
				<-ctx.Done()
				return shoutResponse{}, ctx.Err()
			}), &bridge.Options{Logger: log.logger()})
			srv := serve(t, b)
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, test.sent); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if p := (reply{Status: res.StatusCode, Header: res.Header, Body: string(body)}).problem(t); res.StatusCode != test.status || p.Code != test.code {
				t.Errorf("answer = %d %s, want %d %s", res.StatusCode, body, test.status, test.code)
			}
			srv.Close() // waits for the exchange to be logged
			if !strings.Contains(log.String(), "code="+test.code) {
				t.Errorf("the log does not say %s:\n%s", test.code, log.String())
			}
		})
	}
}
