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
	maxAnswerBytes = 16 << 20  // of one answer, all its events included
	maxErrorBytes  = 64 << 10  // of an error's body; the rest is cut off
	maxKeptBuffer  = 128 << 10 // larger ones are not used again
	maxRedirects   = 10
	drainTime      = 50 * time.Millisecond
)

// An upstream is a server that speaks the Responses API. This file alone knows the SDK. The SDK
// makes and authenticates the request that all calls copy, and it parses event streams. The package
// encodes bodies and decodes answers itself.
type upstream struct {
	client  *http.Client
	request *http.Request // without a body
	model   string
	effort  string
	redact  func(string) string // takes the key out of a text
	buffers sync.Pool           // of *bytes.Buffer, for answers
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
	return &upstream{client: &client, request: request, model: o.Model, effort: o.ReasoningEffort, redact: redact}, nil
}

// newRequest has the SDK make a request and catches it before it is sent. For each call anew, the
// SDK would take a tenth of the call's CPU time and more than a third of its allocations.
func newRequest(o *Options) (request *http.Request, err error) {
	caught := errors.New("the request is not sent")
	opts := []option.RequestOption{
		option.WithBaseURL(o.BaseURL),
		option.WithMaxRetries(0), // see Provider: billed, and without an idempotency key
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
		return nil, fmt.Errorf("the SDK makes no request: %w", err)
	}
	return request, nil
}

// sameOrigin restricts a client's check of redirects to the same scheme, host and port. Another
// server must get neither the key nor the prompt. A nil check allows as many redirects as net/http.
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
			return errors.New("a redirect to another origin is not followed")
		}
		return nil
	}
}

func origin(u *url.URL) string {
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), defaultPort)
}

// Handle asks for an answer in one piece.
func (u *upstream) Handle(ctx context.Context, p prompt) (*answer, error) {
	return u.ask(ctx, p, nil)
}

// HandleStream asks for an answer and reports its texts as they come.
func (u *upstream) HandleStream(ctx context.Context, p prompt, send func(delta) error) (*answer, error) {
	return u.ask(ctx, p, send)
}

// ask asks for a stream if send is there to take its texts. A server that does the other thing is
// understood.
func (u *upstream) ask(ctx context.Context, p prompt, send func(delta) error) (_ *answer, err error) {
	defer func() {
		if err != nil {
			bridge.ReportUsage(ctx, bridge.Usage{Provider: "openai", Operation: "chat", RequestModel: u.model})
			conceal(err, string(p.layOut()))
		}
	}()
	res, err := u.open(ctx, p, send != nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media != "text/event-stream" {
		return u.read(ctx, res)
	}
	a, err := u.follow(ctx, res, send)
	if err != nil {
		return nil, err
	}
	// A connection can serve the next call only if this answer was read to its end, which should be here.
	defer time.AfterFunc(drainTime, func() { res.Body.Close() }).Stop()
	_, _ = io.Copy(io.Discard, res.Body)
	return a, nil
}

// open sends the request and returns the response if its status is 200.
func (u *upstream) open(ctx context.Context, p prompt, stream bool) (*http.Response, error) {
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
		return nil, u.unreachable(err)
	case res.StatusCode >= 400:
		return nil, u.refusal(res)
	case res.StatusCode != http.StatusOK:
		res.Body.Close()
		return nil, invalid(fmt.Errorf("the status is %d", res.StatusCode))
	}
	res.Body = http.MaxBytesReader(nil, res.Body, maxAnswerBytes)
	return res, nil
}

// read reads an answer in one piece.
func (u *upstream) read(ctx context.Context, res *http.Response) (*answer, error) {
	body, _ := u.buffers.Get().(*bytes.Buffer)
	if body == nil {
		body = new(bytes.Buffer)
	}
	defer func() {
		if body.Cap() <= maxKeptBuffer {
			body.Reset()
			u.buffers.Put(body)
		}
	}()
	body.Grow(int(min(max(res.ContentLength, 0), maxKeptBuffer/2)) + bytes.MinRead) // at once, mostly
	if _, err := body.ReadFrom(res.Body); err != nil {
		return nil, u.broken(ctx, err)
	}
	return u.decode(ctx, body.Bytes())
}

