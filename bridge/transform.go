package bridge

import "context"

// A RequestTransformer maps a caller's request to the request of the wrapped service. It is pure:
// no I/O, no clock, safe for concurrent use.
type RequestTransformer[Req, SReq any] interface {
	TransformRequest(req Req) (SReq, error)
}

// A ResponseTransformer maps the wrapped service's response to the caller's. Like a
// [RequestTransformer] it is pure.
type ResponseTransformer[Req, SRes, Res any] interface {
	TransformResponse(req Req, res SRes) (Res, error)
}

// Transform composes a request transformer, a call and a response transformer into a [Handler]. It
// returns the first error.
func Transform[Req, SReq, SRes, Res any](
	in RequestTransformer[Req, SReq], call Handler[SReq, SRes], out ResponseTransformer[Req, SRes, Res],
) Handler[Req, Res] {
	return HandlerFunc(func(ctx context.Context, req Req) (Res, error) {
		var none Res
		sreq, err := in.TransformRequest(req)
		if err != nil {
			return none, err
		}
		sres, err := call.Handle(ctx, sreq)
		if err != nil {
			return none, err
		}
		return out.TransformResponse(req, sres)
	})
}

// TransformStream is [Transform] for a call that sends events, which it passes on unchanged. If
// call also implements [Handler], so does the result.
func TransformStream[Req, SReq, Event, SRes, Res any](
	in RequestTransformer[Req, SReq], call StreamHandler[SReq, Event, SRes], out ResponseTransformer[Req, SRes, Res],
) StreamHandler[Req, Event, Res] {
	stream := transformedStream[Req, SReq, Event, SRes, Res]{in, call, out}
	if once, ok := call.(Handler[SReq, SRes]); ok {
		return struct {
			StreamHandler[Req, Event, Res]
			Handler[Req, Res]
		}{&stream, Transform(in, once, out)}
	}
	return &stream
}

type transformedStream[Req, SReq, Event, SRes, Res any] struct {
	in   RequestTransformer[Req, SReq]
	call StreamHandler[SReq, Event, SRes]
	out  ResponseTransformer[Req, SRes, Res]
}

// HandleStream implements [StreamHandler].
func (t *transformedStream[Req, SReq, Event, SRes, Res]) HandleStream(
	ctx context.Context, req Req, send func(Event) error,
) (Res, error) {
	var none Res
	sreq, err := t.in.TransformRequest(req)
	if err != nil {
		return none, err
	}
	sres, err := t.call.HandleStream(ctx, sreq, send)
	if err != nil {
		return none, err
	}
	return t.out.TransformResponse(req, sres)
}
