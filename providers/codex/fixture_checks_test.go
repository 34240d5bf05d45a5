package codex_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
)

// A countingLimiter counts the slots that calls hold.
type countingLimiter struct {
	limits.Limiter
	taken, held atomic.Int32
}

func (s *countingLimiter) Admit(ctx context.Context, caller string) (limits.Admission, error) {
	a, err := s.Limiter.Admit(ctx, caller)
	if err != nil {
		return a, err
	}
	s.taken.Add(1)
	s.held.Add(1)
	release := a.Release
	a.Release = func() {
		s.held.Add(-1)
		release()
	}
	return a, nil
}

// waitForSlots waits until neither limiter nor bridge counts a call in progress. It fails unless a
// call that reached the model took one slot.
func (s *fixture) waitForSlots() {
	s.t.Helper()
	var health struct {
		InProgress int `json:"calls_in_progress"`
	}
	for range 20000 {
		w := httptest.NewRecorder()
		s.bridge.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health", nil))
		if err := json.Unmarshal(w.Body.Bytes(), &health); err != nil {
			s.t.Fatal(err)
		}
		if health.InProgress == 0 && s.limiter.held.Load() == 0 {
			if taken, asked := s.limiter.taken.Load(), s.asked.Load(); taken > 1 || taken < asked {
				s.t.Errorf("one call, which asked the model %d times, took %d slots", asked, taken)
			}
			return
		}
		time.Sleep(time.Millisecond)
	}
	s.t.Errorf("%d of the limiter's slots do not come back, and %d calls are in progress", s.limiter.held.Load(),
		health.InProgress)
}

// checkLog checks that the log has one record of the call and of its job, with the caller's code.
func (s *fixture) checkLog(outcome string) {
	s.t.Helper()
	level := s.fault.log
	if outcome == "—" {
		s.checkRecord("request", "", level, "client_closed_request")
		return
	}
	first, end, _ := strings.Cut(outcome, ", ")
	status, code, _ := strings.Cut(first, " ")
	if status == "202" {
		s.checkRecord("request", "202", "INFO", "")
		if _, code, _ = strings.Cut(end, " "); code == "" {
			level = "INFO"
		}
		s.checkRecord("job", "", level, code)
		return
	}
	if s.way.name == wantsJob.name { // the bridge did not create the job
		level = "WARN"
	}
	if _, failed, ok := strings.Cut(end, "error "); ok {
		code = failed
	}
	s.checkRecord("request", status, level, code)
}

// checkRecord checks that the log has exactly one such record. Empty status and code match any and
// none.
func (s *fixture) checkRecord(kind, status, level, code string) {
	s.t.Helper()
	var found []string
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "msg="+kind+" ") && strings.Contains(line, "request_id=the-call ") {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("%d log records of the %s, want one:\n%s", len(found), kind, s.log.String())
	}
	has := func(part string) bool { return strings.Contains(found[0], part) }
	if !has("level="+level+" ") || status != "" && !has("status="+status+" ") || code == "" && has("code=") ||
		code != "" && !(has("code="+code+" ") && has("cause=")) {
		s.t.Errorf("the log says\n%swant level %s, status %s, code %q and why", found[0], level, status, code)
	}
	if strings.Contains(found[0], "stack=") != (code == bridge.CodeInternal) {
		s.t.Errorf("a stack is for panics:\n%s", found[0])
	}
}

// checkGoroutines runs f, and fails the test if goroutines started by f remain.
func checkGoroutines(t *testing.T, f func()) {
	t.Helper()
	pprof.Do(t.Context(), pprof.Labels("test", t.Name()), func(context.Context) { f() })
	label := fmt.Sprintf("%q:%q", "test", t.Name())
	var left []string
	for range 2000 {
		var all bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			t.Fatal(err)
		}
		left = left[:0]
		for stack := range strings.SplitSeq(all.String(), "\n\n") {
			if strings.Contains(stack, label) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("leaked goroutines:\n%s", strings.Join(left, "\n\n"))
}

// A lockedBuffer is a buffer for concurrent use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
