package bridge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/bodies"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/header"
)

func hasBody(method string) bool {
	return !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions}, method)
}

// negotiate reports if the caller wants events (RFC 9110 section 12.5.1). A route that does not
// stream answers callers of text/event-stream with JSON if they also accept that.
func negotiate(r *http.Request, op *operation) (stream bool, err error) {
	stream, ok := header.WantsEvents(r.Header, op.streams)
	if ok {
		return stream, nil
	}
	detail := op.pattern + " answers with application/json."
	if op.streams {
		detail = op.pattern + " answers with application/json or text/event-stream."
	}
	return false, &Error{Code: codeNotAcceptable, Detail: detail + " Say so in the Accept header."}
}

// A recording says why a call is recorded.
type recording struct {
	key   string // Idempotency-Key (draft-ietf-httpapi-idempotency-key-header); "" for none
	async bool   // true for a job
}

func (r recording) wanted() bool { return r.key != "" || r.async }

// recordingOf reads the headers that ask for a recording. Methods without a body need no key: they
// are idempotent.
func (b *Bridge) recordingOf(x *exchange) (r recording, err error) {
	key, ok := header.IdempotencyKey(x.r.Header)
	switch {
	case !hasBody(x.r.Method):
		key = ""
	case !ok:
		return r, &Error{
			Code: CodeInvalidRequest,
			Detail: "The Idempotency-Key is malformed. Send one, of at most 255 characters: a quoted string " +
				`such as "8e03978e-40d5-43dd-bc93-6894a57f9324", or the same without quotes.`,
		}
	case key != "" && b.jobs == nil:
		const detail = "This bridge records no calls, so it cannot repeat an answer. Send no Idempotency-Key."
		return r, &Error{Code: CodeInvalidRequest, Detail: detail}
	}
	_, async := header.Preference(x.r.Header, "respond-async")
	return recording{key: key, async: async && b.jobs != nil}, nil
}

// withCallerWait shortens the operation's timeout to the caller's "Prefer: wait" in seconds (RFC
// 7240).
func withCallerWait(r *http.Request, op *operation) *operation {
	value, stated := header.Preference(r.Header, "wait")
	if !stated {
		return op
	}
	seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
	wait := time.Duration(seconds) * time.Second
	if err != nil || seconds == 0 || wait >= op.Total {
		return op
	}
	short := *op
	short.Bounds = op.WithTotal(wait)
	return &short
}

// readRequest returns the request's JSON: its body, or its path and query parameters for methods
// without a body.
func (b *Bridge) readRequest(x *exchange, op *operation) ([]byte, error) {
	if !hasBody(x.r.Method) {
		body, err := op.parameters.Read(x.r)
		if err != nil {
			return nil, &Error{Code: CodeInvalidRequest, Detail: err.Error()}
		}
		return body, nil
	}
	if detail, ok := header.IsJSON(x.r.Header); !ok {
		return nil, &Error{Code: codeMediaType, Detail: detail}
	}
	compressed, ok := header.IsGzip(x.r.Header)
	if !ok {
		x.w.Header().Set("Accept-Encoding", "gzip") // RFC 9110 section 15.5.16, RFC 7694
		return nil, &Error{Code: codeMediaType, Detail: "Send the body compressed with gzip once, or not at all."}
	}
	if x.r.ContentLength > op.MaxRequest {
		x.discarded = true
		x.bodyPending = !bodies.Discard(x.w, x.r, 2*op.MaxRequest)
		return nil, tooLarge(op)
	}
	rc := http.NewResponseController(x.w)
	var interrupt func()
	if rc.SetReadDeadline(time.Now().Add(b.opts.Timeouts.Read)) == nil {
		interrupt = func() { _ = rc.SetReadDeadline(time.Unix(1, 0)) }
		defer rc.SetReadDeadline(time.Time{})
		defer x.whenStopping(interrupt)() // a stop does not wait for the rest of the body
	}
	x.body = b.bodies.NewUpload(interrupt)
	body, err := x.body.Receive(http.MaxBytesReader(x.w, x.r.Body, op.MaxRequest), x.r.ContentLength)
	x.bodyPending = err != nil
	if err == nil && compressed {
		body, err = x.body.Gunzip(body, op.MaxRequest)
	}
	if err != nil {
		return nil, b.bodyError(x, op, err)
	}
	return body, nil
}

// bodyError returns the public error of a body that was not read.
func (b *Bridge) bodyError(x *exchange, op *operation, err error) error {
	switch {
	case errors.Is(err, bodies.ErrTooLarge):
		return tooLarge(op)
	case errors.Is(err, bodies.ErrGzip):
		const detail = "The body is not what Content-Encoding says: gzip, from its beginning to its end."
		return &Error{Code: CodeInvalidRequest, Detail: detail, Cause: err}
	case errors.Is(err, bodies.ErrSlowest):
		if x.r.ProtoMajor == 1 {
			x.w.Header().Set("Connection", "close") // RFC 9110 section 15.5.9
		}
		b.telemetry.BodyRefused(x.r.Context(), x.route, "slowest")
		return &Error{
			Code:   CodeInvalidRequest,
			Status: http.StatusRequestTimeout,
			Detail: "Many large bodies arrive at the same time, and this one was the slowest. " +
				"Send it again, faster or in fewer bytes.",
		}
	case errors.Is(err, bodies.ErrNoRoom):
		b.telemetry.BodyRefused(x.r.Context(), x.route, "no_room")
		const detail = "Too many large bodies arrive at the same time. Try again, or send at most 64 KiB."
		return &Error{Code: CodeUnavailable, Detail: detail, RetryAfter: time.Second}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(op)
	}
	if x.isCutOff() {
		return shuttingDown()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{
			Code:   CodeInvalidRequest,
			Status: http.StatusRequestTimeout,
			Detail: "The body did not arrive in " + b.opts.Timeouts.Read.String() + ". Send it again, faster or in fewer bytes.",
			Cause:  err,
		}
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.ErrUnexpectedEOF) || x.r.Context().Err() != nil {
		return &Error{Code: codeClientGone, Detail: "The body ended too early.", Cause: err}
	}
	return &Error{Code: CodeInvalidRequest, Detail: "The body is not sent as HTTP has it.", Cause: err}
}

// whenStopping calls f if the bridge cuts off its calls before forget is called. forget waits for
// the end of f: over HTTP/2 no code may touch a response after its handler has returned.
func (x *exchange) whenStopping(f func()) (forget func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(x.r.Context(), func() {
		defer close(done)
		if x.isCutOff() {
			f()
		}
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

func (x *exchange) isCutOff() bool { return errors.Is(context.Cause(x.r.Context()), errStopping) }

func tooLarge(op *operation) error {
	return &Error{
		Code: CodeTooLarge,
		Detail: "The body is larger than " + strconv.FormatInt(op.MaxRequest, 10) +
			" bytes, compressed or not. Send less in one call.",
		Clause: op.RequestClause,
	}
}