func (u *upstream) decode(ctx context.Context, body []byte) (*answer, error) {
	var a *answer
	if err := json.Unmarshal(body, &a, lenient); err != nil {
		return nil, invalid(err)
	}
	switch {
	case a == nil || a.Status == "" && a.Error == nil:
		return nil, invalid(errors.New("it is not a response object"))
	case a.Error != nil:
		return nil, u.failure(*a.Error)
	case a.Status == "failed":
		return nil, u.failure(apiError{})
	}
	if a.Model == "" {
		a.Model = u.model
	}
	a.requestID = bridge.RequestID(ctx)
	if used := a.Usage.usage; used != nil {
		bridge.ReportUsage(ctx, bridge.Usage{
			Provider: "openai", Operation: "chat", Model: a.Model, RequestModel: u.model,
			InputTokens: used.InputTokens, OutputTokens: used.OutputTokens,
		})
	}
	return a, nil
}

// follow reads a stream to its terminal event. Only that one says how the answer ended: a stream may also just stop.
func (u *upstream) follow(ctx context.Context, res *http.Response, send func(delta) error) (*answer, error) {
	texts := memberReader{emit: func(name, text string) error {
		if send != nil && (name == "code" || name == "explanation" || name == "language") {
			return send(delta{name, text})
		}
		return nil
	}}
	commentary := map[int]bool{} // by output index
	events := ssestream.NewDecoder(res)
	for events.Next() {
		event, err := decodeEvent(events.Event().Type, events.Event().Data)
		if err != nil {
			return nil, invalid(err)
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
			return nil, u.failure(event.failure)
		}
	}
	if err := events.Err(); err != nil {
		return nil, u.broken(ctx, err)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, &bridge.Error{Code: bridge.CodeUpstreamFailed, Detail: "The model's server broke off its answer.", Cause: errors.New("the stream ended without a terminal event")}
}

// failure words an error that came inside an answer, whose own status was 200.
func (u *upstream) failure(e apiError) error {
	e.Message = u.redact(e.Message)
	return (&upstreamError{apiError: e, model: u.model}).public()
}

// refusal words an answer whose status is 400 or above.
func (u *upstream) refusal(res *http.Response) error {
	defer res.Body.Close()
	var body struct {
		Error  *apiError `json:"error"`
		Detail string    `json:"detail"` // of servers built with FastAPI
	}
	var e apiError
	if data, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes)); err == nil && json.Unmarshal(data, &body, lenient) == nil {
		e.Message = body.Detail
		if body.Error != nil {
			e = *body.Error
		}
	}
	e.Message = u.redact(e.Message)
	return (&upstreamError{
		apiError: e, status: res.StatusCode, requestID: res.Header.Get("X-Request-Id"),
		retryAfter: retryAfter(res.Header, time.Now()), model: u.model,
	}).public()
}

// unreachable words an error of the transport. The error itself is not kept: see [upstreamError].
func (u *upstream) unreachable(err error) error {
	text := err
	if at, ok := errors.AsType[*url.Error](err); ok {
		text = at.Err // without the URL, which after a redirect is the server's choice and may hold credentials
	}
	cause := errors.New(clean(u.redact(text.Error())))
	if open, ok := errors.AsType[*transport.OpenError](err); ok {
		return &bridge.Error{Code: bridge.CodeUnavailable, RetryAfter: open.RetryAfter, Detail: "The model's server has failed repeatedly and is left alone for a moment.", Cause: cause}
	}
	if _, ok := errors.AsType[*transport.EgressError](err); ok {
		return &bridge.Error{Code: bridge.CodeUpstreamFailed, Permanent: true, Detail: "The model's server is at an address that this bridge must not call. Its operator has to correct that.", Cause: cause}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return &bridge.Error{Code: bridge.CodeTimeout, Detail: "The model's server did not answer in time.", Cause: cause}
	}
	return &bridge.Error{Code: bridge.CodeUpstreamFailed, Detail: "The model's server cannot be reached.", Cause: cause}
}

// broken words a failure to read an answer that had begun.
func (u *upstream) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return invalid(fmt.Errorf("it is longer than %d bytes", maxAnswerBytes))
	}
	return &bridge.Error{Code: bridge.CodeUpstreamFailed, Detail: "The model's server broke off its answer.", Cause: errors.New(clean(u.redact(err.Error())))}
}

// invalid is the error for what is no answer of the Responses API at all.
func invalid(cause error) error {
	return &bridge.Error{
		Code: bridge.CodeInvalidResponse, Detail: "The model's server answered with something that is not an answer of the Responses API.",
		Cause: fmt.Errorf("%w; check the base URL (OPENAI_BASE_URL, which mostly ends in /v1)", cause),
	}
}
