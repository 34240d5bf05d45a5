package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// An exchange is one request and its response: what the log says of it, and what handlers may ask of it.
type exchange struct {
	bridge  *Bridge
	service *service // that the bridge served when the request came
	w       *responseWriter
	r       *http.Request
	start   time.Time

	id        string
	principal string
	route     string // the contract's path, "" if the request matched none
	replayed  bool   // answered with what a call with the same Idempotency-Key came to
	quiet     bool   // a health check: they come every few seconds
	failure   *Error // why the call failed, whether or not the caller could be told
	span      trace.Span
	traced    bool // that the span is recorded, also when it has ended and a job goes on
	bounded   bool // that there is a deadline for writes
	unread    bool // that some of the body may still come
	ended     bool
	body      upload

	mu    sync.Mutex
	usage Usage // the sum of what the handler reported
}

type exchangeKey struct{}

func newExchange(b *Bridge, w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{bridge: b, service: b.acquire(), w: &responseWriter{ResponseWriter: w}, start: time.Now(), id: requestID(r), unread: r.ContentLength != 0}
	begun := false
	defer func() {
		if !begun { // telemetry, which is the operator's, panics
			b.release(x.service)
		}
	}()
	ctx, span := b.telemetry.begin(r, x.id, x.service.contract.ID)
	begun = true
	x.span, x.traced = span, span.IsRecording()
	x.r = r.WithContext(context.WithValue(ctx, exchangeKey{}, x))
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

// fail answers with err, unless a response has already begun, and notes it for the log. A caller who is gone is answered,
// too: one that has closed its half of the connection only would else read an empty 200.
func (x *exchange) fail(err error) {
	e := classify(err)
	x.failure = e
	if x.w.status != 0 {
		return
	}
	x.extendWrite()
	if err := writeProblem(x.w, e, instanceOf(x.r), x.id); err != nil && x.failure.Cause == nil {
		x.failure = &Error{Code: codeClientGone, Cause: err}
	}
}

// lingerTimeout is how long the rest of a refused body may take.
const lingerTimeout = time.Second

// extendWrite gives the next write its time. The server has no timeout for whole responses, which would cut streams. Nor has
// it one for bodies, of which net/http reads what is left before it answers.
func (x *exchange) extendWrite() {
	x.setWriteDeadline(time.Now().Add(x.bridge.opts.WriteTimeout))
	if x.unread {
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(lingerTimeout))
	}
}

// restWrite lets a stream be idle: HTTP/2 ends streams whose deadline passes, though there be nothing to write. HTTP/1.1
// does not, and is spared the call.
func (x *exchange) restWrite() {
	if x.r.ProtoMajor > 1 {
		x.setWriteDeadline(time.Time{})
	}
}

func (x *exchange) setWriteDeadline(t time.Time) {
	x.bounded = !t.IsZero()
	_ = http.NewResponseController(x.w).SetWriteDeadline(t) // not supported outside of a server: nothing to bound
}

// addUsage may be called by a handler whose caller has been answered.
func (x *exchange) addUsage(u Usage) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if u.Model == "" && x.usage.Model != "" {
		return // the names of a call that failed do not take the place of those of one that did not
	}
	u.InputTokens += x.usage.InputTokens
	u.OutputTokens += x.usage.OutputTokens
	x.usage = u
}

// end tells traces, metrics, the log and the audit what became of the request, once. None of them sees bodies or headers.
func (x *exchange) end() {
	if x.ended {
		return
	}
	x.ended = true
	defer x.bridge.release(x.service)
	if !x.bounded {
		x.extendWrite() // for what net/http has yet to flush
	}
	call := x.call(x.w.status)
	x.bridge.telemetry.end(x.r.Context(), x.span, x, call.Status)
	x.tell(&call)
}

