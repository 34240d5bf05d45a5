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

// Error codes of this provider, besides the bridge's own.
const (
	codeModelRefused     = "model_refused"     // 422
	codeContentFiltered  = "content_filtered"  // 422
	codeCyberPolicy      = "cyber_policy"      // 422
	codeOutputIncomplete = "output_incomplete" // 422
	codeEmptyAnswer      = "empty_answer"      // 502
)

// An apiError is the error object of the Responses API.
type apiError struct{ Code, Type, Param, Message string }

// UnmarshalJSON decodes an object or a plain text, since servers send both. Members may have any
// type: some servers send numbers as codes.
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
	for name, field := range map[string]*string{
		"code": &e.Code, "type": &e.Type, "param": &e.Param, "message": &e.Message,
	} {
		if value := members[name]; json.Unmarshal(value, field) != nil {
			*field = string(value)
		}
	}
	return nil
}

// An upstreamError is an error response of the model's server, for the log. Method toBridgeError
// returns the error for callers.
type upstreamError struct {
	apiError
	status     int // HTTP status, or 0 for an error object in a response with status 200
	requestID  string
	retryAfter time.Duration
	model      string
	hint       string // advice for the operator
}

func (e *upstreamError) Error() string {
	var b strings.Builder
	b.WriteString("the model's server responded with an error")
	if e.status != 0 {
		fmt.Fprintf(&b, " %d", e.status)
	}
	for _, part := range []struct{ format, value string }{
		{" %s", cmp.Or(e.Code, e.Type)},
		{" (param %s)", e.Param},
		{": %s", e.Message},
		{" (the server's request id %s)", e.requestID},
		{"; %s", e.hint},
	} {
		if part.value != "" {
			fmt.Fprintf(&b, part.format, clean(part.value))
		}
	}
	return b.String()
}

// redactEcho removes parts of the request from an [upstreamError]. Logs must not contain request
// bodies, and many servers quote the refused request.
func redactEcho(err error, request string) {
	if e, ok := errors.AsType[*upstreamError](err); ok {
		for _, text := range []*string{&e.Message, &e.Code, &e.Type, &e.Param} {
			*text = redactText((*text)[:min(len(*text), maxQuoted)], request)
		}
	}
}

// redactText replaces substrings of s that the request contains, too. It keeps substrings below 12
// bytes, because they may match by chance.
func redactText(s, request string) string {
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

// toBridgeError returns the error for callers, and sets the hint for the operator.
//
// A known error code takes precedence over the status, because status 429 stands for both rate
// limits and used-up quotas.
func (e *upstreamError) toBridgeError() *bridge.Error {
	if err := e.fromCode(); err != nil {
		return err
	}
	switch {
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		e.hint = "check the API key (OPENAI_API_KEY) and its permissions"
		return e.permanent("The model's server does not accept this bridge's credentials. " +
			"The bridge's operator must fix them.")
	case e.status == http.StatusNotFound:
		e.hint = "check the model (CODEX_MODEL) and the base URL (OPENAI_BASE_URL, usually ending in /v1)"
		return e.permanent(fmt.Sprintf(
			"The model's server has no model %q, or the bridge has the wrong base URL for it.", e.model))
	case e.status == http.StatusTooManyRequests:
		return e.rateLimited()
	case e.status >= 400 && e.status < 500 && e.status != http.StatusRequestTimeout && e.status != http.StatusConflict:
		return e.permanent("The model's server refused the request that this bridge sent for the call.")
	}
	return &bridge.Error{
		Code: bridge.CodeUpstreamFailed, RetryAfter: e.retryAfter, Cause: e,
		Detail: "The model's server failed. A retry may succeed.",
	}
}

// fromCode returns the error for a known error code, or nil.
func (e *upstreamError) fromCode() *bridge.Error {
	code := cmp.Or(e.Code, e.Type)
	if e.Type == "insufficient_quota" { // a type with a growing number of codes
		code = e.Type
	}
	switch code {
	case "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
		"project_spend_limit_exceeded", "organization_usage_limit_exceeded":
		e.hint = "raise the account's quota or spending limit"
		return &bridge.Error{
			Code: bridge.CodeRateLimited, Permanent: true, Cause: e,
			Detail: "The bridge's quota or spending limit at the model's server is used up. " +
				"Retries fail until the bridge's operator raises it.",
		}
	case "rate_limit_exceeded", "slow_down":
		return e.rateLimited()
	case "context_length_exceeded":
		return newError(bridge.CodeContextLength, 422,
			"The request is too long for the model: send fewer or shorter files.", e)
	case "cyber_policy":
		return &bridge.Error{
			Code: codeCyberPolicy, Status: 422, Permanent: true, Cause: e,
			Detail: "The model's server refused the request under its policy on cyber security. " +
				"It may block callers that repeat such requests.",
		}
	case "invalid_prompt", "content_filter", "content_policy_violation":
		return newError(codeContentFiltered, 422, "The model's server refused the request under its usage policy.", e)
	}
	return nil
}

// newError returns an error for callers. Status 0 stands for the code's default.
func newError(code string, status int, detail string, cause error) *bridge.Error {
	return &bridge.Error{Code: code, Status: status, Detail: detail, Cause: cause}
}

// permanent returns an error that only the bridge's operator can fix.
func (e *upstreamError) permanent(detail string) *bridge.Error {
	return &bridge.Error{Code: bridge.CodeUpstreamFailed, Permanent: true, Cause: e, Detail: detail}
}

func (e *upstreamError) rateLimited() *bridge.Error {
	return &bridge.Error{
		Code: bridge.CodeRateLimited, RetryAfter: e.retryAfter, Cause: e,
		Detail: "The model's server accepts no more calls from this bridge at the moment.",
	}
}

// retryAfter parses Retry-After-Ms and Retry-After (RFC 9110 section 10.2.3). It returns at most an
// hour, and 0 without a valid header.
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

// maxQuoted limits the length of quoted external texts, in bytes.
const maxQuoted = 300

// clean turns an external text into one line of at most maxQuoted bytes of valid UTF-8.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s[:min(len(s), maxQuoted)])
	return strings.ToValidUTF8(s, "")
}
