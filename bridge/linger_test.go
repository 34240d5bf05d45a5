package bridge_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// A caller that announces a body and does not send it holds neither its connection nor its answer up, whatever the answer is.
func TestBodyThatNeverComes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request string // but for its body
		status  int
		took    time.Duration // at most
	}{
		"for a call":                  {"POST /shout HTTP/1.1\r\nContent-Type: application/json\r\n", 408, 6 * time.Second},
		"of a type that is not taken": {"POST /shout HTTP/1.1\r\n", 415, time.Second},
		"with a malformed key":        {"POST /shout HTTP/1.1\r\nContent-Type: application/json\r\nIdempotency-Key: a,b\r\n", 400, time.Second},
		"by nobody known":             {"POST /shout HTTP/1.1\r\nAuthorization: Bearer wrong\r\n", 401, time.Second},
		"by a page elsewhere":         {"POST /shout HTTP/1.1\r\nOrigin: https://evil.example.com\r\n", 403, time.Second},
		"for nothing":                 {"POST /" + strings.Repeat("nothing", 1000) + " HTTP/1.1\r\n", 404, time.Second}, // an answer larger than net/http's buffer
		"with a method that has none": {"GET /health HTTP/1.1\r\n", 400, time.Second},
	} {
		for how, announced := range map[string]string{"": "Content-Length: 1000\r\n", ", in chunks": "Transfer-Encoding: chunked\r\n"} {
			t.Run(name+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Authenticate: bridge.BearerTokens(map[string]string{"ann": "token-a"}), Timeouts: bridge.Timeouts{Read: 5 * time.Second}})
					inBubble(t, b, func(client *http.Client) {
						conn, err := client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
						if err != nil {
							t.Fatal(err)
						}
						defer conn.Close()
						head := test.request + "Host: localhost\r\n"
						if !strings.Contains(head, "Authorization") {
							head += "Authorization: Bearer token-a\r\n"
						}
						start := time.Now()
						_, _ = io.WriteString(conn, head+announced+"\r\n")
						res, err := http.ReadResponse(bufio.NewReader(conn), nil)
						if err != nil {
							t.Fatalf("after %v: %v", time.Since(start), err)
						}
						if res.StatusCode != test.status || time.Since(start) > test.took {
							t.Errorf("%d after %v, want %d after at most %v", res.StatusCode, time.Since(start), test.status, test.took)
						}
					})
				})
			})
		}
	}
}
