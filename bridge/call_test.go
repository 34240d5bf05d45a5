package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestCall(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	got := post(t, srv, "/shout", `{"text": "hello <you>"}`, "X-Request-Id", "r-1")
	if got.Status != http.StatusOK || got.Body != `{"loud":"HELLO <YOU>"}` {
		t.Errorf("POST /shout = %d %s", got.Status, got.Body)
	}
	if id := got.Header.Get("X-Request-Id"); id != "r-1" {
		t.Errorf("X-Request-Id = %q, want the caller's r-1", id)
	}
}

// What input_schema calls an integer is one for the handler, too, however its caller writes it. What the handler's type cannot
// hold is refused by its place.
func TestIntegersAsJSONSchemaHasThem(t *testing.T) {
	t.Parallel()
	type request struct {
		Text  string  `json:"text"`
		Times int8    `json:"times"`
		Pitch float64 `json:"pitch"`
	}
	h := bridge.HandlerFunc(func(_ context.Context, req request) (shoutResponse, error) {
		return shoutResponse{fmt.Sprintf("%s %d %v", req.Text, req.Times, req.Pitch)}, nil
	})
	c := loadContract(t, "        input_schema: schemas/request.json", `        input_schema: {type: object, properties: {times: {type: integer}}}`)
	srv := serve(t, newBridge(t, c, routes{bridge.Unary("POST /shout", h, bridge.Serves("shouting"))}, nil))
	for times, want := range map[string]string{
		"3": "a 3 0.5", "3.0": "a 3 0.5", "3e0": "a 3 0.5", "30E-1": "a 3 0.5", "-3.00": "a -3 0.5", "1e2": "a 100 0.5", "0.0": "a 0 0.5", "-0.0": "a 0 0.5",
		"3.5": "", "1e3": "", "1e300": "", "300": "",
	} {
		got := post(t, srv, "/shout", `{"text": "a", "times": `+times+`, "pitch": 0.5}`)
		if want != "" && got.Body != `{"loud":"`+want+`"}` {
			t.Errorf("times %s = %d %s, want %s", times, got.Status, got.Body, want)
		}
		if want != "" {
			continue
		}
		if p := got.problem(t); got.Status != 422 && got.Status != 400 || len(p.Errors) != 1 || p.Errors[0].Pointer != "/times" {
			t.Errorf("times %s = %d %s, want a refusal of /times", times, got.Status, got.Body)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	var got map[string]any
	if err := json.Unmarshal([]byte(get(t, srv, "/health").Body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"status": "healthy", "service": "shouter-001", "service_id": "shouter-001", "version": "1.2.0", "uptime_seconds": 0.0, "calls_in_progress": 0.0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("/health (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if got := get(t, srv, path); got.Status != http.StatusOK {
			t.Errorf("GET %s = %d %s", path, got.Status, got.Body)
		}
	}
}

// sick is a provider that cannot work and has a name.
type sick struct{ bridge.Provider }

func (sick) Name() string                      { return "shouter" }
func (sick) CheckHealth(context.Context) error { return errors.New("hoarse: key sk-secret is gone") }

func TestHealthOfASickProvider(t *testing.T) {
	t.Parallel()
	var log logBuffer
	srv := serve(t, newBridge(t, loadContract(t), sick{shouter(shout)}, &bridge.Options{Logger: log.logger()}))
	for path, want := range map[string]string{"/health": `"status":"unhealthy","service":"shouter"`, "/readyz": `{"status":"unavailable"}`} {
		got := get(t, srv, path)
		if got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, want) || strings.Contains(got.Body, "hoarse") {
			t.Errorf("GET %s = %d %s, want 503 with %s and no cause", path, got.Status, got.Body, want)
		}
	}
	if !strings.Contains(log.String(), "hoarse") {
		t.Errorf("the log does not tell the cause:\n%s", log.String())
	}
}

// tired is a provider that says in public why it cannot work.
type tired struct{ bridge.Provider }

func (tired) CheckHealth(context.Context) error {
	return &bridge.Error{Code: bridge.CodeUnavailable, Detail: "The voice rests until noon.", Cause: errors.New("hoarse")}
}

// GET /readyz?verbose tells of every check, of causes nothing, and reasons only what is public, to whom the bridge knows.
func TestVerboseReadiness(t *testing.T) {
	t.Parallel()
	tokens := bridge.BearerTokens(map[string]string{"ann": "token-a"})
	const good = `{"status":"ok","checks":[{"name":"shutdown","status":"ok"},{"name":"provider","status":"ok"},{"name":"store","status":"ok"}]}`
	const bad = `{"status":"unavailable","checks":[{"name":"shutdown","status":"ok"},{"name":"provider","status":"failed"},{"name":"store","status":"ok"}]}`
	for name, test := range map[string]struct {
		provider     bridge.Provider
		authenticate func(*http.Request) (string, error)
		token        string
		want         string
	}{
		"all is well":                {shouter(shout), nil, "", good},
		"a cause":                    {sick{shouter(shout)}, tokens, "token-a", bad},
		"a reason, nobody is known":  {tired{shouter(shout)}, nil, "token-a", bad},
		"a reason, for anybody":      {tired{shouter(shout)}, tokens, "", bad},
		"a reason, for a bad token":  {tired{shouter(shout)}, tokens, "token-b", bad},
		"a reason, for whom we know": {tired{shouter(shout)}, tokens, "token-a", strings.Replace(bad, `"status":"failed"`, `"status":"failed","detail":"The voice rests until noon."`, 1)},
	} {
		srv := serve(t, newBridge(t, loadContract(t), test.provider, &bridge.Options{Authenticate: test.authenticate}))
		got := get(t, srv, "/readyz?verbose", "Authorization", "Bearer "+test.token)
		if diff := cmp.Diff(test.want, got.Body); diff != "" || (got.Status == 200) != (test.want == good) {
			t.Errorf("%s: %d (-want +got):\n%s", name, got.Status, diff)
		}
	}
	b := newBridge(t, loadContract(t), shouter(shout), nil)
	srv := serve(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, srv, "/readyz?verbose"); got.Status != 503 || !strings.Contains(got.Body, `{"name":"shutdown","status":"failed"},{"name":"provider","status":"ok"}`) {
		t.Errorf("a bridge that stops: %d %s", got.Status, got.Body)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	called := false
	srv := serve(t, newBridge(t, loadContract(t), shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
		called = true
		return shoutResponse{}, nil
	}), &bridge.Options{MaxBodyBytes: 1000}))

	for name, test := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		code               string
		fields             []contract.Violation // pointers only
		allow              string
	}{
		"malformed":         {body: `{"text": `, status: 400, code: "invalid_request", fields: []contract.Violation{{Pointer: "/text"}}},
		"empty":             {body: ` `, status: 400, code: "invalid_request", fields: []contract.Violation{{}}},
		"two values":        {body: `{"text": "a"} {}`, status: 400, code: "invalid_request", fields: []contract.Violation{{}}},
		"duplicate name":    {body: `{"text": "a", "text": "b"}`, status: 400, code: "invalid_request", fields: []contract.Violation{{Pointer: "/text"}}},
		"bad UTF-8":         {body: "{\"text\": \"\xff\"}", status: 400, code: "invalid_request", fields: []contract.Violation{{Pointer: "/text"}}},
		"other case":        {body: `{"Text": "a"}`, status: 422, code: "schema_violation", fields: []contract.Violation{{}, {Pointer: "/Text"}}},
		"wrong type":        {body: `{"text": 7}`, status: 422, code: "schema_violation", fields: []contract.Violation{{Pointer: "/text"}}},
		"two faults":        {body: `{"text": "", "times": 10}`, status: 422, code: "schema_violation", fields: []contract.Violation{{Pointer: "/text"}, {Pointer: "/times"}}},
		"too large":         {body: `{"text": "` + strings.Repeat("a", 1000) + `"}`, status: 413, code: "request_too_large"},
		"form":              {body: `text=a`, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415, code: "unsupported_media_type"},
		"other charset":     {body: `{"text": "a"}`, header: []string{"Content-Type", "application/json; charset=latin1"}, status: 415, code: "unsupported_media_type"},
		"compressed":        {body: `{"text": "a"}`, header: []string{"Content-Encoding", "br"}, status: 415, code: "unsupported_media_type"},
		"wants XML":         {body: `{"text": "a"}`, header: []string{"Accept", "application/xml"}, status: 406, code: "not_acceptable"},
		"wrong method":      {method: "GET", status: 405, code: "method_not_allowed", allow: "POST"},
		"unknown path":      {path: "/whisper", body: `{}`, status: 404, code: "not_found"},
		"unclean path":      {path: "//shout", body: `{}`, status: 404, code: "not_found"},
		"trailing slash":    {path: "/shout/", body: `{}`, status: 404, code: "not_found"},
		"method for health": {path: "/health", body: `{}`, status: 405, code: "method_not_allowed", allow: "GET, HEAD"},
	} {
		t.Run(name, func(t *testing.T) {
			method, path := "POST", "/shout"
			if test.method != "" {
				method = test.method
			}
			if test.path != "" {
				path = test.path
			}
			got := send(t, srv.Client(), newRequest(t, method, srv.URL+path, test.body, test.header...))
			p := got.problem(t)
			if got.Status != test.status || p.Status != test.status || p.Code != test.code || p.Detail == "" || strings.TrimPrefix(p.Instance, "/.") != path || p.Retryable {
				t.Errorf("%s %s = %d %s, want %d %s", method, path, got.Status, got.Body, test.status, test.code)
			}
			if p.RequestID != got.Header.Get("X-Request-Id") || p.Error.Code != strings.ToUpper(test.code) || p.Error.Message != p.Detail {
				t.Errorf("request_id or CAIO's envelope is off: %s", got.Body)
			}
			var pointers []contract.Violation
			for _, v := range p.Errors {
				pointers = append(pointers, contract.Violation{Pointer: v.Pointer})
			}
			if diff := cmp.Diff(test.fields, pointers); diff != "" {
				t.Errorf("errors (-want +got):\n%s\n%s", diff, got.Body)
			}
			if got.Header.Get("Allow") != test.allow {
				t.Errorf("Allow = %q, want %q", got.Header.Get("Allow"), test.allow)
			}
		})
	}
	if called {
		t.Error("a refused request reached the handler")
	}
}

