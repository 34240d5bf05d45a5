package codex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"

	"github.com/smarthaus/caio-bridge-go/bridge"
	transport "github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

const (
	maxResponseBytes = 16 << 20              // limit of a response, all its events included
	maxErrorBytes    = 64 << 10              // limit of an error response, truncated beyond
	maxPooledBuffer  = 128 << 10             // capacity limit of reused buffers
	maxRedirects     = 10                    // limit of net/http
	drainTimeout     = 50 * time.Millisecond // limit for reading a finished stream to its end
)

// An upstream is a client of a server with the Responses API.
//
// Only this file uses the SDK. The SDK creates and authenticates one request, copied by all calls,
// and parses event streams. Method encode writes request bodies, type response decodes responses.
type upstream struct {
	client  *http.Client
	request *http.Request // without a body
	model   string
	effort  string
	redact  func(string) string // replaces the API key in a text
	buffers sync.Pool           // reused *bytes.Buffer for response bodies
}

func newUpstream(o *Options) (*upstream, error) {
	request, err := newRequest(o)
	if err != nil {
		return nil, err
	}
	client := *o.HTTPClient
	client.CheckRedirect = sameOrigin(client.CheckRedirect)
	redact := func(s string) string { return s }
	if key := o.APIKey; key != "" {
		redact = func(s string) string { return strings.ReplaceAll(s, key, "[key]") }
	}
	return &upstream{
		client: &client, request: request, model: o.Model, effort: o.ReasoningEffort, redact: redact,
	}, nil
}

// newRequest returns a request created by the SDK, without a body. A middleware catches it unsent.
//
// Creating one with the SDK for each call would take a tenth of the call's CPU time and more than a
// third of its allocations.
func newRequest(o *Options) (request *http.Request, err error) {
	caught := errors.New("the request is not sent")
	opts := []option.RequestOption{
		option.WithBaseURL(o.BaseURL),
		option.WithMaxRetries(0), // requests are billed and not idempotent: see Provider
		option.WithUnsafeAllowHTTP(),
		option.WithMiddleware(func(req *http.Request, _ option.MiddlewareNext) (*http.Response, error) {
			request = req.Clone(context.Background())
			request.Body, request.GetBody = nil, nil
			return nil, caught
		}),
	}
	if o.APIKey != "" {
		opts = append(opts, option.WithAPIKey(o.APIKey))
	}
	service := responses.NewResponseService(opts...)
	_, err = service.New(context.Background(), param.NullStruct[responses.ResponseNewParams]())
	if !errors.Is(err, caught) {
		return nil, fmt.Errorf("the SDK created no request: %w", err)
	}
	return request, nil
}

// sameOrigin limits redirects to the same scheme, host and port, in addition to check. Other
// servers must receive neither the key nor the prompt. A nil check stands for net/http's limit.
func sameOrigin(check func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if check != nil {
			if err := check(req, via); err != nil {
				return err
			}
		} else if len(via) >= maxRedirects {
			return fmt.Errorf("stopped after %d redirects", maxRedirects)
		}
		if origin(req.URL) != origin(via[0].URL) {
			return errors.New("the server redirected to another origin, which the bridge does not follow")
		}
		return nil
	}
}

func origin(u *url.URL) string {
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), defaultPort)
}

// Handle sends p and returns the response, without streaming.
func (u *upstream) Handle(ctx context.Context, p prompt) (*response, error) {
	return u.HandleStream(ctx, p, nil)
}

