package bridge

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"iter"
	"mime"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const eventStreamType = "text/event-stream"

func hasBody(method string) bool {
	return !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions}, method)
}

// negotiate reports whether the caller wants events (RFC 9110 section 12.5.1). A route that does not stream answers
// callers of text/event-stream with JSON if they take that too.
func negotiate(r *http.Request, bound *binding) (stream bool, err error) {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return false, nil
	}
	var json, events float64
	for mediaType, q := range mediaRanges(accept) {
		switch mediaType {
		case eventStreamType, "text/*":
			events = max(events, q)
		case "application/json", "application/*", "*/*", "application/problem+json":
			json = max(json, q)
		}
	}
	switch {
	case bound.streams && events > 0 && events >= json:
		return true, nil
	case json > 0:
		return false, nil
	}
	detail := bound.pattern + " answers with application/json."
	if bound.streams {
		detail = bound.pattern + " answers with application/json or text/event-stream."
	}
	return false, &Error{Code: codeNotAcceptable, Detail: detail + " Say so in the Accept header."}
}

// mediaRanges goes through what an Accept header names, each with its weight. What is malformed is passed over.
func mediaRanges(accept string) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for item := range strings.SplitSeq(accept, ",") {
			mediaType, params, err := mime.ParseMediaType(item)
			q := 1.0
			if s, ok := params["q"]; ok && err == nil {
				q, err = strconv.ParseFloat(s, 64)
			}
			if err == nil && !yield(mediaType, q) {
				return
			}
		}
	}
}

// readRequest returns the request's JSON: its body, or for methods without one its path and query parameters.
func (b *Bridge) readRequest(x *exchange, bound *binding) ([]byte, error) {
	if !hasBody(x.r.Method) {
		return bound.parameters.read(x.r)
	}
	mediaType, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" && !strings.HasSuffix(mediaType, "+json") {
		return nil, &Error{Code: codeMediaType, Detail: "Send JSON, with Content-Type: application/json."}
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, &Error{Code: codeMediaType, Detail: "Send JSON in UTF-8 (RFC 8259 section 8.1)."}
	}
	compressed, err := contentCoding(x.r.Header)
	if err != nil {
		x.w.Header().Set("Accept-Encoding", "gzip") // RFC 9110 section 15.5.16, RFC 7694
		return nil, err
	}
	if x.r.ContentLength > bound.maxRequest {
		return nil, tooLarge(bound)
	}
	x.body = upload{budget: b.bodies, start: time.Now()}
	rc := http.NewResponseController(x.w)
	if rc.SetReadDeadline(time.Now().Add(b.opts.ReadTimeout)) == nil {
		x.body.control = rc
		defer rc.SetReadDeadline(time.Time{})
		defer x.whenStopping(func() { _ = rc.SetReadDeadline(time.Unix(1, 0)) })() // it does not wait for as long as that may take
	}
	body, err := x.body.receive(http.MaxBytesReader(x.w, x.r.Body, bound.maxRequest), x.r.ContentLength)
	x.unread = err != nil
	if err == nil && compressed {
		body, err = x.decompress(body, bound)
	}
	if err == nil {
		return body, nil
	}
	if refusal, ok := asError(err); ok {
		return nil, b.refuseBody(x, refusal)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(bound)
	}
	if x.isCutOff() {
		return nil, shuttingDown()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &Error{Code: CodeInvalidRequest, Status: http.StatusRequestTimeout, Detail: "The body did not arrive in " + b.opts.ReadTimeout.String() + ". Send it again, faster or in fewer bytes.", Cause: err}
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.ErrUnexpectedEOF) || x.r.Context().Err() != nil {
		return nil, &Error{Code: codeClientGone, Detail: "The body ended too early.", Cause: err}
	}
	return nil, &Error{Code: CodeInvalidRequest, Detail: "The body is not sent as HTTP has it.", Cause: err}
}

// refuseBody counts a body that the budget refuses. RFC 9110 section 15.5.9 wants the connection
// closed after 408.
func (b *Bridge) refuseBody(x *exchange, err *Error) error {
	switch err {
	case errSlowUpload:
		if x.r.ProtoMajor == 1 {
			x.w.Header().Set("Connection", "close")
		}
		b.telemetry.bodyRefused(x.r.Context(), x.route, "slowest")
	case errNoRoom:
		b.telemetry.bodyRefused(x.r.Context(), x.route, "no_room")
	}
	return err
}

// whenStopping calls f if the bridge stops and cuts off its calls, until forget is called, which waits for f to end: over HTTP/2
// nothing of a response may be touched after its handler has returned.
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

// contentCoding reports whether a body is compressed, with gzip.
func contentCoding(h http.Header) (compressed bool, err error) {
	switch strings.ToLower(strings.TrimSpace(strings.Join(h.Values("Content-Encoding"), ","))) {
	case "", "identity":
		return false, nil
	case "gzip", "x-gzip": // the same, by RFC 9110 section 8.4.1.3
		return true, nil
	}
	return false, &Error{Code: codeMediaType, Detail: "Send the body compressed with gzip once, or not at all."}
}

// decompress reads no more than one byte beyond the limit, however much the body would come to.
func (x *exchange) decompress(body []byte, bound *binding) ([]byte, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(body))
	if err == nil {
		body, err = x.body.decompress(io.LimitReader(zipped, bound.maxRequest+1), int64(len(body)))
	}
	if _, refused := asError(err); refused {
		return nil, err
	}
	if err != nil {
		return nil, &Error{Code: CodeInvalidRequest, Detail: "The body is not what Content-Encoding says: gzip, from its beginning to its end.", Cause: err}
	}
	if int64(len(body)) > bound.maxRequest {
		return nil, tooLarge(bound)
	}
	return body, nil
}

func tooLarge(bound *binding) error {
	return &Error{
		Code:   CodeTooLarge,
		Detail: "The body is larger than " + strconv.FormatInt(bound.maxRequest, 10) + " bytes, compressed or not. Send less in one call.",
		Clause: bound.requestClause,
	}
}
