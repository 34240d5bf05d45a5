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

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/internal/sse"
)

// An sseResponder answers with server-sent events: the handler's events, and then exactly one "result"
// or "error". The response begins with the first event, so that a call that fails earlier has its own
// status. The handler's goroutine sends events. The request's goroutine sends heartbeats and ends the
// stream.
type sseResponder struct {
	x        *exchange
	rc       *http.ResponseController
	maxEvent int64 // bytes

	sending sync.Mutex  // guards encoder; taken before mu, because encoding runs the handler's code
	encoder sse.Encoder // of the event that is sent

	mu             sync.Mutex
	last           int         // id of the last event; 0 before the response has begun
	heartbeatTimer *time.Timer // stopped before the response has begun
	closed         bool
	writeErr       error // error of the first failed write
}

func newSSEResponder(x *exchange, maxEvent int64) *sseResponder {
	return &sseResponder{
		x:              x,
		rc:             http.NewResponseController(x.w),
		maxEvent:       maxEvent,
		heartbeatTimer: time.NewTimer(math.MaxInt64),
	}
}

func (s *sseResponder) wantsEvents() bool { return true }

func (s *sseResponder) send(_ context.Context, event any) error {
	name, err := eventName(event)
	if err != nil {
		return err
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	defer s.encoder.Reset()
	text, err := s.encoder.Encode(s.nextID(), name, event, s.maxEvent)
	if err != nil {
		return eventError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeEvent(text)
}

func (s *sseResponder) nextID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last + 1
}

func (s *sseResponder) heartbeats() <-chan time.Time { return s.heartbeatTimer.C }

// heartbeat sends a comment. It fails if the caller is gone.
func (s *sseResponder) heartbeat() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heartbeatTimer.Reset(s.x.bridge.opts.Timeouts.Heartbeat)
	return s.writeRaw([]byte(sse.Heartbeat))
}

func (s *sseResponder) writeResult(result []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLast("result", result)
}

func (s *sseResponder) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == 0 || s.writeErr != nil {
		return
	}
	if body, err := codec.Encode(newProblem(publicError(err), instanceOf(s.x.r), s.x.id)); err == nil {
		_ = s.writeLast("error", body) // the stream ends here in any case
	}
}

func (s *sseResponder) writeLast(name string, data []byte) error {
	err := s.writeEvent(sse.AppendEvent(nil, strconv.Itoa(s.last+1), name, data))
	s.closed = true
	return err
}

func (s *sseResponder) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.heartbeatTimer.Stop()
}

// writeEvent writes the next event. The first one begins the response.
func (s *sseResponder) writeEvent(text []byte) error {
	if s.closed {
		return errors.New("the stream has ended")
	}
	if s.last == 0 {
		s.begin()
		s.x.bridge.telemetry.FirstEvent(s.x.r.Context(), &s.x.telemetry, s.x.route)
	}
	s.last++
	return s.writeRaw(text)
}

func (s *sseResponder) begin() {
	h := s.x.w.Header()
	h.Set("Content-Type", sse.MediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would delay events
	s.x.w.WriteHeader(http.StatusOK)
	s.heartbeatTimer.Reset(s.x.bridge.opts.Timeouts.Heartbeat)
}

// writeRaw writes and flushes within Timeouts.Write. A caller that is slower counts as gone.
func (s *sseResponder) writeRaw(p []byte) error {
	if s.writeErr != nil {
		return s.writeErr
	}
	s.x.armWriteDeadline()
	_, err := s.x.w.Write(p)
	if err == nil {
		err = s.rc.Flush()
	}
	if err != nil {
		s.writeErr = fmt.Errorf("%w: %w", errClientGone, err)
		return s.writeErr
	}
	s.x.clearWriteDeadline()
	return nil
}

// eventName returns the name of an event, "" for none.
func eventName(event any) (name string, err error) {
	if typed, ok := event.(EventTyper); ok {
		name = typed.EventType()
	}
	if name == "result" || name == "error" || name == "gap" || !sse.IsName(name) {
		return "", fmt.Errorf("event type %q: it must be one line, and not result, error or gap, which are the bridge's own", name)
	}
	return name, nil
}

// encodeEvent returns the JSON of an event of at most limit bytes.
func encodeEvent(event any, limit int64) ([]byte, error) {
	data, err := codec.Encode(event)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return data, eventError(sse.CheckSize(len(data), limit))
}

// eventError names the settings of the largest event.
func eventError(err error) error {
	if size, ok := errors.AsType[*sse.SizeError](err); ok {
		return fmt.Errorf("%w (%s)", size, responseBound)
	}
	return err
}
