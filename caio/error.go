package caio

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

// Kinds of refusals, for [errors.Is].
var (
	ErrNotFound          = errors.New("not found")
	ErrAlreadyRegistered = errors.New("already registered")
	ErrNoMatch           = errors.New("no matching service")
	ErrInvalidContract   = errors.New("invalid contract")
	ErrUnauthorized      = errors.New("unauthorized") // token missing or unknown (401), or without the role (403)
)

// An Error is a refusal by CAIO or by a service. [errors.Is] tells its kind, for example
// [ErrNotFound]. It is the same for all envelopes: {"error":{...}}, {"detail":...} and the problem
// details of RFC 9457.
//
// An Error never contains the client's token, even if the server echoes it.
type Error struct {
	Op         string        // refused operation: "register", "route" and so on
	Status     int           // status of the HTTP answer
	Code       string        // CAIO's code, for example "INVALID_CONTRACT"; "" if unknown
	Message    string        // text for people: one line, at most 1,000 characters
	Details    any           // decoded JSON; nil for none
	RetryAfter time.Duration // pause that CAIO asks for before another attempt; 0 for none
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("caio: ")
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	if e.Code != "" {
		b.WriteString(e.Code + ": ")
	}
	fmt.Fprintf(&b, "%s (HTTP %d)", e.Message, e.Status)
	return b.String()
}

// Is compares the error's kind for [errors.Is].
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Code == wire.ServiceNotFound || e.Status == http.StatusNotFound && e.Code != wire.NoMatchingService
	case ErrAlreadyRegistered:
		return e.Code == wire.AlreadyRegistered || e.Status == http.StatusConflict
	case ErrNoMatch:
		return e.Code == wire.NoMatchingService
	case ErrInvalidContract:
		return e.Code == wire.InvalidContract
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	}
	return false
}

// temporary reports whether a retry of the same request may succeed.
func (e *Error) temporary() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// newError reads a refusal in any of the envelopes. body is decoded JSON, or nil.
func newError(op string, status int, body any) *Error {
	e := &Error{Op: op, Status: status}
	object, _ := body.(map[string]any)
	switch inner := object["error"].(type) {
	case map[string]any: // {"error":{"code","message","details"}}
		e.Code, _ = inner["code"].(string)
		e.Message, _ = inner["message"].(string)
		e.Details = inner["details"]
	case string: // {"error":"..."}
		e.Message = inner
	default:
		e.readDetail(object)
	}
	e.Code = wire.Clip(e.Code, 100)
	if e.Message = wire.Clip(e.Message, 1000); e.Message == "" {
		e.Message = strings.ToLower(http.StatusText(status))
	}
	if e.Code == "" {
		e.Code = inferCode(op, status, e.Message)
	}
	return e
}

// readDetail reads the envelopes of RFC 9457 and of FastAPI: {"detail":...} with a text, an object
// or a list of validation errors.
func (e *Error) readDetail(object map[string]any) {
	e.Code, _ = object["code"].(string)
	switch detail := object["detail"].(type) {
	case string:
		e.Message = detail
		if list, ok := object["errors"]; ok {
			e.Details = map[string]any{"errors": list}
		}
	case map[string]any:
		if code, ok := detail["code"].(string); ok {
			e.Code = code
		}
		e.Message, _ = detail["message"].(string)
		e.Details = detail
	case []any:
		var lines []string
		for _, item := range detail {
			if object, ok := item.(map[string]any); ok {
				lines = append(lines, strings.TrimSpace(fmt.Sprint(object["loc"], " ", object["msg"])))
			}
		}
		e.Message = strings.Join(lines, "; ")
		e.Details = map[string]any{"errors": detail}
	default:
		e.Message, _ = object["title"].(string)
		if message, ok := object["message"].(string); ok {
			e.Message = message
		}
	}
}

// inferCode returns the code of an answer without one, or "". CAIO's {"detail":...} answers differ
// in their text only.
func inferCode(op string, status int, message string) string {
	text := strings.ToLower(message)
	switch {
	case status == http.StatusConflict, status == http.StatusBadRequest && strings.Contains(text, "already registered"):
		return wire.AlreadyRegistered
	case op == opRoute && (status == http.StatusBadRequest || status == http.StatusNotFound) &&
		(strings.Contains(text, "no matching") || strings.Contains(text, "no service")):
		return wire.NoMatchingService
	case op == opRegister && (status == http.StatusBadRequest || status == http.StatusUnprocessableEntity):
		return wire.InvalidContract
	}
	return ""
}

// A permanentError is an error that a retry would repeat.
type permanentError string

func (e permanentError) Error() string { return string(e) }
