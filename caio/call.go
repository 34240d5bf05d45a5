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
	"github.com/smarthaus/caio-bridge-go/internal/access"
)

// maxCall bounds calls of services whose context has no deadline.
const maxCall = 10 * time.Minute

// Call calls the service that d names: it sends body as JSON to the endpoint, for example "POST /generate", and decodes
// the JSON answer into answer. A nil body sends none, a nil answer drops it. The endpoint must be one of the service's; its
// path alone will do if that is enough to tell it, and "" takes the only one that is a POST.
//
// A refusal by the service is an [*Error] with its status, code and detail. A call may cost money and is never repeated;
// it is bounded by the deadline of ctx, 10 minutes if that has none, and its answer by 8 MiB. The service is told how long
// the caller waits ("Prefer: wait", RFC 7240), which a bridge keeps to, and the trace context of ctx (W3C traceparent and
// tracestate). CAIO's token is not sent; see [Options].ServiceToken.
func (c *Client) Call(ctx context.Context, d *Decision, endpoint string, body, answer any) error {
	ctx, cancel := bounded(ctx)
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
	return s.fault(err)
}

// An Event is something that a service reports while it works.
type Event struct {
	Name string          // the last one of a stream is "result"
	ID   string          // "" if the service gives none
	Data json.RawMessage // usually JSON
}

// Stream calls the service like [Client.Call] and yields what it reports while it works, as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). The last event is "result"; a service that does not
// stream yields only that one. The last pair holds an error instead if the service refused, failed on the way, or stopped
// without a result. Leaving the loop cancels the call.
func (c *Client) Stream(ctx context.Context, d *Decision, endpoint string, body any) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		ctx, cancel := bounded(ctx)
		defer cancel()
		s, err := c.startCall(ctx, d, endpoint, body, "text/event-stream, application/json;q=0.5")
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer s.response.Body.Close()
		if mediaType, _, _ := mime.ParseMediaType(s.response.Header.Get("Content-Type")); mediaType != "text/event-stream" {
			yield(s.onlyResult())
			return
		}
		for event, err := range readEvents(s.response.Body) {
			switch {
			case err != nil:
				yield(Event{}, s.fault(err))
				return
			case event.Name == "error":
				yield(Event{}, s.failure(event))
				return
			}
			if !yield(event, nil) || event.Name == "result" {
				return
			}
		}
		yield(Event{}, s.fault(errors.New("the stream ended without a result")))
	}
}

// bounded returns ctx with a deadline.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, maxCall)
}

// A serviceCall is a call that the service has accepted.
type serviceCall struct {
	op, host string
	token    string
	response *http.Response
}

// startCall sends the call, and returns it if the service answered with success. The caller closes the body.
func (c *Client) startCall(ctx context.Context, d *Decision, endpoint string, body any, accept string) (*serviceCall, error) {
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
		return nil, s.fault(transportFault(err))
	}
	if s.response.StatusCode < 300 && s.response.StatusCode != http.StatusAccepted {
		return s, nil
	}
	defer s.response.Body.Close()
	if s.response.StatusCode == http.StatusAccepted {
		return nil, s.fault(permanentFault("the service did not answer but began a job (HTTP 202), which this client did not ask for"))
	}
	data, _ := readAnswer(s.response) // whatever was readable of the body, the status stands
	return nil, refusal(s.op, s.response, data, s.token)
}

// resolve finds out what is to be called and where. CAIO's documents do not promise that decisions say it; then the
// service's contract does.
func (c *Client) resolve(ctx context.Context, d *Decision, endpoint string) (Endpoint, *url.URL, error) {
	baseURL, endpoints := d.BaseURL, d.Endpoints
	if baseURL == "" || len(endpoints) == 0 {
		service, err := c.Service(ctx, d.ServiceID)
		if err != nil {
			return Endpoint{}, nil, fmt.Errorf("the decision does not say where the service is: %w", err)
		}
		if service.Contract == nil {
			return Endpoint{}, nil, errors.New("neither the decision nor CAIO says where the service is")
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
	target, err := pick(endpoints, endpoint)
	return target, base, err
}

// pick returns the endpoint of that name or path, or the only POST for "".
func pick(endpoints []Endpoint, name string) (Endpoint, error) {
	var found, offered []string
	var target Endpoint
	for _, e := range endpoints {
		text := e.Method + " " + e.Path
		offered = append(offered, text)
		if text == name || e.Path == name || name == "" && e.Method == http.MethodPost {
			target, found = e, append(found, text)
		}
	}
	if len(found) != 1 {
		if name != "" {
			name = " by " + strconv.Quote(name)
		}
		return Endpoint{}, fmt.Errorf("which endpoint is meant%s? Name one of %s", name, wire.Clip(strings.Join(offered, ", "), 500))
	}
	return target, nil
}

func (c *Client) newServiceRequest(ctx context.Context, target Endpoint, base *url.URL, body any) (*http.Request, error) {
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
		return nil, errors.New("the service's address is not a URL: its contract is wrong")
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("User-Agent", userAgent)
	if deadline, ok := ctx.Deadline(); ok {
		request.Header.Set("Prefer", fmt.Sprintf("wait=%d", max(1, int64(math.Ceil(time.Until(deadline).Seconds())))))
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	return request, nil
}

// authorizeService adds the service's own token, if there is one.
func (c *Client) authorizeService(request *http.Request, base *url.URL) (token string, err error) {
	if c.serviceToken == nil {
		return "", nil
	}
	token, err = c.serviceToken(request.Context(), base.String())
	if err != nil {
		return "", fmt.Errorf("no token for the service: %w", err)
	}
	if token = strings.TrimSpace(token); token != "" && base.Scheme == "http" && !access.IsLoopbackName(base.Hostname()) && !c.tokenInClear {
		return "", fmt.Errorf("a token would travel in clear to %s: let the service offer https, or set TokenInClear", base.Host)
	}
	return token, setBearer(request, token)
}

// fault says where err, nil for none, happened.
func (s *serviceCall) fault(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("caio: %s at %s: %w", s.op, s.host, err)
}

// onlyResult is the whole stream of a service that does not stream.
func (s *serviceCall) onlyResult() (Event, error) {
	var result json.RawMessage
	data, err := readAnswer(s.response)
	if err == nil {
		err = decodeAnswer(s.response, data, &result, s.token)
	}
	if err != nil {
		return Event{}, s.fault(err)
	}
	return Event{Name: "result", Data: result}, nil
}

// failure is what an "error" event says: problem details, as an answer with that status would hold them.
func (s *serviceCall) failure(event Event) error {
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
