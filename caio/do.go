package caio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/propagation"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

const (
	userAgent     = "caio-bridge-go"
	maxAnswer     = 8 << 20
	maxRetryAfter = 30 * time.Second
)

// The operations, as messages name them.
const (
	opPaths      = "find out the paths"
	opRegister   = "register"
	opUnregister = "unregister"
	opServices   = "list services"
	opService    = "read service"
	opValidate   = "validate"
	opRoute      = "route"
	opTrace      = "read trace"
	opHealth     = "health"
	opMetrics    = "metrics"
)

// A call is one question to CAIO, which may have to be sent several times.
type call struct {
	op     string // for messages
	method string
	path   string // already escaped
	query  url.Values
	body   any // sent as JSON; nil for none
}

// A permanentFault is an answer that another attempt would not improve.
type permanentFault string

func (f permanentFault) Error() string { return string(f) }

// do sends the call until it is answered for good, and decodes the answer into answer: JSON, or text as it is if that is a
// *string. Nil drops it.
func (c *Client) do(ctx context.Context, r call, answer any) error {
	if c.attempts == 1 {
		return c.attempt(ctx, r, answer)
	}
	var last error
	pace := &pacing{ExponentialBackOff: backoff.NewExponentialBackOff()}
	pace.InitialInterval, pace.MaxInterval = 200*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = c.attempt(ctx, r, answer)
		wait, again := retryable(last)
		if !again || wait > maxRetryAfter {
			return struct{}{}, backoff.Permanent(last)
		}
		pace.atLeast = wait
		return struct{}{}, last
	}, backoff.WithBackOff(pace), backoff.WithMaxTries(uint(c.attempts)), backoff.WithMaxElapsedTime(0))
	if err != nil && !errors.Is(err, last) { // the context ended between two attempts
		return fmt.Errorf("%w (gave up: %w)", last, err)
	}
	return err
}

// pacing is exponential backoff that waits at least as long as the server asked.
type pacing struct {
	*backoff.ExponentialBackOff
	atLeast time.Duration
}

func (p *pacing) NextBackOff() time.Duration {
	return max(p.ExponentialBackOff.NextBackOff(), p.atLeast)
}

// retryable reports whether the failed call may be sent again, and how long CAIO asks to wait before.
func retryable(err error) (wait time.Duration, again bool) {
	var refusal *Error
	var fault permanentFault
	switch {
	case errors.As(err, &refusal):
		return refusal.RetryAfter, refusal.temporary()
	case errors.As(err, &fault), errors.Is(err, context.Canceled):
		return 0, false
	}
	return 0, err != nil
}

// attempt sends the call once.
func (c *Client) attempt(ctx context.Context, r call, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, token, err := c.newRequest(ctx, r)
	if err != nil {
		return fmt.Errorf("caio: %s: %w", r.op, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("caio: %s at %s: %w", r.op, c.base.Host, transportFault(err))
	}
	defer response.Body.Close()
	body, err := readAnswer(response)
	if response.StatusCode >= 400 { // whatever was readable of the body, the status stands
		return refusal(r.op, response, body, token)
	}
	if err != nil {
		return fmt.Errorf("caio: %s at %s: %w", r.op, c.base.Host, err)
	}
	switch answer := answer.(type) {
	case nil:
		return nil
	case *string:
		*answer = string(body)
		return nil
	}
	if err := decodeAnswer(response, body, answer, token); err != nil {
		return fmt.Errorf("caio: %s at %s: %w", r.op, c.base.Host, err)
	}
	return nil
}

func (c *Client) newRequest(ctx context.Context, r call) (request *http.Request, token string, err error) {
	var body bytes.Buffer
	if r.body != nil {
		encoder := json.NewEncoder(&body)
		encoder.SetEscapeHTML(false) // a contract must not grow beyond what CAIO reads
		if err := encoder.Encode(r.body); err != nil {
			return nil, "", permanentFault("the request is not JSON: " + err.Error())
		}
	}
	request, err = http.NewRequestWithContext(ctx, r.method, c.base.String()+r.path, bytes.NewReader(bytes.TrimSpace(body.Bytes())))
	if err != nil {
		return nil, "", permanentFault("the request cannot be made: check the base URL and the id")
	}
	request.URL.RawQuery = r.query.Encode()
	request.Header.Set("Accept", "application/json, */*;q=0.1")
	request.Header.Set("User-Agent", userAgent)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	if r.method == http.MethodGet {
		request.Header.Set("Cache-Control", "no-cache") // what a cache remembers of CAIO may be long past
	}
	if r.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token == nil {
		return request, "", nil
	}
	token, err = c.token(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errNoToken, err)
	}
	token = strings.TrimSpace(token)
	return request, token, setBearer(request, token)
}

// transportFault strips method and URL, which say nothing new, from an error of net/http, and names a timeout.
func transportFault(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}

// readAnswer returns as much of the body as came, even with an error.
func readAnswer(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case len(body) > maxAnswer:
		return nil, permanentFault("the answer is larger than 8 MiB")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return body, fmt.Errorf("the answer was cut off after %d bytes: %w", len(body), err)
	case err != nil:
		return body, fmt.Errorf("reading the answer: %w", transportFault(err))
	}
	return body, nil
}

// decodeAnswer decodes a successful answer. Its errors do not show the token, should the answer echo it.
func decodeAnswer(response *http.Response, body []byte, answer any, token string) error {
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	start := bytes.TrimSpace(body)
	switch {
	case len(start) == 0:
		return permanentFault(fmt.Sprintf("the answer (HTTP %d) is empty", response.StatusCode))
	case mediaType == "text/html", start[0] == '<':
		return permanentFault("the answer is a web page, not JSON: is the base URL that of the API?")
	}
	if err := json.Unmarshal(body, answer); err != nil {
		what := fmt.Sprintf("the answer (%s) is not what is documented: %v", wire.Clip(mediaType, 60), err)
		return permanentFault(redact(what, token))
	}
	return nil
}

// unexpected is the error for JSON that is not the answer to the question. what must not repeat the answer, which may
// echo the token.
func (c *Client) unexpected(op, what string) error {
	return fmt.Errorf("caio: %s at %s: %w: is the base URL that of CAIO's API?", op, c.base.Host, permanentFault(what))
}

// refusal turns an answer of status 400 or more into an [Error].
func refusal(op string, response *http.Response, body []byte, token string) *Error {
	var decoded any
	if json.Unmarshal(body, &decoded) != nil {
		decoded = nil
	}
	e := newError(op, response.StatusCode, redactAll(decoded, token))
	e.RetryAfter = parseRetryAfter(response.Header.Get("Retry-After"))
	return e
}

// parseRetryAfter reads both forms of RFC 9110, section 10.2.3, and returns 0 for anything else.
func parseRetryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}

func redact(text, token string) string {
	if token == "" {
		return text
	}
	return strings.ReplaceAll(text, token, "[token]")
}

// redactAll removes the token from every text in decoded JSON: some servers echo what they refuse.
func redactAll(value any, token string) any {
	switch v := value.(type) {
	case string:
		return redact(v, token)
	case []any:
		clean := make([]any, len(v))
		for i, member := range v {
			clean[i] = redactAll(member, token)
		}
		return clean
	case map[string]any:
		clean := make(map[string]any, len(v))
		for key, member := range v {
			clean[redact(key, token)] = redactAll(member, token)
		}
		return clean
	}
	return value
}
