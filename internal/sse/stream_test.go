package sse_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/internal/sse"
)

func newStream(w http.ResponseWriter, wrap func(error) error) *sse.Stream {
	none := func() {}
	hooks := sse.Hooks{Begin: none, BeforeWrite: none, AfterWrite: none, WriteError: wrap}
	return sse.NewStream(w, time.Hour, hooks)
}

func same(err error) error { return err }

func TestStreamEndsOnce(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	s := newStream(w, same)
	for _, err := range []error{s.Send("", 1, 10), s.Send("word", "<a>", 10), s.Heartbeat(), s.Last("result", []byte("{}"))} {
		if err != nil {
			t.Error(err)
		}
	}
	s.Abort("error", []byte("{}"))
	if err := s.Send("word", 1, 10); err == nil {
		t.Error("Send works after the end of the stream")
	}
	s.Close()
	want := "id: 1\ndata: 1\n\nid: 2\nevent: word\ndata: \"<a>\"\n\n: heartbeat\n\nid: 3\nevent: result\ndata: {}\n\n"
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
}

func TestAbortBeforeTheFirstEventWritesNothing(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	s := newStream(w, same)
	s.Abort("error", []byte("{}"))
	if err := s.Send("word", 1, 10); err == nil || w.Body.Len() > 0 || w.Flushed {
		t.Errorf("Send = %v, and the body is %q, want an error and an untouched response", err, w.Body)
	}
}

func TestLargeEventIsRefused(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	s := newStream(w, same)
	err := s.Send("", "12345", 6)
	if size, ok := errors.AsType[*sse.SizeError](err); !ok || size.Size != 7 || size.Limit != 6 {
		t.Errorf("Send = %v, want a SizeError of 7 bytes", err)
	}
	if err := s.Send("", "1234", 6); err != nil || w.Body.String() != "id: 1\ndata: \"1234\"\n\n" {
		t.Errorf("the next event: %v, %q", err, w.Body)
	}
}

// A failed write ends the stream: later writes return its error.
func TestFailedWriteIsKept(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	s := newStream(&failingWriter{httptest.NewRecorder()}, func(error) error { return gone })
	for range 2 {
		if err := s.Send("", 1, 10); err != gone {
			t.Errorf("Send = %v, want the error of the hook", err)
		}
	}
}

type failingWriter struct{ *httptest.ResponseRecorder }

func (*failingWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }
