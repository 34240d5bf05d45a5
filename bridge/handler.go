package bridge

import "context"

// A Handler answers one operation. Handle may be called by many goroutines at once. It must return soon after ctx ends:
// that is how a caller that left, a deadline and a shutdown reach the wrapped service.
//
// An [*Error] says what the caller may know. Any other error is logged and answered as "internal", without its text.
type Handler[Req, Res any] interface {
	Handle(ctx context.Context, req Req) (Res, error)
}

// HandlerFunc adapts a function to a [Handler].
func HandlerFunc[Req, Res any](f func(ctx context.Context, req Req) (Res, error)) Handler[Req, Res] {
	return handlerFunc[Req, Res](f)
}

type handlerFunc[Req, Res any] func(context.Context, Req) (Res, error)

func (f handlerFunc[Req, Res]) Handle(ctx context.Context, req Req) (Res, error) { return f(ctx, req) }

// A StreamHandler answers one operation and reports events while it works. One implementation serves callers that asked
// for text/event-stream, who see the events and then the result, and callers that did not, who see the result alone. If
// it is a [Handler] too, the latter are answered by Handle, which is the place for what costs less without events.
//
// send may be called by one goroutine at a time, and not after HandleStream has returned. It fails when the caller is
// gone or too slow; HandleStream should then return that error. An event whose type has a method EventType() string is
// sent under that name, any other one without a name. The names "result", "error" and "gap" are the bridge's own.
//
// The rules of [Handler] for concurrency, cancellation and errors hold here too.
type StreamHandler[Req, Event, Res any] interface {
	HandleStream(ctx context.Context, req Req, send func(Event) error) (Res, error)
}

// StreamHandlerFunc adapts a function to a [StreamHandler].
func StreamHandlerFunc[Req, Event, Res any](f func(ctx context.Context, req Req, send func(Event) error) (Res, error)) StreamHandler[Req, Event, Res] {
	return streamHandlerFunc[Req, Event, Res](f)
}

type streamHandlerFunc[Req, Event, Res any] func(context.Context, Req, func(Event) error) (Res, error)

func (f streamHandlerFunc[Req, Event, Res]) HandleStream(ctx context.Context, req Req, send func(Event) error) (Res, error) {
	return f(ctx, req, send)
}
