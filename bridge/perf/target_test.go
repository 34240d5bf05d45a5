//go:build unix

package perf_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A target is a process under measurement, and what to send it.
type target struct {
	*process
	name string
	call []byte // a request, as it goes over the wire
	// The same for a stream that is read, and for one whose memory is measured.
	stream, slowStream []byte
	conns              []*conn
}

// startTargets starts the targets of these names, and the model's server that they call.
func startTargets(t *testing.T, names ...string) []*target {
	upstream := start(t, direct, "", false).addr
	if only := os.Getenv("PERF_ONLY"); only != "" {
		names = slices.DeleteFunc(names, func(name string) bool {
			return name != direct && !slices.Contains(strings.Split(only, ","), name)
		})
	}
	var targets []*target
	for _, name := range names {
		target := &target{process: start(t, name, upstream, true), name: name}
		targets = append(targets, target)
		wire := generateCall
		if slices.Contains([]string{direct, proxy, passage}, name) {
			wire = modelCall // nothing between the caller and the model's server understands another
		}
		target.call, target.stream, target.slowStream = wire(t, "", false), wire(t, "", true), wire(t, slowly, true)
	}
	return targets
}

// generateCall returns a request to a bridge.
func generateCall(t *testing.T, how string, stream bool) []byte {
	req := generateRequest{Prompt: "Add a String method to the type Color, so that it prints as the name of the color. " + how, MaxTokens: 512}
	req.Context.Language = "go"
	req.Context.Files = []file{{"color.go", "package color\n\ntype Color int\n\nconst (\n\tRed Color = iota\n\tGreen\n)\n"}}
	body, err := json.Marshal(req)
	check(t, err)
	return wire(t, "/generate", body, stream)
}

// modelCall returns what the bridge makes of that request for the model's server.
func modelCall(t *testing.T, how string, stream bool) []byte {
	var body []byte
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) }))
	defer fake.Close()
	b, err := newBridge(fake.Listener.Addr().String())
	check(t, err)
	defer b.Close()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(generateCall(t, how, stream))))
	check(t, err)
	b.ServeHTTP(httptest.NewRecorder(), req)
	return wire(t, "/v1/responses", body, stream)
}

func wire(t *testing.T, path string, body []byte, stream bool) []byte {
	req := httptest.NewRequest("POST", "http://localhost"+path, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	if stream {
		req.Header.Set("Accept", "text/event-stream")
	}
	var b bytes.Buffer
	check(t, req.Write(&b))
	return b.Bytes()
}

// load makes calls on all connections for about d, and returns their rate and the target's CPU time for each. Each
// connection waits for pace between the beginnings of its calls, or for nothing but their end if that is later.
func (x *target) load(t *testing.T, d, pace time.Duration) (rate float64, cpu time.Duration) {
	x.connect(t, connections)
	var calls, first atomic.Int64
	before, begin := x.report(t, "cpu"), time.Now()
	x.each(t, connections, func(c *conn) error {
		turn := pace * time.Duration(first.Add(1)) / connections // so that connections do not call in step
		for n := int64(1); ; n++ {
			time.Sleep(time.Until(begin.Add(turn)))
			turn += pace
			if err := c.call(x.call); err != nil {
				return err
			}
			if time.Since(begin) > d {
				calls.Add(n)
				return nil
			}
		}
	})
	rate = float64(calls.Load()) / time.Since(begin).Seconds()
	return rate, (x.report(t, "cpu").CPU - before.CPU) / time.Duration(max(1, calls.Load()))
}

// alone makes n calls one after the other, and returns the median of what they took.
func (x *target) alone(t *testing.T, n int) time.Duration {
	x.connect(t, 1)
	var took []time.Duration
	x.each(t, 1, func(c *conn) error {
		for range n {
			begin := time.Now()
			if err := c.call(x.call); err != nil {
				return err
			}
			took = append(took, time.Since(begin))
		}
		return nil
	})
	return median(took)
}

// follow reads n streams at once. It returns the median of how old events were when they had been read, and the target's
// CPU time for each.
func (x *target) follow(t *testing.T, n int) (delay, cpu time.Duration) {
	x.connect(t, n)
	var mu sync.Mutex
	var delays []time.Duration
	before := x.report(t, "cpu")
	x.each(t, n, func(c *conn) error {
		own := make([]time.Duration, 0, events)
		err := c.stream(x.stream, func(age time.Duration) bool {
			own = append(own, age)
			return true
		})
		if err == nil && len(own) != events {
			err = fmt.Errorf("%d events", len(own))
		}
		mu.Lock()
		defer mu.Unlock()
		delays = append(delays, own...)
		return err
	})
	cpu = (x.report(t, "cpu").CPU - before.CPU) / time.Duration(n*events)
	return median(delays), cpu
}

// hold opens n streams and returns what each adds to the target's memory once it has had some events.
func (x *target) hold(t *testing.T, n int) (live, resident float64) {
	x.disconnect()
	before := x.report(t, "memory")
	x.connect(t, n)
	x.each(t, n, func(c *conn) error {
		seen := 0
		return c.stream(x.slowStream, func(time.Duration) bool {
			seen++
			return seen < 3
		})
	})
	after := x.report(t, "memory")
	x.disconnect()
	return (after.Live - before.Live) / float64(n), (after.Resident - before.Resident) / float64(n)
}

// connect makes sure of n connections.
func (x *target) connect(t *testing.T, n int) {
	for len(x.conns) < n {
		c, err := net.Dial("tcp", x.addr)
		check(t, err)
		t.Cleanup(func() { c.Close() })
		x.conns = append(x.conns, &conn{c, bufio.NewReader(c)})
	}
}

func (x *target) disconnect() {
	for _, c := range x.conns {
		c.Close()
	}
	x.conns = nil
}

// each uses n connections at the same time.
func (x *target) each(t *testing.T, n int, use func(*conn) error) {
	var users sync.WaitGroup
	for _, c := range x.conns[:n] {
		users.Go(func() {
			if err := use(c); err != nil {
				t.Errorf("%s: %v", x.name, err)
			}
		})
	}
	users.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// A conn is a connection to a target: an HTTP client that costs little, so that the target is what limits.
type conn struct {
	net.Conn
	in *bufio.Reader
}

func (c *conn) send(request []byte) (*http.Response, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(c.in, nil)
	if err == nil && res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return res, err
}

func (c *conn) call(request []byte) error {
	res, err := c.send(request)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
	}
	return err
}

// stream tells the age of each event until the stream ends or the receiver wants no more.
func (c *conn) stream(request []byte, receive func(age time.Duration) (more bool)) error {
	res, err := c.send(request)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		_, text, ok := strings.Cut(lines.Text(), stampMark)
		if !ok {
			continue
		}
		sent, _, _ := strings.Cut(text, ";")
		nanoseconds, err := strconv.ParseInt(sent, 10, 64)
		if err != nil {
			return err
		}
		if !receive(time.Since(time.Unix(0, nanoseconds))) {
			return nil
		}
	}
	return lines.Err()
}
