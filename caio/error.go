package caio

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

// The kinds of refusal that callers tell apart with [errors.Is].
var (
	ErrNotFound          = errors.New("not found")
	ErrAlreadyRegistered = errors.New("already registered")
	ErrNoMatch           = errors.New("no matching service")
	ErrInvalidContract   = errors.New("invalid contract")
	ErrUnauthorized      = errors.New("unauthorized") // the token is missing, unknown (401) or not enough (403)
)

// An Error is a refusal by CAIO. Whatever envelope it came in ({"error":{...}}, {"detail":...} or the problem details of
// RFC 9457), it reads the same here. Its kind is told by [errors.Is] with [ErrNotFound] and its siblings.
//
// No Error ever contains the client's token, even if the server echoed it.
type Error struct {
	Op         string        // the call that was refused: "register", "route" and so on
	Status     int           // of the HTTP answer
	Code       string        // CAIO's code, for example "INVALID_CONTRACT"; "" if CAIO gave none and none can be concluded
	Message    string        // for people: one line, at most 1,000 characters
	Details    any           // decoded JSON; nil if none
	RetryAfter time.Duration // how long CAIO asks to wait before another attempt; 0 if it does not
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

// Is tells the error's kind to [errors.Is].
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

// temporary reports whether the same request may succeed a little later.
func (e *Error) temporary() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// newError reads a refusal in any of the envelopes. body is decoded JSON, nil if the answer was none.
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
		e.Code = concludedCode(op, status, e.Message)
	}
	return e
}

// readDetail reads what FastAPI ({"detail":...}: text, an object or a list of validation errors) and RFC 9457 answer.
func (e *Error) readDetail(object map[string]any) {
	e.Code, _ = object["code"].(string)
	switch detail := object["detail"].(type) {
	case string:
		e.Message = detail
		if faults, ok := object["errors"]; ok {
			e.Details = map[string]any{"errors": faults}
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
			if fault, ok := item.(map[string]any); ok {
				lines = append(lines, strings.TrimSpace(fmt.Sprint(fault["loc"], " ", fault["msg"])))
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

// concludedCode gives an answer without a code the code that it means: the parts of CAIO that answer {"detail":...} tell
// these cases apart by their text only.
func concludedCode(op string, status int, message string) string {
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