func TestHandlersThatFail(t *testing.T) {
	t.Parallel()
	const secret = "sk-secret"
	for name, test := range map[string]struct {
		handle func() (any, error)
		status int
		want   problem // Code, Detail, Retryable, Clause
		retry  string
	}{
		"unclassified": {
			handle: func() (any, error) { return nil, fmt.Errorf("dial 10.0.0.1 with %s", secret) },
			status: 500, want: problem{Code: "internal", Detail: "The bridge failed. Its operator finds the cause in the log, by request_id."},
		},
		"panic": {
			handle: func() (any, error) { panic("index out of " + secret) },
			status: 500, want: problem{Code: "internal", Detail: "The bridge failed. Its operator finds the cause in the log, by request_id."},
		},
		"wrong shape": {
			handle: func() (any, error) { return map[string]any{"loud": 7, "key": secret}, nil },
			status: 502, want: problem{Code: "invalid_response", Detail: "The answer is not what the contract promises, so it was not sent.", Retryable: true, Clause: "api.endpoints.output_schema"},
		},
		"cannot be encoded": {
			handle: func() (any, error) { return map[string]any{"loud": func() {}}, nil },
			status: 502, want: problem{Code: "invalid_response", Detail: "The answer is not what the contract promises, so it was not sent.", Retryable: true, Clause: "api.endpoints.output_schema"},
		},
		"too large": {
			handle: func() (any, error) { return map[string]any{"loud": strings.Repeat("A", 3000)}, nil },
			status: 502, want: problem{Code: "invalid_response", Detail: "The answer is larger than this operation allows, so it was not sent.", Retryable: true},
		},
		"classified": {
			handle: func() (any, error) {
				return nil, fmt.Errorf("wrapped: %w", &bridge.Error{Code: bridge.CodeUpstreamFailed, Detail: "The shouter is hoarse.", Cause: errors.New(secret)})
			},
			status: 502, want: problem{Code: "upstream_failed", Detail: "The shouter is hoarse.", Retryable: true},
		},
		"rate limited upstream": {
			handle: func() (any, error) {
				return nil, &bridge.Error{Code: bridge.CodeRateLimited, Detail: "Later.", RetryAfter: 1500 * time.Millisecond}
			},
			status: 429, want: problem{Code: "rate_limited", Detail: "Later.", Retryable: true}, retry: "2",
		},
		"permanent": {
			handle: func() (any, error) {
				return nil, &bridge.Error{Code: "quota_used_up", Status: 429, Detail: "Pay.", Permanent: true}
			},
			status: 429, want: problem{Code: "quota_used_up", Detail: "Pay."},
		},
		"upstream deadline": {
			handle: func() (any, error) { return nil, fmt.Errorf("call %s: %w", secret, context.DeadlineExceeded) },
			status: 504, want: problem{Code: "timeout", Detail: "The wrapped service did not answer in the time allowed.", Retryable: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logBuffer
			h := bridge.HandlerFunc(func(context.Context, shoutRequest) (any, error) { return test.handle() })
			srv := serve(t, newBridge(t, loadContract(t), routes{bridge.Unary("POST /shout", h, bridge.Serves("shouting"))},
				&bridge.Options{Logger: log.logger(), MaxResponseBytes: 2000}))
			got := post(t, srv, "/shout", `{"text": "a"}`)
			p := got.problem(t)
			if got.Status != test.status || got.Header.Get("Retry-After") != test.retry {
				t.Errorf("status %d, Retry-After %q, want %d, %q", got.Status, got.Header.Get("Retry-After"), test.status, test.retry)
			}
			if p.RetryAfter > 0 && strconv.Itoa(p.RetryAfter) != test.retry || test.retry != "" && p.RetryAfter == 0 {
				t.Errorf("retry_after = %d, want %q", p.RetryAfter, test.retry)
			}
			if diff := cmp.Diff(test.want, problem{Code: p.Code, Detail: p.Detail, Retryable: p.Retryable, Clause: p.Clause}); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
			if strings.Contains(got.Body, secret) {
				t.Errorf("the caller was shown the cause: %s", got.Body)
			}
			if !strings.Contains(log.String(), "request_id="+p.RequestID) || !strings.Contains(log.String(), "code="+p.Code) {
				t.Errorf("the log line does not name request and code:\n%s", log.String())
			}
			if n := inProgress(t, srv); n != 0 {
				t.Errorf("%d slots are still taken", n)
			}
		})
	}
}

