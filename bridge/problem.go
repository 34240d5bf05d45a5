package bridge

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/header"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A problem is an error on the wire: problem details (RFC 9457) with extension members. One of them
// is CAIO's own error envelope, for CAIO's clients.
type problem struct {
	Type      string               `json:"type"`
	Title     string               `json:"title"`
	Status    int                  `json:"status"`
	Detail    string               `json:"detail,omitempty"`
	Instance  string               `json:"instance"`
	Code      string               `json:"code"`
	RequestID string               `json:"request_id"`
	Retryable bool                 `json:"retryable"`
	RetryIn   int                  `json:"retry_after,omitempty"` // seconds; streams and jobs have no header Retry-After
	Errors    []contract.Violation `json:"errors,omitempty"`
	Clause    string               `json:"contract_clause,omitempty"`
	CAIO      caioError            `json:"error"`
}

type caioError struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Details map[string]any `json:"details"`
}

func newProblem(e *Error, instance, requestID string) problem {
	title := http.StatusText(e.status())
	message := e.Detail
	if message == "" {
		message = title
	}
	details := map[string]any{"request_id": requestID}
	if len(e.Fields) > 0 {
		details["errors"] = e.Fields
	}
	return problem{
		Type:      "about:blank", // RFC 9457: the title is that of the status
		Title:     title,
		Status:    e.status(),
		Detail:    e.Detail,
		Instance:  instance,
		Code:      e.code(),
		RequestID: requestID,
		Retryable: e.retryable(),
		RetryIn:   header.Seconds(e.RetryAfter),
		Errors:    e.Fields,
		Clause:    e.Clause,
		CAIO:      caioError{Code: strings.ToUpper(e.code()), Message: message, Details: details},
	}
}

// instanceOf returns the path of a request as a URI reference (RFC 9457 section 3.1.5).
func instanceOf(r *http.Request) string {
	path := r.URL.EscapedPath()
	if strings.HasPrefix(path, "//") { // it would name a host
		return "/." + path
	}
	return path
}

// writeProblem answers with e.
func writeProblem(w http.ResponseWriter, e *Error, instance, requestID string) error {
	body, err := codec.Encode(newProblem(e, instance, requestID))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/problem+json")
	setProblemHeaders(w.Header(), e.status(), e.RetryAfter)
	w.WriteHeader(e.status())
	_, err = w.Write(body)
	return err
}

// setProblemHeaders sets the headers of a problem. Each needs a member of [problem] too, because
// streams and jobs have no headers for it.
func setProblemHeaders(h http.Header, status int, retryAfter time.Duration) {
	h.Set("Cache-Control", "no-store")
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(header.Seconds(retryAfter)))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer") // RFC 9110 section 11.6.1
	}
}
