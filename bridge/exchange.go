package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// An exchange is one request and its response: what the log says of it, and what handlers may ask of it.
type exchange struct {
	bridge *Bridge
	w      *responseWriter
	r      *http.Request
	start  time.Time

	id        string
	principal string
	route     string // the contract's path, "" if the request matched none
	quiet     bool   // a health check: they come every few seconds
	failure   *Error // why the call failed, whether or not the caller could be told
}

type exchangeKey struct{}

func newExchange(b *Bridge, w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{bridge: b, w: &responseWriter{ResponseWriter: w}, start: time.Now(), id: requestID(r)}
	x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	return x
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// RequestID returns the id of the request being handled, which callers see as X-Request-Id, or "" outside of one.
func RequestID(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.id
	}
	return ""
}

// Principal returns the caller's name as [Options.Authenticate] gave it, or "".
func Principal(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.principal
	}
	return ""
}

// requestID takes the caller's id if it is harmless in logs and headers, and makes one otherwise.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 128 {
		return rand.Text()
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == ':':
		default:
			return rand.Text()
		}
	}
	return id
}

// fail answers with err, unless a response has already begun, and notes it for the log.
func (x *exchange) fail(err error) {
	e := classify(err)
	x.failure = e
	if x.w.status != 0 || e.code() == codeClientGone {
		return
	}
	x.extendWrite()
	if err := writeProblem(x.w, e, x.r.URL.Path, x.id); err != nil && x.failure.Cause == nil {
		x.failure = &Error{Code: codeClientGone, Cause: err}
	}
}

// extendWrite gives the next write its time. The server has no timeout for whole responses, which would cut streams.
func (x *exchange) extendWrite() {
	rc := http.NewResponseController(x.w)
	_ = rc.SetWriteDeadline(time.Now().Add(x.bridge.opts.WriteTimeout)) // not supported outside of a server: nothing to bound
}

// end logs the request. Bodies and headers are never logged.
func (x *exchange) end() {
	status := x.w.status
	level := slog.LevelInfo
	if x.quiet && x.failure == nil {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.id),
		slog.String("method", x.r.Method),
		slog.String("route", x.route),
	}
	if x.route == "" {
		attrs = append(attrs, slog.String("path", shorten(x.r.URL.Path)))
	}
	if x.principal != "" {
		attrs = append(attrs, slog.String("principal", x.principal))
	}
	if x.failure != nil {
		if x.failure.code() == codeClientGone && status == 0 {
			status = statusClientGone
		}
		if x.failure.status() >= 500 && x.failure.code() != codeClientGone {
			level = slog.LevelWarn
		}
		if x.failure.code() == CodeInternal {
			level = slog.LevelError
		}
		attrs = append(attrs, slog.String("code", x.failure.code()))
		if x.failure.Clause != "" {
			attrs = append(attrs, slog.String("contract_clause", x.failure.Clause))
		}
		if cause := x.failure.Cause; cause != nil {
			attrs = append(attrs, slog.String("cause", cause.Error()))
			if p, ok := errors.AsType[*panicError](cause); ok {
				attrs = append(attrs, slog.String("stack", p.stack))
			}
		}
	}
	attrs = append(attrs, slog.Int("status", status), slog.Duration("duration", time.Since(x.start)))
	x.bridge.log.LogAttrs(x.r.Context(), level, "request", attrs...)
}

// responseWriter remembers the status. Unwrap lets http.ResponseController reach the connection.
type responseWriter struct {
	http.ResponseWriter
	status int // 0 until the header is written
}

func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
