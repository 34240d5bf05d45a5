package sse

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A Stream is a response of server-sent events. The response begins with the first event. One
// goroutine may call Send while another calls the other methods.
type Stream struct {
	w         http.ResponseWriter
	flush     func() error
	heartbeat time.Duration
	hooks     Hooks

	sending sync.Mutex // guards encoder; taken before mu, because encoding runs the caller's code
	encoder Encoder

	mu       sync.Mutex
	last     int         // id of the last event; 0 before the first
	timer    *time.Timer // of the next heartbeat; stopped before the response has begun
	closed   bool
	writeErr error // error of the first failed write
}

// Hooks are called by a Stream. None may be nil.
type Hooks struct {
	Begin       func()            // before the first event
	BeforeWrite func()            // before each write
	AfterWrite  func()            // after each write
	WriteError  func(error) error // returns the error of a failed write to the caller
}

// NewStream returns a Stream to w with a heartbeat at each idle interval.
func NewStream(w http.ResponseWriter, heartbeat time.Duration, hooks Hooks) *Stream {
	return &Stream{
		w: w, flush: http.NewResponseController(w).Flush, heartbeat: heartbeat, hooks: hooks,
		timer: time.NewTimer(math.MaxInt64),
	}
}

// Send encodes and writes the next event. Errors: [SizeError], an error of the JSON encoder, or of
// Hooks.WriteError.
func (s *Stream) Send(name string, event any, limit int64) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	defer s.encoder.Reset()
	text, err := s.encoder.Encode(s.nextID(), name, event, limit)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeEvent(text)
}

func (s *Stream) nextID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last + 1
}

// Last writes the next event and ends the stream. The error is that of Hooks.WriteError.
func (s *Stream) Last(name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.writeEvent(AppendEvent(nil, strconv.Itoa(s.last+1), name, data))
	s.closed = true
	return err
}

// Abort ends the stream. It writes a last event if the response has begun.
func (s *Stream) Abort(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last > 0 && s.writeErr == nil {
		_ = s.writeEvent(AppendEvent(nil, strconv.Itoa(s.last+1), name, data)) // the stream ends in any case
	}
	s.closed = true
}

// Heartbeats fires when Heartbeat is due.
func (s *Stream) Heartbeats() <-chan time.Time { return s.timer.C }

// Heartbeat sends a comment. The error is that of Hooks.WriteError.
func (s *Stream) Heartbeat() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Reset(s.heartbeat)
	return s.write([]byte(Comment))
}

// Close stops heartbeats and makes later events fail.
func (s *Stream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.timer.Stop()
}

// writeEvent writes the next event. The first one begins the response.
func (s *Stream) writeEvent(text []byte) error {
	if s.closed {
		return errors.New("the stream has ended")
	}
	if s.last == 0 {
		s.begin()
		s.hooks.Begin()
	}
	s.last++
	return s.write(text)
}

func (s *Stream) begin() {
	h := s.w.Header()
	h.Set("Content-Type", MediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would delay events
	s.w.WriteHeader(http.StatusOK)
	s.timer.Reset(s.heartbeat)
}

// BeginWith begins the response with text, before the first event. The error is that of
// Hooks.WriteError.
func (s *Stream) BeginWith(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	return s.write([]byte(text))
}

// WriteEvent writes an event with an id of the caller. The error is that of Hooks.WriteError.
func (s *Stream) WriteEvent(id, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(AppendEvent(nil, id, name, data))
}

func (s *Stream) write(p []byte) error {
	if s.writeErr != nil {
		return s.writeErr
	}
	s.hooks.BeforeWrite()
	_, err := s.w.Write(p)
	if err == nil {
		err = s.flush()
	}
	if err != nil {
		s.writeErr = s.hooks.WriteError(err)
		return s.writeErr
	}
	s.hooks.AfterWrite()
	return nil
}