func TestTransformersComposeIntoAHandler(t *testing.T) {
	t.Parallel()
	upper := bridge.HandlerFunc(func(_ context.Context, s string) (string, error) { return strings.ToUpper(s), nil })
	srv := serve(t, newBridge(t, loadContract(t), routes{
		bridge.Unary("POST /shout", bridge.Transform(shoutIn{}, upper, shoutOut{}), bridge.Serves("shouting")),
	}, nil))
	if got := post(t, srv, "/shout", `{"text": "ho", "times": 3}`); got.Body != `{"loud":"HOHOHO"}` {
		t.Errorf("POST /shout = %d %s", got.Status, got.Body)
	}
	if got := post(t, srv, "/shout", `{"text": "quiet"}`); got.problem(t).Code != "cannot_be_quiet" || got.Status != 422 {
		t.Errorf("POST /shout = %d %s, want the transformer's error", got.Status, got.Body)
	}
}

type shoutIn struct{}

func (shoutIn) TransformRequest(req shoutRequest) (string, error) {
	if req.Text == "quiet" {
		return "", &bridge.Error{Code: "cannot_be_quiet", Status: 422, Detail: "Say something else."}
	}
	return strings.Repeat(req.Text, max(1, req.Times)), nil
}

type shoutOut struct{}

