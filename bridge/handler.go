package bridge

import "context"

// A Handler answers one operation. Handle is called concurrently. It must return soon after ctx
// ends: a caller that left, a deadline and a shutdown end ctx.
//
// An [*Error] is sent to the caller without its Cause. Any other error is logged and becomes
// [CodeInternal] without its text.
type Handler[Req, Res any] interface {
	Handle(ctx context.Context, req Req) (Res, error)
}

// HandlerFunc adapts a function to a [Handler].
func HandlerFunc[Req, Res any](f func(ctx context.Context, req Req) (Res, error)) Handler[Req, Res] {
	return handlerFunc[Req, Res](f)
}

type handlerFunc[Req, Res any] func(context.Context, Req) (Res, error)

func (f handlerFunc[Req, Res]) Handle(ctx context.Context, req Req) (Res, error) { return f(ctx, req) }

// A StreamHandler answers one operation and sends events while it works.
//
// Callers of text/event-stream get the events and then the result, other callers the result alone.
// If the handler also implements [Handler], the bridge calls Handle for callers without events.
//
// One goroutine at a time may call send, and not after HandleStream has returned. send fails when
// the caller is gone or too slow. HandleStream should then return that error. An event that
// implements [EventTyper] has a name.
//
// The rules of [Handler] for concurrency, cancellation and errors apply.
type StreamHandler[Req, Event, Res any] interface {
	HandleStream(ctx context.Context, req Req, send func(Event) error) (Res, error)
}

// An EventTyper is an event with a name, the "event" field of server-sent events.
//
// A name is one line. "result", "error" and "gap" belong to the bridge: send refuses them. An empty
// name is left out.
type EventTyper interface{ EventType() string }

// StreamHandlerFunc adapts a function to a [StreamHandler].
func StreamHandlerFunc[Req, Event, Res any](
	f func(ctx context.Context, req Req, send func(Event) error) (Res, error),
) StreamHandler[Req, Event, Res] {
	return streamHandlerFunc[Req, Event, Res](f)
}

type streamHandlerFunc[Req, Event, Res any] func(context.Context, Req, func(Event) error) (Res, error)

func (f streamHandlerFunc[Req, Event, Res]) HandleStream(
	ctx context.Context, req Req, send func(Event) error,
) (Res, error) {
	return f(ctx, req, send)
}
