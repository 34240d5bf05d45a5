package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An eventStream answers with server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): the
// handler's events, and then exactly one "result" or "error". The response begins with the first event, so that a call
// that fails before it still has its own status.
//
// While the handler's goroutine sends, a timer's sends heartbeats, and another may end the stream, hence the lock.
type eventStream struct {
	x  *exchange
	rc *http.ResponseController

	maxEvent int64                   // bytes
	cancel   context.CancelCauseFunc // of the call, nil if there is none

	mu     sync.Mutex
	last   int         // id of the last event; 0 until the response has begun
	beat   *time.Timer // of the next heartbeat, nil until the response has begun
	closed bool
	broken error // the write that failed
}

func newEventStream(x *exchange, maxEvent int64) *eventStream {
	return &eventStream{x: x, rc: http.NewResponseController(x.w), maxEvent: maxEvent}
}

func (s *eventStream) listens() bool { return true }

func (s *eventStream) send(_ context.Context, event any) error {
	name, data, err := encodeEvent(event, s.maxEvent)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(name, data)
}

func (s *eventStream) attach(end context.CancelCauseFunc) { s.cancel = end }

// heartbeat sends a comment, and another one in time, until the stream is closed.
func (s *eventStream) heartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	_, err := guarded(func() (any, error) { return nil, s.put([]byte(": heartbeat\n\n")) }) // on this goroutine a panic would end the process
	if err != nil {
		s.cancel(err)
		return
	}
	s.beat.Reset(s.x.bridge.opts.Heartbeat)
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
	if body, err := encode(newProblem(classify(err), instanceOf(s.x.r), s.x.id)); err == nil {
		_ = s.write("error", body) // nothing more can be said if this fails
	}
}

func (s *eventStream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.beat != nil {
		s.beat.Stop()
	}
}

// encodeEvent returns the name of a handler's event and its JSON.
func encodeEvent(event any, limit int64) (name string, data []byte, err error) {
	if typed, ok := event.(interface{ EventType() string }); ok {
		name = typed.EventType()
	}
	if name == "result" || name == "error" || name == "gap" || strings.ContainsAny(name, "\r\n\x00") {
		return "", nil, fmt.Errorf("event type %q: it must be one line, and not result, error or gap, which are the bridge's own", name)
	}
	if data, err = encode(event); err != nil {
		return "", nil, fmt.Errorf("encode event: %w", err)
	}
	if int64(len(data)) > limit {
		return "", nil, fmt.Errorf("event of %d bytes, at most %d are allowed (Options.MaxResponseBytes, or max_response_bytes of the contract)", len(data), limit)
	}
	return name, data, nil
}

// write sends one event.
func (s *eventStream) write(name string, data []byte) error {
	if s.closed {
		return errors.New("the stream has ended")
	}
	if s.last == 0 {
		s.begin()
		s.x.bridge.telemetry.began(s.x.r.Context(), s.x)
	}
	s.last++
	return s.put(frame(strconv.Itoa(s.last), name, data))
}

// frame writes an event out. encode leaves no line breaks in data. Without an id the reader keeps the last one.
func frame(id, name string, data []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(data) + len(name) + len(id) + 24)
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	if name != "" {
		b.WriteString("event: " + name + "\n")
	}
	b.WriteString("data: ")
	b.Write(data)
	b.WriteString("\n\n")
	return b.Bytes()
}

func (s *eventStream) begin() {
	h := s.x.w.Header()
	h.Set("Content-Type", eventStreamType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	s.x.w.WriteHeader(http.StatusOK)
	if s.cancel != nil {
		s.beat = time.AfterFunc(s.x.bridge.opts.Heartbeat, s.heartbeat)
	}
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
		return s.broken
	}
	s.x.restWrite()
	return nil
}
