package bridge

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// Codes of [Error] that the bridge itself uses, each with its HTTP status. A provider may use them too, or codes of its
// own together with [Error.Status].
const (
	CodeInvalidRequest  = "invalid_request"         // 400: not well-formed, or not HTTP as the bridge speaks it
	CodeUnauthenticated = "unauthenticated"         // 401
	CodeForbidden       = "forbidden"               // 403
	CodeNotFound        = "not_found"               // 404
	CodeTooLarge        = "request_too_large"       // 413
	CodeSchemaViolation = "schema_violation"        // 422: the body is JSON, but not what input_schema allows
	CodeContextLength   = "context_length_exceeded" // 422: more tokens than the contract or the model takes
	CodeRateLimited     = "rate_limited"            // 429: a limit of the contract or of the wrapped service
	CodeInternal        = "internal"                // 500: nobody classified the error
	CodeInvalidResponse = "invalid_response"        // 502: the answer is not what output_schema promises
	CodeUpstreamFailed  = "upstream_failed"         // 502: the wrapped service failed
	CodeUnavailable     = "unavailable"             // 503: not ready, or shutting down
	CodeTimeout         = "timeout"                 // 504: no answer within the time allowed
	codeMethod          = "method_not_allowed"      // 405
	codeNotAcceptable   = "not_acceptable"          // 406
	codeMediaType       = "unsupported_media_type"
	codeKeyInUse        = "idempotency_key_in_use" // 409: the first call with the key has not ended
	codeKeyReused       = "idempotency_key_reused" // 422: the key came with another request before
	codeInterrupted     = "interrupted"            // 503, of a job: the bridge stopped before it had ended
	codeCancelled       = "cancelled"              // 409, of a job: its owner ended it
	codeClientGone      = "client_closed_request"  // 499: for the log
)

const statusClientGone = 499 // as nginx logs it

var statusOfCode = map[string]int{
	CodeInvalidRequest: http.StatusBadRequest, CodeUnauthenticated: http.StatusUnauthorized, CodeForbidden: http.StatusForbidden,
	CodeNotFound: http.StatusNotFound, codeMethod: http.StatusMethodNotAllowed, codeNotAcceptable: http.StatusNotAcceptable,
	CodeTooLarge: http.StatusRequestEntityTooLarge, codeMediaType: http.StatusUnsupportedMediaType,
	CodeSchemaViolation: http.StatusUnprocessableEntity, CodeContextLength: http.StatusUnprocessableEntity,
	codeKeyInUse: http.StatusConflict, codeKeyReused: http.StatusUnprocessableEntity, codeCancelled: http.StatusConflict, codeInterrupted: http.StatusServiceUnavailable,
	CodeRateLimited: http.StatusTooManyRequests, codeClientGone: statusClientGone, CodeInternal: http.StatusInternalServerError,
	CodeInvalidResponse: http.StatusBadGateway, CodeUpstreamFailed: http.StatusBadGateway,
	CodeUnavailable: http.StatusServiceUnavailable, CodeTimeout: http.StatusGatewayTimeout,
}

// An Error has two audiences. Every field but Cause goes to the caller, as problem details (RFC 9457); Cause goes to the
// log with the request's id and nowhere else.
type Error struct {
	Code       string               // stable, in snake case; one of the Code constants or the provider's own; "" means CodeInternal
	Status     int                  // HTTP status; 0 means the status of Code, and 500 for a code of the provider's own
	Detail     string               // a sentence for the caller: what happened and what to do; "" says no more than Code
	Fields     []contract.Violation // which parts of the request are at fault
	Clause     string               // the clause of the contract that refused, such as "constraints.rate_limit.per_minute"
	RetryAfter time.Duration        // when to try again, sent in seconds, rounded up; 0 means not said
	Permanent  bool                 // that trying the same again cannot help although the status (429, 502, 503, 504) suggests it
	Cause      error                // for the log
}

// Error returns all there is to know, the cause included: it is for the log.
func (e *Error) Error() string {
	if e == nil { // somebody returned a nil *Error as an error
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

// asError finds the [Error] in err, if there is one.
func asError(err error) (*Error, bool) {
	e, ok := errors.AsType[*Error](err)
	return e, ok && e != nil
}

// codeOf returns the code of an error, "" for nil.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return classify(err).code()
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

// classify finds the public face of err. An error nobody classified keeps its text to itself.
func classify(err error) *Error {
	if e, ok := asError(err); ok {
		return e
	}
	if errors.Is(err, errClientGone) {
		return &Error{Code: codeClientGone, Cause: err}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: CodeTimeout, Detail: "The wrapped service did not answer in the time allowed.", Cause: err}
	}
	return &Error{Code: CodeInternal, Detail: "The bridge failed. Its operator finds the cause in the log, by request_id.", Cause: err}
}
