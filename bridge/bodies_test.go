package bridge_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
)

// padded returns a call of so many bytes.
func padded(size int) string {
	const call = `{"text": "a"}`
	return strings.Repeat(" ", size-len(call)) + call
}

// A slowUpload sends a body of a call in parts.
type slowUpload struct {
	t    testing.TB
	conn net.Conn
	rest string
}

func startUpload(t testing.TB, conn net.Conn, size int) *slowUpload {
	u := &slowUpload{t, conn, padded(size)}
	u.write(fmt.Sprintf("POST /shout HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", size))
	return u
}

func (u *slowUpload) write(text string) {
	u.t.Helper()
	if _, err := io.WriteString(u.conn, text); err != nil {
		u.t.Errorf("upload: %v", err)
	}
}

// send sends n bytes more of the body.
func (u *slowUpload) send(n int) {
	u.t.Helper()
	u.write(u.rest[:n])
	u.rest = u.rest[n:]
}

func (u *slowUpload) answer() *http.Response {
	u.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(u.conn), nil)
	if err != nil {
		u.t.Fatalf("answer: %v", err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	return res
}

// Of the bodies that do not fit, the slowest in progress ends.
func TestSlowestUploadEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := instrument(t)
		i.opts.MaxTotalBodyBytes, i.opts.MaxBodyBytes = 300_000, 200_000
		inBubble(t, newBridge(t, loadContract(t), shouter(shout), &i.opts), func(client *http.Client) {
			stalled := startUpload(t, dial(t, client), 150_000)
			stalled.send(140_000)
			time.Sleep(10 * time.Second)
			steady := startUpload(t, dial(t, client), 150_000)
			steady.send(100_000)
			time.Sleep(time.Second)
			if diff := cmp.Diff(map[string]float64{"": 240_000}, i.sums(t, "caio.bridge.body_bytes")); diff != "" {
				t.Errorf("caio.bridge.body_bytes (-want +got):\n%s", diff)
			}
			if got := send(t, client, newRequest(t, "POST", shoutURL, padded(190_000))); got.Status != 200 {
				t.Errorf("a fast upload = %d %s", got.Status, got.Body)
			}
			if got := stalled.answer(); got.StatusCode != 408 || !got.Close {
				t.Errorf("the slowest upload = %d %v, want 408 and the connection closed", got.StatusCode, got.Header)
			}
			steady.send(50_000)
			if got := steady.answer(); got.StatusCode != 200 {
				t.Errorf("a steady upload = %d", got.StatusCode)
			}
		})
		for name, want := range map[string]map[string]float64{
			"caio.bridge.body_bytes":     {"": 0},
			"caio.bridge.refused_bodies": {"caio.bridge.outcome=slowest http.route=/shout": 1},
		} {
			if diff := cmp.Diff(want, i.sums(t, name)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

// A body that begins to count and is slower than those in progress is refused; small ones never
// are.
func TestNoRoomForAnotherBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := instrument(t)
		i.opts.MaxTotalBodyBytes, i.opts.MaxBodyBytes = 300_000, 200_000
		inBubble(t, newBridge(t, loadContract(t), shouter(shout), &i.opts), func(client *http.Client) {
			slow := startUpload(t, dial(t, client), 100_000)
			slow.send(60_000)
			time.Sleep(10 * time.Second)
			first, second := startUpload(t, dial(t, client), 150_000), startUpload(t, dial(t, client), 150_000)
			first.send(149_000)
			second.send(149_000)
			slow.send(10_000)
			if got := slow.answer(); got.StatusCode != 503 || got.Header.Get("Retry-After") != "1" {
				t.Errorf("a slow upload without room = %d %v, want 503 and Retry-After", got.StatusCode, got.Header)
			}
			if got := send(t, client, newRequest(t, "POST", shoutURL, padded(64<<10))); got.Status != 200 {
				t.Errorf("a small body = %d %s", got.Status, got.Body)
			}
			for _, u := range []*slowUpload{first, second} {
				u.send(1000)
				if got := u.answer(); got.StatusCode != 200 {
					t.Errorf("an upload in progress = %d", got.StatusCode)
				}
			}
		})
		if diff := cmp.Diff(map[string]float64{"caio.bridge.outcome=no_room http.route=/shout": 1}, i.sums(t, "caio.bridge.refused_bodies")); diff != "" {
			t.Errorf("caio.bridge.refused_bodies (-want +got):\n%s", diff)
		}
	})
}

