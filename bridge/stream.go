package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// An eventStream answers with server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): the
// handler's events, and then exactly one "result" or "error". The response begins with the first event, so that a call
// that fails before it still has its own status.
//
// The handler's goroutine sends while the exchange's sends heartbeats and ends the stream, hence the lock.
type eventStream struct {
	x  *exchange
	rc *http.ResponseController

	mu     sync.Mutex
	last   int // id of the last event; 0 until the response has begun
	closed bool
	broken error // the write that failed
}

func newEventStream(x *exchange) *eventStream {
	return &eventStream{x: x, rc: http.NewResponseController(x.w)}
}

func (s *eventStream) send(event any) error {
	name := ""
	if typed, ok := event.(interface{ EventType() string }); ok {
		name = typed.EventType()
	}
	if name == "result" || name == "error" || strings.ContainsAny(name, "\r\n\x00") {
		return fmt.Errorf("event type %q: it must be one line, and not result or error, which end a stream", name)
	}
	data, err := encode(event)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if limit := s.x.bridge.opts.MaxResponseBytes; int64(len(data)) > limit {
		return fmt.Errorf("event of %d bytes, at most %d are allowed (Options.MaxResponseBytes)", len(data), limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(name, data)
}

func (s *eventStream) heartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last > 0 {
		_ = s.put([]byte(": heartbeat\n\n")) // a failure shows at the next event
	}
}

func (s *eventStream) finish(result []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write("result", result)
}

func (s *eventStream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == 0 || s.broken != nil {
		return
	}
	if body, err := encode(newProblem(classify(err), s.x.r.URL.Path, s.x.id)); err == nil {
		_ = s.write("error", body) // nothing more can be said if this fails
	}
}

func (s *eventStream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// write sends one event. encode leaves no line breaks in data.
func (s *eventStream) write(name string, data []byte) error {
	if s.closed {
		return errors.New("the stream has ended")
	}
	if s.last == 0 {
		s.begin()
	}
	s.last++
	var b bytes.Buffer
	b.Grow(len(data) + len(name) + 32)
	b.WriteString("id: ")
	b.WriteString(strconv.Itoa(s.last))
	if name != "" {
		b.WriteString("\nevent: ")
		b.WriteString(name)
	}
	b.WriteString("\ndata: ")
	b.Write(data)
	b.WriteString("\n\n")
	return s.put(b.Bytes())
}

func (s *eventStream) begin() {
	h := s.x.w.Header()
	h.Set("Content-Type", eventStreamType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	s.x.w.WriteHeader(http.StatusOK)
	s.x.bridge.telemetry.began(s.x.r.Context(), s.x)
}

// put writes and flushes within Options.WriteTimeout. A caller that cannot keep up is as good as gone.
func (s *eventStream) put(p []byte) error {
	if s.broken != nil {
		return s.broken
	}
	s.x.extendWrite()
	_, err := s.x.w.Write(p)
	if err == nil {
		err = s.rc.Flush()
	}
	if err != nil {
		s.broken = fmt.Errorf("%w: %w", errClientGone, err)
	}
	return s.broken
}
