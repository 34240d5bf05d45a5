//go:build unix

package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const manyStreams = 500

// With 500 streams open, all beyond 256 waited for the end of another one before the bridge asked
// the model. Here the model ends no stream before every caller has its first event, so a stream
// that waits for a connection fails the test. The time to the first event is logged, not asserted:
//
//	go test ./examples/codexbridge -run TestManyStreams -count 5 -v
//
// The test is not parallel, because others would take the CPU from it.
func TestManyStreams(t *testing.T) {
	needFiles(t, 4*manyStreams+200) // both ends of a caller's and a model's connection, and other files
	model := &holdingModel{}
	server := httptest.NewServer(model)
	t.Cleanup(server.Close)
	folder := t.TempDir()
	if err := os.CopyFS(folder, editedContract(t, manyStreams)); err != nil {
		t.Fatal(err)
	}
	metrics := freeAddr(t)
	env := map[string]string{"OPENAI_BASE_URL": server.URL + "/v1", "CODEX_MODEL": "any"}
	r := startLogging(t, io.Discard, env, "-contract", filepath.Join(folder, "contract.yaml"), "-metrics-addr", metrics)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: manyStreams}}
	t.Cleanup(client.CloseIdleConnections)

	for _, arrival := range []struct {
		name     string
		interval time.Duration
	}{
		{"one every 2 ms", 2 * time.Millisecond},
		{"all at once", 0},
	} {
		waits := model.openStreams(t, client, r.bridge, arrival.interval)
		if t.Failed() {
			return
		}
		slices.Sort(waits)
		t.Logf("%d streams, %s: first event after %v (median), %v (p99), %v (last)", manyStreams, arrival.name,
			waits[manyStreams/2], waits[manyStreams*99/100], waits[manyStreams-1])
	}
	if text := download(t, "http://"+metrics+"/metrics", ""); strings.Contains(text, "http_client_request_time_in_queue") {
		t.Errorf("requests to the model queued for connections, or there is a bound again:\n%s", text)
	}
}

// A holdingModel streams an event every 200 ms, and ends no stream before all of them have begun.
type holdingModel struct {
	release atomic.Pointer[chan struct{}] // closed when the streams may end
}

// ServeHTTP implements [http.Handler].
func (m *holdingModel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(kind string, members map[string]any) {
		members["type"] = kind
		data, _ := json.Marshal(members)
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data)
		_ = http.NewResponseController(w).Flush()
	}
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for text := `{"code":"a`; ; text = "a" {
		send("response.output_text.delta", map[string]any{"output_index": 0, "delta": text})
		select {
		case <-ticker.C:
			continue
		case <-r.Context().Done():
			return
		case <-*m.release.Load():
		}
		answer := `{"code":"a","language":"python","explanation":"short"}`
		send("response.completed", map[string]any{"response": demoResponse(demoRequest{}, answer)})
		return
	}
}

// openStreams opens the streams at the interval. All of them last until each has its first event.
// It returns the times from the calls to their first events.
func (m *holdingModel) openStreams(
	t *testing.T, client *http.Client, bridge string, interval time.Duration,
) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	release := make(chan struct{})
	m.release.Store(&release)
	var began, ended sync.WaitGroup
	began.Add(manyStreams)
	waits := make([]time.Duration, manyStreams)
	for i := range waits {
		time.Sleep(interval)
		ended.Go(func() {
			var once sync.Once
			defer once.Do(began.Done)
			start := time.Now()
			err := readStream(ctx, client, bridge, func() {
				waits[i] = time.Since(start)
				once.Do(began.Done)
			})
			if err != nil {
				t.Errorf("stream %d of %d: %v", i+1, manyStreams, err)
				cancel() // the others may be waiting for the first event of this one
			}
		})
	}
	began.Wait()
	close(release)
	ended.Wait()
	return waits
}

// readStream makes a call that streams, and reads it to its result.
func readStream(ctx context.Context, client *http.Client, bridge string, onFirstEvent func()) error {
	body := strings.NewReader(`{"prompt": "a stack"}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, bridge+"/generate", body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	first := true
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if first && strings.HasPrefix(lines.Text(), "data: ") {
			first = false
			onFirstEvent()
		}
		if lines.Text() == "event: result" {
			_, err := io.Copy(io.Discard, res.Body)
			return err
		}
	}
	return cmp.Or(lines.Err(), fmt.Errorf("status %d and no result", res.StatusCode))
}

// needFiles skips the test if the process may not open so many files. Go has raised the soft limit
// to the hard one.
func needFiles(t *testing.T, files uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if uint64(limit.Cur) < files {
		need(t, fmt.Sprintf("a process may open %d files here, the test needs %d: raise the limit with ulimit -Hn %d",
			limit.Cur, files, files))
	}
}
