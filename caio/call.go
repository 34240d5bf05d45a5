package caio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

// maxCall bounds calls of services if the context has no deadline.
const maxCall = 10 * time.Minute

// Call calls the service of d: it sends body as JSON to the endpoint, and decodes the JSON answer.
//
// endpoint is one of the service's, for example "POST /generate". Its path alone is enough if no
// other endpoint has the same, and "" means the only POST. A nil body sends none. With a nil
// answer, Call ignores the service's answer.
//
// Limits: the deadline of ctx, 10 minutes if it has none; 8 MiB for the answer. Call never retries:
// a call may cost money.
//
// The request carries the remaining time ("Prefer: wait", RFC 7240), which bridges observe, and the
// trace context of ctx (W3C traceparent and tracestate). It carries no CAIO token, only that of
// [Options].ServiceToken.
//
// A refusal by the service is an [*Error].
func (c *Client) Call(ctx context.Context, d *Decision, endpoint string, body, answer any) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	s, err := c.startCall(ctx, d, endpoint, body, "application/json")
	if err != nil {
		return err
	}
	defer s.response.Body.Close()
	data, err := readAnswer(s.response)
	if err == nil && answer != nil {
		err = decodeAnswer(s.response, data, answer, s.token)
	}
	return s.wrap(err)
}

// An Event is one server-sent event of a service.
type Event struct {
	Name string          // event type; "result" for the last one of a stream
	ID   string          // event id; "" for none
	Data json.RawMessage // payload, usually JSON
}

// Stream calls the service like [Client.Call], and yields its server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
//
// The last event is "result". A service without streaming yields only that one. The last pair holds
// an error instead if the service refused, failed, or ended the stream without a result. Leaving
// the loop cancels the call.
func (c *Client) Stream(ctx context.Context, d *Decision, endpoint string, body any) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		ctx, cancel := withDeadline(ctx)
		defer cancel()
		s, err := c.startCall(ctx, d, endpoint, body, "text/event-stream, application/json;q=0.5")
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer s.response.Body.Close()
		mediaType, _, _ := mime.ParseMediaType(s.response.Header.Get("Content-Type"))
		if mediaType != "text/event-stream" {
			yield(s.readResult())
			return
		}
		for event, err := range readEvents(s.response.Body) {
			switch {
			case err != nil:
				yield(Event{}, s.wrap(err))
				return
			case event.Name == "error":
				yield(Event{}, s.eventError(event))
				return
			}
			if !yield(event, nil) || event.Name == "result" {
				return
			}
		}
		yield(Event{}, s.wrap(errors.New("the stream ended without a result")))
	}
}

// withDeadline returns ctx with a deadline.
func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, maxCall)
}

// A serviceCall is a call after the service's answer with success.
type serviceCall struct {
	op, host string
	token    string
	response *http.Response
}

// startCall sends the call, and returns it if the service answers with success. The caller closes
// the response's body.
func (c *Client) startCall(
	ctx context.Context, d *Decision, endpoint string, body any, accept string,
) (*serviceCall, error) {
	target, base, err := c.resolve(ctx, d, endpoint)
	s := &serviceCall{op: strings.TrimSpace("call " + endpoint)}
	if err != nil {
		return nil, fmt.Errorf("caio: %s: %w", s.op, err)
	}
	s.op, s.host = "call "+target.Method+" "+target.Path, base.Host
	request, err := c.newServiceRequest(ctx, target, base, body)
	if err != nil {
		return nil, fmt.Errorf("caio: %s: %w", s.op, err)
	}
	request.Header.Set("Accept", accept)
	if s.token, err = c.authorizeService(request, base); err != nil {
		return nil, fmt.Errorf("caio: %s: %w", s.op, err)
	}
	if s.response, err = c.http.Do(request); err != nil {
		return nil, s.wrap(transportError(err))
	}
	if s.response.StatusCode < 300 && s.response.StatusCode != http.StatusAccepted {
		return s, nil
	}
	defer s.response.Body.Close()
	if s.response.StatusCode == http.StatusAccepted {
		return nil, s.wrap(permanentError("the service started a job (HTTP 202), but the client asked for none"))
	}
	data, _ := readAnswer(s.response) // the status counts even if the body is incomplete
	return nil, newRefusal(s.op, s.response, data, s.token)
}