// A decompressed copy counts, and a body counts until the limiter has decided. A body that is alone
// fits whatever its size.
func TestBodiesCountUntilAdmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := slowAdmission{make(chan struct{}), make(chan struct{})}
		b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Limiter: l, MaxTotalBodyBytes: 150_000, MaxBodyBytes: 200_000})
		inBubble(t, b, func(client *http.Client) {
			zipped := zip(t, padded(190_000))
			answers := make(chan reply, 2)
			call := func(body string, header ...string) {
				answers <- send(t, client, newRequest(t, "POST", shoutURL, body, header...))
			}
			go call(zipped, "Content-Encoding", "gzip")
			<-l.asked
			call(zipped, "Content-Encoding", "gzip")
			if got := <-answers; got.Status != 503 || got.problem(t).Code != "unavailable" || got.Header.Get("Retry-After") != "1" {
				t.Errorf("a second large body = %d %s, want 503", got.Status, got.Body)
			}
			// The connection stays, because a client that closes it may find its end before the answer.
			second, sent := startUpload(t, dial(t, client), 100_000), make(chan struct{})
			go func() {
				defer close(sent)
				second.send(100_000)
			}()
			if got := second.answer(); got.StatusCode != 503 || got.Header.Get("Retry-After") != "1" {
				t.Errorf("a second large body = %d %v, want 503", got.StatusCode, got.Header)
			}
			<-sent
			go call(zip(t, padded(64<<10)), "Content-Encoding", "gzip")
			<-l.asked
			go call(padded(100_000)) // waits for room
			time.Sleep(100 * time.Millisecond)
			l.admit <- struct{}{}
			l.admit <- struct{}{}
			<-l.asked
			l.admit <- struct{}{}
			for range 3 {
				if got := <-answers; got.Status != 200 {
					t.Errorf("an admitted call = %d %s", got.Status, got.Body)
				}
			}
		})
	})
}

// slowAdmission admits a call when the test says so.
type slowAdmission struct{ asked, admit chan struct{} }

func (l slowAdmission) Admit(context.Context, string) (limits.Admission, error) {
	l.asked <- struct{}{}
	<-l.admit
	return limits.Admission{}, nil
}

// A body that is announced as too large is refused before it arrives.
func TestAnnouncedSizeIsCheckedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inBubble(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{MaxBodyBytes: 100_000}), func(client *http.Client) {
			start := time.Now()
			if got := startUpload(t, dial(t, client), 100_001).answer(); got.StatusCode != 413 || time.Since(start) > time.Second {
				t.Errorf("the answer is %d after %v, want 413 at once", got.StatusCode, time.Since(start))
			}
		})
	})
}

// Many slow uploads lock nobody out: small calls and fast uploads succeed meanwhile.
func TestSlowUploadsLockNobodyOut(t *testing.T) {
	t.Parallel()
	b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{MaxTotalBodyBytes: 1 << 20, MaxBodyBytes: 1 << 19})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, b, ln)
	client, url := newClient(t), "http://"+ln.Addr().String()+"/shout"
	for i := range 100 {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		startUpload(t, conn, 200_000).send(199_999)
		if i%10 != 9 {
			continue
		}
		for _, size := range []int{13, 64 << 10, 1 << 19} {
			if got := send(t, client, newRequest(t, "POST", url, padded(size))); got.Status != 200 {
				t.Errorf("beside %d slow uploads, a body of %d bytes = %d %s", i+1, size, got.Status, got.Body)
			}
		}
	}
}

func dial(t testing.TB, client *http.Client) net.Conn {
	t.Helper()
	conn, err := client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Over HTTP/2 the slowest upload ends, and the other calls of its connection go on.
func TestSlowestUploadEndsOverHTTP2(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(newBridge(t, loadContract(t), shouter(shout), &bridge.Options{MaxTotalBodyBytes: 300_000, MaxBodyBytes: 200_000}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(func() {
		srv.Client().CloseIdleConnections()
		srv.Close()
	})
	body, stalled := io.Pipe()
	answer := make(chan reply, 1)
	go func() {
		req := newRequest(t, "POST", srv.URL+"/shout", "")
		req.Body, req.ContentLength = body, 150_000
		req.Header.Set("Content-Type", "application/json")
		answer <- send(t, srv.Client(), req)
	}()
	if _, err := io.WriteString(stalled, padded(150_000)[:149_999]); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := send(t, srv.Client(), newRequest(t, "POST", srv.URL+"/shout", padded(190_000))); got.Status != 200 || !got.HTTP2 {
			t.Errorf("a fast upload = %d %s, over HTTP/2: %t", got.Status, got.Body, got.HTTP2)
		}
	}
	if got := <-answer; got.Status != 408 {
		t.Errorf("the slowest upload = %d %s, want 408", got.Status, got.Body)
	}
	_ = stalled.Close()
}

// A caller that sends a body which is refused for its announced size gets the answer, and can use its
// connection again. Without reading the body the connection was reset.
func TestRefusedBodyKeepsItsConnection(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{MaxBodyBytes: 1 << 20}))
	for range 20 {
		got := post(t, srv, "/shout", padded(2<<20))
		if got.Status != 413 {
			t.Fatalf("a body of 2 MiB = %d %s, want 413", got.Status, got.Body)
		}
	}
}
