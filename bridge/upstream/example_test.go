package upstream_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// A provider's client may call the server that its operator configured, although it is on this machine, and nothing else
// that is not public.
func Example() {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "hello")
	}))
	defer server.Close()
	baseURL := server.URL + "/v1"

	client, err := upstream.New(&upstream.Options{AllowHosts: []string{baseURL}, MaxBackoff: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()

	res, err := client.Get(baseURL + "/greeting")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Printf("%s, after %d attempts\n", body, asked.Load())

	_, err = client.Get("http://127.0.0.1:1/")
	if refused, ok := errors.AsType[*upstream.EgressError](err); ok {
		fmt.Println(refused)
	}
	// Output:
	// hello, after 2 attempts
	// upstream: 127.0.0.1:1 refused: 127.0.0.1 is a loopback address, which AllowHosts or AllowPrivate do not allow
}
