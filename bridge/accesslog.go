package bridge

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// A Call describes one finished request or job to [Options.Audit].
type Call struct {
	Job       string // id of the job; "" for a request
	RequestID string // of a job: id of the request that began it
	Principal string // name of the caller; "" without authentication
	Method    string
	Route     string // path of the endpoint in the contract; "" if no route matched
	Status    int    // HTTP status, of a job the one of its outcome; 499 if the caller left before an answer
	Code      string // code of the [Error]; "" for a success
	Usage     Usage  // sum of the reports by [ReportUsage], with the names of the last one
	Start     time.Time
	Duration  time.Duration
}

func (x *exchange) call(status int) Call {
	call := Call{
		RequestID: x.id,
		Principal: x.principal,
		Method:    text.Clip(x.r.Method),
		Route:     x.route,
		Status:    status,
		Start:     x.start,
		Duration:  time.Since(x.start),
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

// report logs a finished request or job and calls the audit.
func (x *exchange) report(call *Call) {
	x.log(call)
	if x.bridge.opts.Audit != nil && !x.skipAccessLog {
		x.bridge.opts.Audit(context.WithoutCancel(x.r.Context()), *call)
	}
}

// log writes the one record of each request and each job.
func (x *exchange) log(call *Call) {
	level := x.level()
	if !x.bridge.log.Enabled(x.r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs, slog.String("request_id", call.RequestID),
		slog.String("method", call.Method), slog.String("route", call.Route))
	if call.Route == "" {
		attrs = append(attrs, slog.String("path", text.Clip(x.r.URL.Path)))
	}
	if call.Principal != "" {
		attrs = append(attrs, slog.String("principal", call.Principal))
	}
	if call.Usage.Model != "" {
		attrs = append(attrs, slog.String("model", call.Usage.Model),
			slog.Int64("input_tokens", call.Usage.InputTokens), slog.Int64("output_tokens", call.Usage.OutputTokens))
	}
	if x.failure != nil {
		attrs = append(attrs, x.failure.attrs()...)
	}
	if x.replayed {
		attrs = append(attrs, slog.Bool("replayed", true))
	}
	if id := x.telemetry.TraceID(); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	attrs = append(attrs, slog.Int("status", call.Status), slog.Duration("duration", call.Duration))
	message := "request"
	if call.Job != "" {
		message = "job"
		attrs = append(attrs, slog.String("job", call.Job))
	}
	record := slog.NewRecord(time.Now(), level, message, 0) // without the source line, which is costly and always this one
	record.AddAttrs(attrs...)
	_ = x.bridge.log.Handler().Handle(x.r.Context(), record) // slog.Logger ignores the error, too
}

func (x *exchange) level() slog.Level {
	switch {
	case x.failure == nil && x.skipAccessLog:
		return slog.LevelDebug
	case x.failure == nil, x.failure.status() < 500, x.failure.code() == codeClientGone:
		return slog.LevelInfo
	case x.failure.code() == CodeInternal:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// attrs returns all fields of an error for the log, the cause included.
func (e *Error) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("code", e.code())}
	if e.Clause != "" {
		attrs = append(attrs, slog.String("contract_clause", e.Clause))
	}
	if e.Cause == nil {
		return attrs
	}
	attrs = append(attrs, slog.String("cause", e.Cause.Error()))
	if p, ok := errors.AsType[*panics.Error](e.Cause); ok {
		attrs = append(attrs, slog.String("stack", p.Stack))
	}
	return attrs
}
