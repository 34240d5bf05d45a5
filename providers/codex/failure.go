package codex

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// Codes of errors beside the bridge's own.
const (
	codeModelRefused     = "model_refused"     // 422
	codeContentFiltered  = "content_filtered"  // 422
	codeCyberPolicy      = "cyber_policy"      // 422
	codeOutputIncomplete = "output_incomplete" // 422
	codeEmptyAnswer      = "empty_answer"      // 502
)

// An apiError is the error object of the Responses API, in any of the forms that servers give it: an object, whose code may
// be a number, or a mere text.
type apiError struct{ Code, Type, Param, Message string }

// UnmarshalJSON implements [json.Unmarshaler].
func (e *apiError) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		e.Message = text
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	for name, field := range map[string]*string{"code": &e.Code, "type": &e.Type, "param": &e.Param, "message": &e.Message} {
		if value := members[name]; json.Unmarshal(value, field) != nil {
			*field = string(value)
		}
	}
	return nil
}

// An upstreamError is what the model's server said when it failed. It is for the log; public words it for callers.
type upstreamError struct {
	apiError
	status     int // of HTTP; 0 if the error came inside an answer
	requestID  string
	retryAfter time.Duration
	model      string
	hint       string // for the operator
}

func (e *upstreamError) Error() string {
	var b strings.Builder
	b.WriteString("the model's server answered")
	if e.status != 0 {
		fmt.Fprintf(&b, " %d", e.status)
	}
	if code := cmp.Or(e.Code, e.Type); code != "" {
		fmt.Fprintf(&b, " %s", clean(code))
	}
	if e.Param != "" {
		fmt.Fprintf(&b, " (param %s)", clean(e.Param))
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", clean(e.Message))
	}
	if e.requestID != "" {
		fmt.Fprintf(&b, " (its request %s)", clean(e.requestID))
	}
	if e.hint != "" {
		fmt.Fprintf(&b, "; %s", e.hint)
	}
	return b.String()
}

// conceal takes out of an [upstreamError] what it repeats of the request, for logs hold no bodies. Many servers repeat what
// they refuse.
func conceal(err error, request string) {
	if e, ok := errors.AsType[*upstreamError](err); ok {
		for _, said := range []*string{&e.Message, &e.Code, &e.Type, &e.Param} {
			*said = withoutEcho((*said)[:min(len(*said), maxSaid)], request)
		}
	}
}

// withoutEcho replaces what s has in common with the request, in pieces of 12 bytes and more: less may be coincidence.
func withoutEcho(s, request string) string {
	const least = 12
	var rest strings.Builder
	for len(s) >= least {
		n := 0
		for length := least; length <= len(s) && strings.Contains(request, s[:length]); length++ {
			n = length
		}
		if n > 0 {
			rest.WriteString("[request]")
		} else {
			n = 1
			rest.WriteString(s[:n])
		}
		s = s[n:]
	}
	return rest.String() + s
}

// public says what a caller may know and do. The code decides where there is one, for the status is too coarse: 429 is
// both "slow down" and "the money is used up".
func (e *upstreamError) public() *bridge.Error {
	if err := e.byCode(); err != nil {
		return err
	}
	switch {
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		e.hint = "check the API key (OPENAI_API_KEY) and what it may use"
		return &bridge.Error{Code: bridge.CodeUpstreamFailed, Permanent: true, Cause: e, Detail: "The model's server does not accept this bridge's credentials. Its operator has to correct them."}
	case e.status == http.StatusNotFound:
		e.hint = "check the model (CODEX_MODEL) and the base URL (OPENAI_BASE_URL, which mostly ends in /v1)"
		return &bridge.Error{Code: bridge.CodeUpstreamFailed, Permanent: true, Cause: e, Detail: fmt.Sprintf("The model's server has no model %q, or is not where this bridge looks for it.", e.model)}
	case e.status == http.StatusTooManyRequests:
		return e.slowDown()
	case e.status >= 400 && e.status < 500 && e.status != http.StatusRequestTimeout && e.status != http.StatusConflict:
		return &bridge.Error{Code: bridge.CodeUpstreamFailed, Permanent: true, Cause: e, Detail: "The model's server refused the request that this bridge made for the call."}
	}
	return &bridge.Error{Code: bridge.CodeUpstreamFailed, RetryAfter: e.retryAfter, Cause: e, Detail: "The model's server failed. Trying again may help."}
}

// byCode returns nil for codes that say no more than the status.
func (e *upstreamError) byCode() *bridge.Error {
	code := cmp.Or(e.Code, e.Type)
	if e.Type == "insufficient_quota" { // its codes have grown in number
		code = e.Type
	}
	switch code {
	case "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded", "project_spend_limit_exceeded", "organization_usage_limit_exceeded":
		e.hint = "raise the account's quota or spending limit"
		return &bridge.Error{
			Code: bridge.CodeRateLimited, Permanent: true, Cause: e,
			Detail: "The bridge's quota or spending limit at the model's server is used up. Trying again does not help until its operator raises it.",
		}
	case "rate_limit_exceeded", "slow_down":
		return e.slowDown()
	case "context_length_exceeded":
		return &bridge.Error{Code: bridge.CodeContextLength, Status: 422, Cause: e, Detail: "The request is too long for the model: send fewer or shorter files."}
	case "cyber_policy":
		return &bridge.Error{Code: codeCyberPolicy, Status: 422, Permanent: true, Cause: e, Detail: "The model's server refuses the request under its policy on cyber security. Repeated, such requests can cost the caller access."}
	case "invalid_prompt", "content_filter", "content_policy_violation":
		return &bridge.Error{Code: codeContentFiltered, Status: 422, Cause: e, Detail: "The model's server refuses the request under its usage policy."}
	}
	return nil
}

func (e *upstreamError) slowDown() *bridge.Error {
	return &bridge.Error{Code: bridge.CodeRateLimited, RetryAfter: e.retryAfter, Cause: e, Detail: "The model's server takes no more calls from this bridge at the moment."}
}

// retryAfter reads Retry-After-Ms and Retry-After (RFC 9110 section 10.2.3), at most an hour; 0 if neither says anything.
func retryAfter(h http.Header, now time.Time) time.Duration {
	wait := time.Duration(0)
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		wait = time.Duration(min(ms, 3.6e6) * float64(time.Millisecond))
	} else if seconds, err := strconv.ParseFloat(h.Get("Retry-After"), 64); err == nil {
		wait = time.Duration(min(seconds, 3600) * float64(time.Second))
	} else if date, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), time.Hour)
}

// maxSaid is how much of a text from outside is repeated, in bytes.
const maxSaid = 300

// clean makes a text from outside fit for a log line or a sentence: one line of at most maxSaid bytes.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s[:min(len(s), maxSaid)])
	return strings.ToValidUTF8(s, "")
}
