package bridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/internal/sse"
)

// An sseResponder answers with server-sent events: the handler's events, and then exactly one
// "result" or "error". The response begins with the first event, so that a call that fails earlier
// has its own status.
type sseResponder struct {
	*sse.Stream
	x        *exchange
	maxEvent int64 // bytes
}

// newSSEResponder returns a responder that writes within Timeouts.Write. A slower caller counts as
// gone.
func newSSEResponder(x *exchange, maxEvent int64) *sseResponder {
	stream := sse.NewStream(x.w, x.bridge.opts.Timeouts.Heartbeat, sse.Hooks{
		Begin:       func() { x.bridge.telemetry.FirstEvent(x.r.Context(), &x.telemetry, x.route) },
		BeforeWrite: x.armWriteDeadline,
		AfterWrite:  x.clearWriteDeadline,
		WriteError:  func(err error) error { return fmt.Errorf("%w: %w", errClientGone, err) },
	})
	return &sseResponder{stream, x, maxEvent}
}

func (s *sseResponder) wantsEvents() bool               { return true }
func (s *sseResponder) writeResult(result []byte) error { return s.Last("result", result) }

func (s *sseResponder) send(_ context.Context, event any) error {
	name, err := eventName(event)
	if err != nil {
		return err
	}
	return eventError(s.Send(name, event, s.maxEvent))
}

func (s *sseResponder) fail(err error) {
	if body, err := codec.Encode(newProblem(publicError(err), instanceOf(s.x.r), s.x.id)); err == nil {
		s.Abort("error", body)
	}
}

// eventName returns the name of an event, "" for none.
func eventName(event any) (name string, err error) {
	if typed, ok := event.(EventTyper); ok {
		name = typed.EventType()
	}
	if name == "result" || name == "error" || name == "gap" || !sse.IsName(name) {
		return "", fmt.Errorf("event type %q: it must be one line, and not result, error or gap, "+
			"which are the bridge's own", name)
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
