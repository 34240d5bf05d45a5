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
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/propagation"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/internal/retryafter"
)

const (
	userAgent     = "caio-bridge-go"
	maxAnswer     = 8 << 20 // bytes
	maxRetryAfter = 30 * time.Second
)

// Operations, for [Error].Op and error texts.
const (
	opPaths      = "probe for paths"
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

// A call is one request to CAIO. The client may send it several times.
type call struct {
	op     string // operation, for errors
	method string
	path   string // escaped path
	query  url.Values
	body   any // value to send as JSON; nil for no body
}

// do sends the call, retries it, and decodes the answer into answer. A *string receives the text
// undecoded. With a nil answer, do ignores the body.
func (c *Client) do(ctx context.Context, r call, answer any) error {
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval = 200*time.Millisecond, 5*time.Second
	for n := 1; ; n++ {
		err := c.attempt(ctx, r, answer)
		wait, again := retryable(err)
		if !again || wait > maxRetryAfter || n == c.maxAttempts {
			return err
		}
		select {
		case <-time.After(max(pace.NextBackOff(), wait)):
		case <-ctx.Done():
			return fmt.Errorf("%w (gave up: %w)", err, ctx.Err())
		}
	}
}

// retryable reports whether the client may send the call again, and after how long a pause.
func retryable(err error) (wait time.Duration, again bool) {
	var refusal *Error
	var permanent permanentError
	switch {
	case errors.As(err, &refusal):
		return refusal.RetryAfter, refusal.temporary()
	case errors.As(err, &permanent), errors.Is(err, context.Canceled):
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
		return fmt.Errorf("caio: %s at %s: %w", r.op, c.base.Host, transportError(err))
	}
	defer response.Body.Close()
	body, err := readAnswer(response)
	if response.StatusCode >= 400 { // the status counts even if the body is incomplete
		return newRefusal(r.op, response, body, token)
	}
	if text, ok := answer.(*string); ok && err == nil {
		*text = string(body)
	} else if err == nil && answer != nil {
		err = decodeAnswer(response, body, answer, token)
	}
	if err != nil {
		return fmt.Errorf("caio: %s at %s: %w", r.op, c.base.Host, err)
	}
	return nil
}

// newRequest returns the call as an HTTP request, and the token in it.
func (c *Client) newRequest(ctx context.Context, r call) (request *http.Request, token string, err error) {
	var body bytes.Buffer
	if r.body != nil {
		encoder := json.NewEncoder(&body)
		encoder.SetEscapeHTML(false) // escapes could enlarge a contract beyond CAIO's limit
		if err := encoder.Encode(r.body); err != nil {
			return nil, "", permanentError("the request is not JSON: " + err.Error())
		}
	}
	reader := bytes.NewReader(bytes.TrimSpace(body.Bytes()))
	request, err = http.NewRequestWithContext(ctx, r.method, c.base.String()+r.path, reader)
	if err != nil {
		return nil, "", permanentError("the URL of the request is invalid: check the base URL and the id")
	}
	request.URL.RawQuery = r.query.Encode()
	request.Header.Set("Accept", "application/json, */*;q=0.1")
	request.Header.Set("User-Agent", userAgent)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	if r.method == http.MethodGet {
		request.Header.Set("Cache-Control", "no-cache") // a cached answer may predate CAIO's last restart
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

// transportError removes method and URL from an error of net/http, and names a timeout.
func transportError(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}

// readAnswer reads the body. With an error it returns the part before the error.
func readAnswer(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case len(body) > maxAnswer:
		return nil, permanentError("the answer is larger than 8 MiB")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return body, fmt.Errorf("the answer was cut off after %d bytes: %w", len(body), err)
	case err != nil:
		return body, fmt.Errorf("reading the answer: %w", transportError(err))
	}
	return body, nil
}

// decodeAnswer decodes a successful answer. Its errors never contain the token.
func decodeAnswer(response *http.Response, body []byte, answer any, token string) error {
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	start := bytes.TrimSpace(body)
	switch {
	case len(start) == 0:
		return permanentError(fmt.Sprintf("the answer (HTTP %d) is empty", response.StatusCode))
	case mediaType == "text/html", start[0] == '<':
		return permanentError("the answer is a web page, not JSON: is the base URL that of the API?")
	}
	if err := json.Unmarshal(body, answer); err != nil {
		text := fmt.Sprintf("the answer (%s) does not have the documented form: %v", wire.Clip(mediaType, 60), err)
		return permanentError(redact(text, token))
	}
	return nil
}

// unexpected returns the error for JSON without the expected members. problem must not quote the
// answer: that may echo the token.
func (c *Client) unexpected(op, problem string) error {
	return fmt.Errorf("caio: %s at %s: %w: is the base URL that of CAIO's API?", op, c.base.Host, permanentError(problem))
}

// newRefusal returns the [Error] for an answer of status 400 or more.
func newRefusal(op string, response *http.Response, body []byte, token string) *Error {
	var decoded any
	if json.Unmarshal(body, &decoded) != nil {
		decoded = nil
	}
	e := newError(op, response.StatusCode, redactAll(decoded, token))
	e.RetryAfter = retryafter.Parse(response.Header)
	return e
}

// redact replaces the token in text.
func redact(text, token string) string {
	if token == "" {
		return text
	}
	return strings.ReplaceAll(text, token, "[token]")
}

// redactAll replaces the token in every text of decoded JSON: some servers echo the request.
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
