//go:build unix && !race

package bridge_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/internal/costtest"
)

// Connections that each hold back the last byte of a megabyte take no more memory than
// Options.MaxTotalBodyBytes, and lock nobody out. Without that bound 400 of them hold more than 400
// MiB.
func TestCostOfSlowUploads(t *testing.T) {
	const uploads, size = 400, 1 << 20
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, newBridge(t, loadContract(t), shouter(shout), nil), ln)
	client, url := newClient(t), "http://"+ln.Addr().String()+"/shout"
	honest := padded(size)
	if got := send(t, client, newRequest(t, "POST", url, honest)); got.Status != 200 {
		t.Fatalf("a large body = %d %s", got.Status, got.Body)
	}
	before := liveHeap()
	part := fmt.Appendf(nil, "POST /shout HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", size, honest[:size-1])
	cost := costtest.Measure(t, func() {
		for range uploads {
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := conn.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		for _, body := range []string{`{"text": "a"}`, honest} {
			if got := send(t, client, newRequest(t, "POST", url, body)); got.Status != 200 {
				t.Errorf("beside slow uploads, a body of %d bytes = %d %s", len(body), got.Status, strings.TrimSpace(got.Body))
			}
		}
	})
	held := liveHeap() - before
	t.Logf("%d uploads hold %d MiB and cost %v and %d MiB allocated", uploads, held>>20, cost.CPU, cost.Allocated>>20)
	if held > 96<<20 {
		t.Errorf("%d slow uploads hold %d MiB", uploads, held>>20)
	}
	if most := uint64(uploads * size * 5 / 4); cost.Allocated > most {
		t.Errorf("%d MiB were allocated, want at most %d", cost.Allocated>>20, most>>20)
	}
}

// liveHeap is what is in use after a garbage collection, in bytes.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