func (shoutOut) TransformResponse(_ shoutRequest, s string) (shoutResponse, error) {
	return shoutResponse{Loud: s}, nil
}

// counting is a provider that counts bytes as tokens.
type counting struct{ bridge.Provider }

func (counting) CountTokens(req any) int { return len(req.(shoutRequest).Text) }

func TestContextLength(t *testing.T) {
	t.Parallel()
	c := loadContract(t, "max_concurrent_requests: 2", "context_length: {max_tokens: 5}")
	srv := serve(t, newBridge(t, c, counting{shouter(shout)}, nil))
	if got := post(t, srv, "/shout", `{"text": "12345"}`); got.Status != http.StatusOK {
		t.Errorf("5 tokens of 5: %d %s", got.Status, got.Body)
	}
	got := post(t, srv, "/shout", `{"text": "123456"}`)
	if p := got.problem(t); got.Status != 422 || p.Code != "context_length_exceeded" || p.Clause != "constraints.context_length.max_tokens" {
		t.Errorf("6 tokens of 5: %d %s", got.Status, got.Body)
	}
}

// The log tells what does not fit, and nothing of what was sent instead: that may be anybody's secret.
func TestLogsHoldNoBodies(t *testing.T) {
	t.Parallel()
	answer := bridge.HandlerFunc(func(context.Context, shoutRequest) (any, error) { return map[string]int{"loud": 4711}, nil })
	for name, test := range map[string]struct {
		without string // of the contract
		body    string
		status  int
		told    string // to the caller
		logged  string
	}{
		"a request that does not fit":                              {"# nothing", `{"text": 4711}`, 422, "must be text, found the number 4711", "code=schema_violation"},
		"a request that is malformed":                              {"# nothing", `{"4711": 1, "4711": 2}`, 400, `"pointer":"/4711"`, "code=invalid_request"},
		"an answer that does not fit":                              {"# nothing", `{"text": "a"}`, 502, "not what the contract promises", `cause="/loud: must be text"`},
		"a request that the schema lets pass, but not the handler": {"        input_schema: schemas/request.json\n", `{"text": "a", "times": "4711"}`, 400, "cannot be decoded", `cause="a JSON string does not decode into int"`},
	} {
		var log logBuffer
		srv := serve(t, newBridge(t, loadContract(t, test.without, ""), routes{bridge.Unary("POST /shout", answer, bridge.Serves("shouting"))}, &bridge.Options{Logger: log.logger()}))
		got := post(t, srv, "/shout", test.body)
		srv.Close() // the record is made after the answer
		if got.Status != test.status || !strings.Contains(got.Body, test.told) {
			t.Errorf("%s: %d %s, want %d and %s", name, got.Status, got.Body, test.status, test.told)
		}
		if !strings.Contains(log.String(), test.logged) || strings.Contains(log.String(), "4711") {
			t.Errorf("%s: the log lacks %s, or shows a value:\n%s", name, test.logged, log.String())
		}
	}
}