func (x *exchange) call(status int) Call {
	call := Call{
		RequestID: x.id, Principal: x.principal, Method: shorten(x.r.Method), Route: x.route,
		Status: status, Start: x.start, Duration: time.Since(x.start),
	}
	x.mu.Lock()
	call.Usage = x.usage
	x.mu.Unlock()
	if x.failure != nil {
		call.Code = x.failure.code()
		if call.Code == codeClientGone && call.Status == 0 {
			call.Status = statusClientGone
		}
	}
	return call
}

func (x *exchange) tell(call *Call) {
	x.log(call)
	if x.bridge.opts.Audit == nil || x.quiet {
		return
	}
	_, err := guarded(func() (any, error) {
		x.bridge.opts.Audit(context.WithoutCancel(x.r.Context()), *call)
		return nil, nil
	})
	if err != nil {
		x.bridge.log.LogAttrs(x.r.Context(), slog.LevelError, "Options.Audit failed", append(classify(err).attrs(), slog.String("request_id", call.RequestID))...)
	}
}

// log writes the one record that each request, and each job, has.
func (x *exchange) log(call *Call) {
	level := x.level()
	if !x.bridge.log.Enabled(x.r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs, slog.String("request_id", call.RequestID), slog.String("method", call.Method), slog.String("route", call.Route))
	if call.Route == "" {
		attrs = append(attrs, slog.String("path", shorten(x.r.URL.Path)))
	}
	if call.Principal != "" {
		attrs = append(attrs, slog.String("principal", call.Principal))
	}
	if call.Usage.Model != "" {
		attrs = append(attrs, slog.String("model", call.Usage.Model), slog.Int64("input_tokens", call.Usage.InputTokens), slog.Int64("output_tokens", call.Usage.OutputTokens))
	}
	if x.failure != nil {
		attrs = append(attrs, x.failure.attrs()...)
	}
	if x.replayed {
		attrs = append(attrs, slog.Bool("replayed", true))
	}
	if span := x.span.SpanContext(); span.IsValid() {
		attrs = append(attrs, slog.String("trace_id", span.TraceID().String()))
	}
	attrs = append(attrs, slog.Int("status", call.Status), slog.Duration("duration", call.Duration))
	message := "request"
	if call.Job != "" {
		message = "job"
		attrs = append(attrs, slog.String("job", call.Job))
	}
	record := slog.NewRecord(time.Now(), level, message, 0) // without its place in the source, which is always this one and is costly to find
	record.AddAttrs(attrs...)
	_ = x.bridge.log.Handler().Handle(x.r.Context(), record) // as Logger does with it
}

func (x *exchange) level() slog.Level {
	switch {
	case x.failure == nil && x.quiet:
		return slog.LevelDebug
	case x.failure == nil, x.failure.status() < 500, x.failure.code() == codeClientGone:
		return slog.LevelInfo
	case x.failure.code() == CodeInternal:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// attrs returns what the log says of an error: all of it.
func (e *Error) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("code", e.code())}
	if e.Clause != "" {
		attrs = append(attrs, slog.String("contract_clause", e.Clause))
	}
	if e.Cause == nil {
		return attrs
	}
	attrs = append(attrs, slog.String("cause", e.Cause.Error()))
	if p, ok := errors.AsType[*panicError](e.Cause); ok {
		attrs = append(attrs, slog.String("stack", p.stack))
	}
	return attrs
}

// A Call is what [Options.Audit] is told of one request when it has ended, and of one job (see [Options.JobTimeout]).
type Call struct {
	Job       string // id of the job that has ended; "" if this tells of a request
	RequestID string // of a job: that of the request which began it
	Principal string // "" if nobody authenticates
	Method    string
	Route     string // the endpoint's path in the contract; "" if the request matched none
	Status    int    // HTTP, of a job what a caller who waited would have got; 499 if the caller left before an answer
	Code      string // of the [Error] that ended it; "" if it succeeded
	Usage     Usage  // the sum of what the handler reported with [ReportUsage]; the names are those of its last report
	Start     time.Time
	Duration  time.Duration
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
