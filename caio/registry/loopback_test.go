package registry_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// serveMarket names the variable that makes the test binary a registry of many services on loopback, until its standard
// input ends. It runs on as many cores as GOMAXPROCS says.
const serveMarket = "REGISTRY_TEST_SERVE_MARKET"

func serveUntilEOF() error {
	m, err := openMarket(context.Background())
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: m}
	go server.Serve(listener)
	fmt.Println(listener.Addr())
	io.Copy(io.Discard, os.Stdin)
	return server.Close()
}

// BenchmarkLoopback measures routed requests over TCP on this machine: the registry is a process of its own on one core, and
// the client, which does no more than send and read, needs another. Beside the rate it reports how long answers took with
// that many requests under way, and the processor time that the registry spent on each.
func BenchmarkLoopback(b *testing.B) {
	server := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^$")
	server.Env = append(os.Environ(), serveMarket+"=1", "GOMAXPROCS=1")
	server.Stderr = os.Stderr
	input, inErr := server.StdinPipe()
	output, outErr := server.StdoutPipe()
	if err := errors.Join(inErr, outErr, server.Start()); err != nil {
		b.Fatal(err)
	}
	defer server.Wait()
	defer input.Close()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	for _, connections := range []int{1, 32} {
		b.Run(fmt.Sprintf("connections-%d", connections), func(b *testing.B) {
			clients := make([]*loopClient, connections)
			for i := range clients {
				if clients[i], err = dialLoop(strings.TrimSpace(line)); err != nil {
					b.Fatal(err)
				}
				defer clients[i].conn.Close()
			}
			b.ResetTimer()
			spent, start := processorTime(server.Process.Pid), time.Now()
			var running sync.WaitGroup
			for i, c := range clients {
				running.Go(func() { c.ask(b, (b.N+connections-1-i)/connections) })
			}
			running.Wait()
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "req/s")
			b.ReportMetric(float64((processorTime(server.Process.Pid)-spent).Nanoseconds())/float64(b.N), "server-ns/op")
			var took []time.Duration
			for _, c := range clients {
				took = append(took, c.took...)
			}
			reportPercentiles(b, "", took)
		})
	}
}

func reportPercentiles(b *testing.B, prefix string, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), prefix+"p50-ns")
	b.ReportMetric(float64(took[len(took)*95/100].Nanoseconds()), prefix+"p95-ns")
}

// A loopClient asks over one connection.
type loopClient struct {
	conn     net.Conn
	answers  *bufio.Reader
	requests [20][]byte
	took     []time.Duration
}

func dialLoop(address string) (*loopClient, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &loopClient{conn: conn, answers: bufio.NewReaderSize(conn, 64<<10)}
	for i := range c.requests {
		body := fmt.Sprintf(`{"requirements": ["capability_%03d"], "context": {}}`, i)
		c.requests[i] = fmt.Appendf(nil, "POST /api/v1/orchestrate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	return c, nil
}

func (c *loopClient) ask(b *testing.B, times int) {
	for i := range times {
		start := time.Now()
		_, err := c.conn.Write(c.requests[i%len(c.requests)])
		if err == nil {
			err = readAnswer(c.answers)
		}
		if err != nil {
			b.Error(err)
			return
		}
		c.took = append(c.took, time.Since(start))
	}
}

// readAnswer reads one answer of status 200.
func readAnswer(reader *bufio.Reader) error {
	length := -1
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(line))
		switch {
		case first && !strings.Contains(text, " 200 "):
			return errors.New(text)
		case text == "":
			_, err := reader.Discard(length)
			return err
		case strings.HasPrefix(text, "Content-Length: "):
			if _, err := fmt.Sscan(text[16:], &length); err != nil {
				return err
			}
		}
	}
}

// processorTime is what the process has used so far, in user and system mode, where /proc tells; else 0.
func processorTime(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var user, system int
	fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	return time.Duration(user+system) * 10 * time.Millisecond // a tick of USER_HZ, 100 on Linux
}