// resolve returns the endpoint and the base URL of the service. CAIO's documents do not promise
// them in decisions, so resolve falls back to the service's contract.
func (c *Client) resolve(ctx context.Context, d *Decision, endpoint string) (Endpoint, *url.URL, error) {
	baseURL, endpoints := d.BaseURL, d.Endpoints
	if baseURL == "" || len(endpoints) == 0 {
		service, err := c.Service(ctx, d.ServiceID)
		if err != nil {
			return Endpoint{}, nil, fmt.Errorf("the decision has no address of the service: %w", err)
		}
		if service.Contract == nil {
			return Endpoint{}, nil, errors.New("neither the decision nor CAIO has the address of the service")
		}
		baseURL, endpoints = service.Contract.API.BaseURL, nil
		for _, e := range service.Contract.API.Endpoints {
			endpoints = append(endpoints, Endpoint{Method: e.Method, Path: e.Path})
		}
	}
	base, err := parseBase(baseURL)
	if err != nil {
		return Endpoint{}, nil, fmt.Errorf("of service %s: %w", d.ServiceID, err)
	}
	target, err := findEndpoint(endpoints, endpoint)
	return target, base, err
}

// findEndpoint returns the endpoint with that name or path, or the only POST for "".
func findEndpoint(endpoints []Endpoint, name string) (Endpoint, error) {
	var known, found []string
	var target Endpoint
	for _, e := range endpoints {
		text := e.Method + " " + e.Path
		known = append(known, text)
		if text == name || e.Path == name || name == "" && e.Method == http.MethodPost {
			target, found = e, append(found, text)
		}
	}
	if len(found) == 1 {
		return target, nil
	}
	if name == "" {
		name = "POST"
	}
	return Endpoint{}, fmt.Errorf("%d endpoints match %s: give one of %s",
		len(found), strconv.Quote(name), wire.Clip(strings.Join(known, ", "), 500))
}

// newServiceRequest returns the request without credentials.
func (c *Client) newServiceRequest(
	ctx context.Context, target Endpoint, base *url.URL, body any,
) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("the body is not JSON: %w", err)
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, target.Method, base.String()+target.Path, reader)
	if err != nil {
		return nil, errors.New("the service's address is not a URL: correct its contract")
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("User-Agent", userAgent)
	if deadline, ok := ctx.Deadline(); ok {
		seconds := math.Ceil(time.Until(deadline).Seconds())
		request.Header.Set("Prefer", fmt.Sprintf("wait=%d", max(1, int64(seconds))))
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	return request, nil
}

// authorizeService sets the service's own token, if there is one, and returns it.
func (c *Client) authorizeService(request *http.Request, base *url.URL) (token string, err error) {
	if c.serviceToken == nil {
		return "", nil
	}
	token, err = c.serviceToken(request.Context(), base.String())
	if err != nil {
		return "", fmt.Errorf("no token for the service: %w", err)
	}
	if token = strings.TrimSpace(token); token != "" && !c.tokenInClear && isClear(base) {
		return "", fmt.Errorf("a token would travel in clear to %s: serve it over https, or set TokenInClear", base.Host)
	}
	return token, setBearer(request, token)
}

// wrap adds operation and host to err. It returns nil for nil.
func (s *serviceCall) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("caio: %s at %s: %w", s.op, s.host, err)
}

// readResult returns the answer of a service without streaming as a result event.
func (s *serviceCall) readResult() (Event, error) {
	var result json.RawMessage
	data, err := readAnswer(s.response)
	if err == nil {
		err = decodeAnswer(s.response, data, &result, s.token)
	}
	if err != nil {
		return Event{}, s.wrap(err)
	}
	return Event{Name: "result", Data: result}, nil
}

// eventError returns the error in an "error" event: problem details, as in an answer with that
// status.
func (s *serviceCall) eventError(event Event) error {
	var problem any
	if json.Unmarshal(event.Data, &problem) != nil {
		problem = map[string]any{"detail": string(event.Data)}
	}
	status := http.StatusBadGateway
	if object, ok := problem.(map[string]any); ok {
		if stated, ok := object["status"].(float64); ok && stated >= 400 && stated < 600 {
			status = int(stated)
		}
	}
	return newError(s.op, status, redactAll(problem, s.token))
}
