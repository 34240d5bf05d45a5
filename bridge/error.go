package bridge

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobs"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// Codes of [Error] that the bridge uses, each with its HTTP status. A provider may use them, or
// codes of its own together with [Error.Status].
const (
	CodeInvalidRequest  = "invalid_request"         // 400: not well-formed, or not HTTP as the bridge speaks it
	CodeUnauthenticated = "unauthenticated"         // 401
	CodeForbidden       = "forbidden"               // 403
	CodeNotFound        = "not_found"               // 404
	CodeTooLarge        = "request_too_large"       // 413
	CodeSchemaViolation = "schema_violation"        // 422: the body is JSON, but does not fit input_schema
	CodeContextLength   = "context_length_exceeded" // 422: more tokens than the contract or the model takes
	CodeRateLimited     = "rate_limited"            // 429: a limit of the contract or of the wrapped service
	CodeInternal        = "internal"                // 500: the handler's error is no [Error]
	CodeInvalidResponse = "invalid_response"        // 502: the answer does not fit output_schema
	CodeUpstreamFailed  = "upstream_failed"         // 502: the wrapped service failed
	CodeUnavailable     = "unavailable"             // 503: not ready, or shutting down
	CodeTimeout         = "timeout"                 // 504: no answer within the time allowed
	codeMethod          = "method_not_allowed"      // 405
	codeNotAcceptable   = "not_acceptable"          // 406
	codeMediaType       = "unsupported_media_type"
	codeKeyInUse        = "idempotency_key_in_use" // 409: the first call with the key has not ended
	codeKeyReused       = "idempotency_key_reused" // 422: the key came with another request before
	codeInterrupted     = "interrupted"            // 503 in the report of a job, which is answered with 200
	codeCancelled       = jobs.CodeCancelled       // 409 in the report of a job: its owner ended it
	codeClientGone      = "client_closed_request"  // 499: for the log
)

const statusClientGone = 499 // of nginx

var statusOfCode = map[string]int{
	CodeInvalidRequest:  http.StatusBadRequest,
	CodeUnauthenticated: http.StatusUnauthorized,
	CodeForbidden:       http.StatusForbidden,
	CodeNotFound:        http.StatusNotFound,
	codeMethod:          http.StatusMethodNotAllowed,
	codeNotAcceptable:   http.StatusNotAcceptable,
	codeKeyInUse:        http.StatusConflict,
	codeCancelled:       http.StatusConflict,
	CodeTooLarge:        http.StatusRequestEntityTooLarge,
	codeMediaType:       http.StatusUnsupportedMediaType,
	CodeSchemaViolation: http.StatusUnprocessableEntity,
	CodeContextLength:   http.StatusUnprocessableEntity,
	codeKeyReused:       http.StatusUnprocessableEntity,
	CodeRateLimited:     http.StatusTooManyRequests,
	codeClientGone:      statusClientGone,
	CodeInternal:        http.StatusInternalServerError,
	CodeInvalidResponse: http.StatusBadGateway,
	CodeUpstreamFailed:  http.StatusBadGateway,
	CodeUnavailable:     http.StatusServiceUnavailable,
	codeInterrupted:     http.StatusServiceUnavailable,
	CodeTimeout:         http.StatusGatewayTimeout,
}

// An Error has two audiences. The caller gets every field but Cause, as problem details (RFC 9457).
// The log gets Cause with the request's id.
type Error struct {
	Code       string               // a Code constant or the provider's own, in snake case; "" means CodeInternal
	Status     int                  // HTTP status; 0 means that of Code, or 500 for the provider's own code
	Detail     string               // a sentence for the caller: the problem and its remedy; may be ""
	Fields     []contract.Violation // parts of the request that are wrong
	Clause     string               // clause of the contract, such as "constraints.rate_limit.per_minute"
	RetryAfter time.Duration        // time until a retry makes sense, sent in seconds, rounded up; 0 if unknown
	Permanent  bool                 // true if a retry cannot help although the status (429, 502, 503, 504) suggests it
	Cause      error                // for the log only
}

// Error returns code, detail and cause, for the log.
func (e *Error) Error() string {
	if e == nil { // a handler returned a nil *Error as an error
		return "a nil *bridge.Error"
	}
	parts := []string{e.code()}
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	if e.Cause != nil {
		parts = append(parts, e.Cause.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Cause
}

// asError finds an [Error] in err.
func asError(err error) (*Error, bool) {
	e, ok := errors.AsType[*Error](err)
	return e, ok && e != nil
}

// codeOf returns the code of an error, "" for nil.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return publicError(err).code()
}

func (e *Error) code() string {
	if e.Code == "" {
		return CodeInternal
	}
	return e.Code
}

func (e *Error) status() int {
	if e.Status >= 400 && e.Status <= 599 {
		return e.Status
	}
	if status, ok := statusOfCode[e.code()]; ok {
		return status
	}
	return http.StatusInternalServerError
}

func (e *Error) retryable() bool {
	switch e.status() {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return !e.Permanent
	case http.StatusConflict:
		return e.RetryAfter > 0
	}
	return false
}

// publicError returns the [Error] in err. The text of another error stays in Cause.
func publicError(err error) *Error {
	if e, ok := asError(err); ok {
		return e
	}
	if errors.Is(err, errClientGone) {
		return &Error{Code: codeClientGone, Cause: err}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: CodeTimeout, Detail: "The wrapped service did not answer in the time allowed.", Cause: err}
	}
	const detail = "The bridge failed. Its operator finds the cause in the log, by request_id."
	return &Error{Code: CodeInternal, Detail: detail, Cause: err}
}
