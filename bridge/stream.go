package bridge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// An eventStream answers with server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): the
// handler's events, and then exactly one "result" or "error". The response begins with the first event, so that a call
// that fails before it still has its own status.
//
// The handler's goroutine sends events. The request's goroutine sends heartbeats and ends the stream.
type eventStream struct {
	x  *exchange
	rc *http.ResponseController

	maxEvent int64 // bytes

	sending sync.Mutex // for the field below; taken before mu. Encoding is the handler's own code and may take its time
	frame   frame      // of the event being sent

	mu     sync.Mutex
	last   int         // id of the last event; 0 until the response has begun
	beat   *time.Timer // of the next heartbeat; stopped until the response has begun
	closed bool
	broken error // the write that failed
}

func newEventStream(x *exchange, maxEvent int64) *eventStream {
	return &eventStream{x: x, rc: http.NewResponseController(x.w), maxEvent: maxEvent, beat: time.NewTimer(math.MaxInt64)}
}

func (s *eventStream) listens() bool { return true }

func (s *eventStream) send(_ context.Context, event any) error {
	name, err := eventName(event)
	if err != nil {
		return err
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	defer s.frame.clear()
	text, err := s.frame.encode(s.next(), name, event, s.maxEvent)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(text)
}

// next returns the id of the next event.
func (s *eventStream) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last + 1
}

func (s *eventStream) heartbeats() <-chan time.Time { return s.beat.C }

// heartbeat sends a comment, which shows whether the caller is still there.
func (s *eventStream) heartbeat() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beat.Reset(s.x.bridge.opts.Heartbeat)
	return s.put([]byte(": heartbeat\n\n"))
}

func (s *eventStream) finish(result []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.terminate("result", result)
}

func (s *eventStream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == 0 || s.broken != nil {
		return
	}
	if body, err := encode(newProblem(classify(err), instanceOf(s.x.r), s.x.id)); err == nil {
		_ = s.terminate("error", body) // nothing more can be said if this fails
	}
}

// terminate sends the last event.
func (s *eventStream) terminate(name string, data []byte) error {
	err := s.write(frameOf(strconv.Itoa(s.last+1), name, data))
	s.closed = true
	return err
}

func (s *eventStream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.beat.Stop()
}

// write sends the next event.
func (s *eventStream) write(frame []byte) error {
	if s.closed {
		return errors.New("the stream has ended")
	}
	if s.last == 0 {
		s.begin()
		s.x.bridge.telemetry.FirstEvent(s.x.r.Context(), &s.x.telemetry, s.x.route)
	}
	s.last++
	return s.put(frame)
}

func (s *eventStream) begin() {
	h := s.x.w.Header()
	h.Set("Content-Type", eventStreamType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	s.x.w.WriteHeader(http.StatusOK)
	s.beat.Reset(s.x.bridge.opts.Heartbeat)
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
