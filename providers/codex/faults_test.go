package codex_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the table of faults in docs/reliability.md")

// A fault is a failure injected into a call, with the expected outcome.
type fault struct {
	what string
	when phase
	do   func(*fixture)

	// Outcomes for callers that request JSON, events or a job, in the format of [fixture.call].
	json, sse, job string

	// Outcome of the same call with the same Idempotency-Key, sent to the next bridge on the same
	// store: asked or replayed.
	again string

	log string // level of the record; its code is the caller's, or client_closed_request if it is gone
}

// A phase is the progress of a call at the time of a fault.
type phase string

const (
	sending      phase = "while it is sent"
	asking       phase = "when the model is asked"
	beforeHeader phase = "before the model's header"
	beforeEvent  phase = "before the first event"
	midStream    phase = "after an event"
)

const asked, replayed = "model asked again", "first answer"

// modelFaults are faults of the model's server.
var modelFaults = []fault{
	{"nothing; the caller leaves with its answer", midStream, then(finish),
		"200", "200, result", "202, result", replayed, "INFO"},
	{"connection refused", asking, refuse,
		"502 upstream_failed", "502 upstream_failed", "202, error upstream_failed", asked, "WARN"},
	{"connection reset", beforeHeader, then(reset),
		"502 upstream_failed", "502 upstream_failed", "202, error upstream_failed", asked, "WARN"},
	{"connection cut", beforeEvent, then(cut),
		"502 upstream_failed", "502 upstream_failed", "202, error upstream_failed", asked, "WARN"},
	{"connection cut", midStream, then(cut),
		"502 upstream_failed", "200, error upstream_failed", "202, error upstream_failed", asked, "WARN"},
	{"end without a result", midStream, then(end),
		"502 invalid_response", "200, error upstream_failed", "202, error upstream_failed", asked, "WARN"},
	{"silence (slow header)", beforeHeader, then(untilGone),
		"504 timeout", "504 timeout", "202, error timeout", asked, "WARN"},
	{"silence (slow body)", beforeEvent, then(untilGone),
		"504 timeout", "504 timeout", "202, error timeout", asked, "WARN"},
	{"silence (slow body)", midStream, then(untilGone),
		"504 timeout", "200, error timeout", "202, error timeout", asked, "WARN"},
	{"garbage", beforeHeader, then(writeJSON(200, "<html>")),
		"502 invalid_response", "502 invalid_response", "202, error invalid_response", asked, "WARN"},
	{"garbage", midStream, then(write("data: <html>\n\n")),
		"502 invalid_response", "200, error invalid_response", "202, error invalid_response", asked, "WARN"},
	{"answer of another shape", midStream, then(complete(`b"}`)),
		"502 invalid_response", "200, error invalid_response", "202, error invalid_response", asked, "WARN"},
	{"429", beforeHeader, then(writeJSON(429, `{}`)),
		"429 rate_limited", "429 rate_limited", "202, error rate_limited", asked, "INFO"},
	{"429 with Retry-After: 7", beforeHeader, then(busyFor("7")),
		"429 rate_limited, Retry-After 7", "429 rate_limited, Retry-After 7", "202, error rate_limited", asked, "INFO"},
	{"500", beforeHeader, then(writeJSON(500, `{}`)),
		"502 upstream_failed", "502 upstream_failed", "202, error upstream_failed", asked, "WARN"},
	{"503", beforeHeader, then(writeJSON(503, ``)),
		"502 upstream_failed", "502 upstream_failed", "202, error upstream_failed", asked, "WARN"},
	{"request refused by its policy", beforeHeader, then(writeJSON(400, `{"error":{"code":"invalid_prompt"}}`)),
		"422 content_filtered", "422 content_filtered", "202, error content_filtered", replayed, "INFO"},
}

// otherFaults are faults of caller, bridge and provider.
var otherFaults = []fault{
	{"the caller leaves", sending, leave, "—", "—", "—", asked, "INFO"},
	{"the caller leaves", beforeHeader, leave, "—", "—", "202, result", asked, "INFO"},
	{"the caller leaves", beforeEvent, leave, "—", "—", "202, result", asked, "INFO"},
	{"the caller leaves", midStream, leave, "—", "—", "202, result", asked, "INFO"},
	{"the provider panics", asking, panics, "500 internal", "500 internal", "202, error internal", asked, "ERROR"},
	{"the provider panics", midStream, then(write(panicMark)),
		"500 internal", "200, error internal", "202, error internal", asked, "ERROR"},
	{"the bridge stops, the call ends in time", sending, stopInTime,
		"200", "200, result", "503 unavailable, Retry-After 1", replayed, "INFO"},
	{"the bridge stops, the call ends in time", beforeHeader, stopInTime,
		"200", "200, result", "202, result", replayed, "INFO"},
	{"the bridge stops, the call ends in time", beforeEvent, stopInTime,
		"200", "200, result", "202, result", replayed, "INFO"},
	{"the bridge stops, the call ends in time", midStream, stopInTime,
		"200", "200, result", "202, result", replayed, "INFO"},
	{"the bridge stops, the call does not end", sending, stopTooEarly,
		"503 unavailable, Retry-After 1", "503 unavailable, Retry-After 1", "503 unavailable, Retry-After 1", asked, "WARN"},
	{"the bridge stops, the call does not end", beforeHeader, stopTooEarly,
		"503 unavailable", "503 unavailable", "202, error interrupted", asked, "WARN"},
	{"the bridge stops, the call does not end", beforeEvent, stopTooEarly,
		"503 unavailable", "503 unavailable", "202, error interrupted", asked, "WARN"},
	{"the bridge stops, the call does not end", midStream, stopTooEarly,
		"503 unavailable", "200, error unavailable", "202, error interrupted", asked, "WARN"},
}