// HandleStream sends p and passes the response's texts to emit as they arrive.
//
// It requests a stream unless emit is nil. Servers may ignore that: it reads plain and streamed
// responses in both cases.
func (u *upstream) HandleStream(ctx context.Context, p prompt, emit func(delta) error) (_ *response, err error) {
	defer func() {
		if err != nil {
			bridge.ReportUsage(ctx, bridge.Usage{Provider: "openai", Operation: "chat", RequestModel: u.model})
			redactEcho(err, string(p.render()))
		}
	}()
	res, err := u.send(ctx, p, emit != nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media != "text/event-stream" {
		return u.read(ctx, res)
	}
	r, err := u.readStream(ctx, res, emit)
	if err != nil {
		return nil, err
	}
	// The client reuses a connection only after reading the response to its end.
	defer time.AfterFunc(drainTimeout, func() { res.Body.Close() }).Stop()
	_, _ = io.Copy(io.Discard, res.Body)
	return r, nil
}

// send sends the request, and returns the response if its status is 200.
func (u *upstream) send(ctx context.Context, p prompt, stream bool) (*http.Response, error) {
	req := u.request.Clone(ctx)
	if stream {
		req.Header.Set("Accept", "text/event-stream")
	}
	body := u.encode(ctx, p, stream)
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body, _ = req.GetBody()
	res, err := u.client.Do(req)
	switch {
	case ctx.Err() != nil:
		if err == nil {
			res.Body.Close()
		}
		return nil, ctx.Err()
	case err != nil:
		return nil, u.transportError(err)
	case res.StatusCode >= 400:
		return nil, u.statusError(res)
	case res.StatusCode != http.StatusOK:
		res.Body.Close()
		return nil, invalidResponse(fmt.Errorf("the status is %d", res.StatusCode))
	}
	res.Body = http.MaxBytesReader(nil, res.Body, maxResponseBytes)
	return res, nil
}

// read reads a response without streaming.
func (u *upstream) read(ctx context.Context, res *http.Response) (*response, error) {
	body, _ := u.buffers.Get().(*bytes.Buffer)
	if body == nil {
		body = new(bytes.Buffer)
	}
	defer func() {
		if body.Cap() <= maxPooledBuffer {
			body.Reset()
			u.buffers.Put(body)
		}
	}()
	body.Grow(int(min(max(res.ContentLength, 0), maxPooledBuffer/2)) + bytes.MinRead)
	if _, err := body.ReadFrom(res.Body); err != nil {
		return nil, u.readError(ctx, err)
	}
	return u.decode(ctx, body.Bytes())
}

// decode decodes a response object and reports its usage to the bridge.
func (u *upstream) decode(ctx context.Context, body []byte) (*response, error) {
	var r *response
	if err := json.Unmarshal(body, &r, lenient); err != nil {
		return nil, invalidResponse(err)
	}
	switch {
	case r == nil || r.Status == "" && r.Error == nil:
		return nil, invalidResponse(errors.New("it is not a response object"))
	case r.Error != nil:
		return nil, u.responseError(*r.Error)
	case r.Status == "failed":
		return nil, u.responseError(apiError{})
	}
	if r.Model == "" {
		r.Model = u.model
	}
	r.requestID = bridge.RequestID(ctx)
	if used := r.Usage.usage; used != nil {
		bridge.ReportUsage(ctx, bridge.Usage{
			Provider: "openai", Operation: "chat", Model: r.Model, RequestModel: u.model,
			InputTokens: used.InputTokens, OutputTokens: used.OutputTokens,
		})
	}
	return r, nil
}

// readStream reads a stream up to its terminal event. A stream that ends without one is an error.
func (u *upstream) readStream(ctx context.Context, res *http.Response, emit func(delta) error) (*response, error) {
	texts := streamingMembers{emit: func(name, text string) error {
		if emit != nil && (name == "code" || name == "explanation" || name == "language") {
			return emit(delta{name, text})
		}
		return nil
	}}
	commentary := map[int]bool{} // by output index
	events := ssestream.NewDecoder(res)
	for events.Next() {
		event, err := decodeEvent(events.Event().Type, events.Event().Data)
		if err != nil {
			return nil, invalidResponse(err)
		}
		switch event.Type {
		case "response.output_item.added":
			commentary[event.OutputIndex] = event.Item.Phase == phaseCommentary
		case "response.output_text.delta":
			if commentary[event.OutputIndex] {
				continue
			}
			if err := texts.write(event.Delta); err != nil {
				return nil, err
			}
		case "response.completed", "response.incomplete", "response.failed":
			return u.decode(ctx, event.Response)
		case "error":
			return nil, u.responseError(event.apiErr)
		}
	}
	if err := events.Err(); err != nil {
		return nil, u.readError(ctx, err)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, brokenOff(errors.New("the stream ended without a terminal event"))
}

// responseError returns the error for an error object in a response with status 200.
func (u *upstream) responseError(e apiError) error {
	e.Message = u.redact(e.Message)
	return (&upstreamError{apiError: e, model: u.model}).toBridgeError()
}

// statusError returns the error for a response with a status of 400 or above.
func (u *upstream) statusError(res *http.Response) error {
	defer res.Body.Close()
	var body struct {
		Error  *apiError `json:"error"`
		Detail string    `json:"detail"` // FastAPI's error format
	}
	var e apiError
	data, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes))
	if err == nil && json.Unmarshal(data, &body, lenient) == nil {
		e.Message = body.Detail
		if body.Error != nil {
			e = *body.Error
		}
	}
	e.Message = u.redact(e.Message)
	return (&upstreamError{
		apiError: e, status: res.StatusCode, requestID: res.Header.Get("X-Request-Id"),
		retryAfter: retryAfter(res.Header, time.Now()), model: u.model,
	}).toBridgeError()
}

// transportError returns the error for a request without a response. It keeps only the text of err,
// without key and URL.
func (u *upstream) transportError(err error) error {
	text := err
	if at, ok := errors.AsType[*url.Error](err); ok {
		text = at.Err // omits the URL: after a redirect the server chose it, and it may contain credentials
	}
	cause := errors.New(clean(u.redact(text.Error())))
	if open, ok := errors.AsType[*transport.OpenError](err); ok {
		return &bridge.Error{
			Code: bridge.CodeUnavailable, RetryAfter: open.RetryAfter, Cause: cause,
			Detail: "The model's server failed repeatedly, so the bridge has paused its requests to it.",
		}
	}
	if _, ok := errors.AsType[*transport.EgressError](err); ok {
		return &bridge.Error{
			Code: bridge.CodeUpstreamFailed, Permanent: true, Cause: cause,
			Detail: "This bridge must not call the address of the model's server. The bridge's operator must fix that.",
		}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return newError(bridge.CodeTimeout, 0, "The model's server did not respond in time.", cause)
	}
	return newError(bridge.CodeUpstreamFailed, 0, "The model's server cannot be reached.", cause)
}

// readError returns the error for a response that could not be read to its end.
func (u *upstream) readError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return invalidResponse(fmt.Errorf("it is longer than %d bytes", maxResponseBytes))
	}
	return brokenOff(errors.New(clean(u.redact(err.Error()))))
}

func brokenOff(cause error) error {
	return newError(bridge.CodeUpstreamFailed, 0, "The model's server broke off its response.", cause)
}

// invalidResponse returns the error for a response that does not follow the Responses API.
func invalidResponse(cause error) error {
	return newError(bridge.CodeInvalidResponse, 0,
		"The model's server sent something that is not a response of the Responses API.",
		fmt.Errorf("%w; check the base URL (OPENAI_BASE_URL, usually ending in /v1)", cause))
}