// A way is a kind of call, by the form of its response.
type way struct {
	name   string
	header []string
}

var (
	wantsJSON   = way{"JSON", nil}
	wantsSSE    = way{"SSE", []string{"Accept", "text/event-stream"}}
	wantsJob    = way{"job", []string{"Prefer", "respond-async"}}
	wantsReplay = way{"JSON with a key", []string{"Idempotency-Key", "k"}}
)

// TestFaults injects every fault into every kind of call, on real sockets. It checks the response,
// the log, and that no slot or goroutine leaks.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range append(modelFaults, otherFaults...) {
		for _, w := range []way{wantsJSON, wantsSSE, wantsJob, wantsReplay} {
			t.Run(fmt.Sprintf("%s %s/%s", f.what, f.when, w.name), func(t *testing.T) {
				t.Parallel()
				checkGoroutines(t, func() { f.inject(t, w) })
			})
		}
	}
}

// inject makes a call of this kind, with the fault, and checks its outcome.
func (f *fault) inject(t *testing.T, w way) {
	s := newFixture(t, f, w, "")
	defer s.close()
	got := s.run()
	want := map[string]string{wantsSSE.name: f.sse, wantsJob.name: f.job}[w.name]
	if want == "" {
		want = f.json
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the caller sees (-want +got):\n%s", diff)
	}
	if n := s.asked.Load(); n > 1 {
		t.Errorf("the model was asked %d times for one call, which is billed", n)
	}
	s.waitForSlots()
	s.stop()
	s.checkLog(want)
	if w.name == wantsReplay.name {
		s.close() // releases the store
		if got := s.replay(); got != f.again {
			t.Errorf("sent again with its key: %s, want %s", got, f.again)
		}
	}
}

// TestDocumentedFaults compares the tables in docs/reliability.md with those of this file.
func TestDocumentedFaults(t *testing.T) {
	t.Parallel()
	const page = "../../docs/reliability.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	for heading, faults := range map[string][]fault{"### At the model's server\n\n": modelFaults,
		"### Before the model, or beside it\n\n": otherFaults} {
		before, rest, ok := strings.Cut(got, heading)
		if !ok {
			t.Fatalf("%s has no %q", page, heading)
		}
		_, after, _ := strings.Cut(rest, "\n\n")
		got = before + heading + tableOf(faults) + "\n" + after
	}
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("the tables of %s are outdated; update them with: "+
			"go test ./providers/codex -run TestDocumentedFaults -update\n%s", page, diff)
	}
}

func tableOf(faults []fault) string {
	var b strings.Builder
	b.WriteString("| what happens | when | JSON | SSE | job | same `Idempotency-Key` again | log |\n" +
		"| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, f := range faults {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", f.what, f.when, f.json, f.sse, f.job, f.again, f.log)
	}
	return b.String()
}

// then returns a fault: the model's server continues with h.
func then(h http.HandlerFunc) func(*fixture) {
	return func(s *fixture) { s.then <- h }
}

// refuse and panics do nothing, because newFixture prepares these faults.
func refuse(*fixture) {}
func panics(*fixture) {}

func leave(s *fixture) {
	s.leave()
	if s.way.name == wantsJob.name {
		s.then <- finish
	} else {
		s.then <- untilGone
	}
}

func stopInTime(s *fixture) {
	s.beginStop()
	close(s.sent)
	s.then <- finish
}

func stopTooEarly(s *fixture) {
	s.beginStop()
	s.then <- untilGone
}

// untilGone waits for the client to leave.
func untilGone(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// partialText is the model's output before a fault.
const partialText = `{"code":"a`

// startResponse sends the header and text, as events or as a document, depending on the request.
func startResponse(w http.ResponseWriter, r *http.Request, text string) {
	r.Header.Set("Sent-Text", text) // read by complete
	w.Header().Set("Content-Type", r.Header.Get("Accept"))
	w.WriteHeader(http.StatusOK)
	if streams(r) && text != "" {
		_, _ = io.WriteString(w, events(textDelta(text)))
	} else if text != "" {
		head, _ := document(text)
		_, _ = io.WriteString(w, head)
	}
	_ = http.NewResponseController(w).Flush()
}

func streams(r *http.Request) bool { return r.Header.Get("Accept") == "text/event-stream" }

// document returns a response object with this text, split after the text.
func document(text string) (head, tail string) {
	head, tail, _ = strings.Cut(completed("TEXT"), "TEXT")
	quoted, _ := json.Marshal(text)
	return head + strings.Trim(string(quoted), `"`), tail
}

// complete sends more text and ends the response.
func complete(more string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		head, tail := document(partialText + more)
		if streams(r) {
			_, _ = io.WriteString(w, events(`{"type":"response.completed","response":`+head+tail+`}`))
			return
		}
		if text := r.Header.Get("Sent-Text"); text != "" {
			sent, _ := document(text)
			head = strings.TrimPrefix(head, sent)
		}
		_, _ = io.WriteString(w, head+tail)
	}
}

func finish(w http.ResponseWriter, r *http.Request) {
	if streams(r) && w.Header().Get("Content-Type") == "" {
		startResponse(w, r, "")
	}
	complete(`b","language":"go","explanation":"e"}`)(w, r)
}

func write(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func end(http.ResponseWriter, *http.Request) {}

func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func busyFor(seconds string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", seconds)
		writeJSON(429, `{"error":{"message":"slow"}}`)(w, r)
	}
}
