package bridge_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// schemaBridge serves POST /shout with schemas of the test's own. It answers with the request's "reply".
func schemaBridge(t testing.TB, input, output string, opts *bridge.Options) *bridge.Bridge {
	t.Helper()
	return newBridge(t, schemaContract(t, input, output), routes{echoRoute(bridge.HandlerFunc[map[string]any, any](echoReply))}, opts)
}

func echoRoute(h bridge.Handler[map[string]any, any]) bridge.Route {
	return bridge.Unary("POST /shout", h, bridge.Serves("shouting"))
}

func schemaContract(t testing.TB, input, output string) *contract.Contract {
	t.Helper()
	c, err := contract.Load(fstest.MapFS{
		"contract.yaml":         {Data: []byte(shouterContract)},
		"schemas/request.json":  {Data: []byte(input)},
		"schemas/response.json": {Data: []byte(output)},
	}, "contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func echoReply(_ context.Context, req map[string]any) (any, error) { return req["reply"], nil }

func numbers(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }

// A body with more values than the engine checks passes if the bytes tell that it is allowed. Otherwise the answer
// names the clause that asks for too much.
func TestMaxSchemaValues(t *testing.T) {
	t.Parallel()
	const (
		common   = `{"type": "object", "properties": {"a": {"type": "array", "maxItems": 200, "items": {"type": "integer"}}, "reply": {}}}`
		uncommon = `{"type": "object", "properties": {"a": {"type": "array", "contains": {"const": 1}}, "reply": {}}}`
	)
	type problem struct {
		Code   string               `json:"code"`
		Clause string               `json:"contract_clause"`
		Detail string               `json:"detail"`
		Errors []contract.Violation `json:"errors"`
	}
	for name, c := range map[string]struct {
		input, body string
		status      int
		want        problem
	}{
		"few values":          {uncommon, `{"a": ` + numbers(90) + `, "reply": {"loud": "A"}}`, 200, problem{}},
		"common keywords":     {common, `{"a": ` + numbers(200) + `, "reply": {"loud": "A"}}`, 200, problem{}},
		"too many items":      {common, `{"a": ` + numbers(300) + `}`, 422, problem{"schema_violation", "api.endpoints.input_schema", "The request does not fit the endpoint's input_schema; errors says where.", []contract.Violation{{Pointer: "/a", Detail: "must have at most 200 items, found 300"}}}},
		"uncommon keywords":   {uncommon, `{"a": ` + numbers(100) + `}`, 413, problem{"request_too_large", "api.endpoints.input_schema", "The body is too much to check against the endpoint's input_schema: there are 102 JSON values in it, at most 100 can be checked.", nil}},
		"not JSON at the end": {uncommon, `{"a": ` + numbers(200), 400, problem{"invalid_request", "", "The body was not understood: not valid JSON: the text ends too early, after 407 bytes.", []contract.Violation{{Detail: "not valid JSON: the text ends too early, after 407 bytes"}}}},
	} {
		srv := serve(t, schemaBridge(t, c.input, shouterResponse, &bridge.Options{MaxSchemaValues: 100}))
		got := post(t, srv, "/shout", c.body)
		var p problem
		if got.Status != 200 {
			if err := json.Unmarshal([]byte(got.Body), &p); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got.Status != c.status {
			t.Errorf("%s: got status %d, want %d: %.300s", name, got.Status, c.status, got.Body)
		}
		if diff := cmp.Diff(c.want, p); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Results go the same way, and the bound is published.
func TestMaxSchemaValuesOfResults(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	var log logBuffer
	i.opts.MaxSchemaValues, i.opts.Logger = 100, log.logger()
	b := schemaBridge(t, `{}`, `{"type": "object", "properties": {"list": {"contains": {"const": 1}}}}`, &i.opts)
	srv := serve(t, b)
	if got := post(t, srv, "/shout", `{"reply": {"list": `+numbers(90)+`}}`); got.Status != 200 {
		t.Errorf("90 values: got %d %s, want 200", got.Status, got.Body)
	}
	got := post(t, srv, "/shout", `{"reply": {"list": `+numbers(100)+`}}`)
	if got.Status != http.StatusBadGateway || !strings.Contains(got.Body, `"contract_clause":"api.endpoints.output_schema"`) {
		t.Errorf("100 values: got %d %s, want 502 with the clause", got.Status, got.Body)
	}
	if !strings.Contains(log.String(), "at most 100 can be checked") {
		t.Errorf("the log does not name the limit:\n%s", log.String())
	}
	if doc := get(t, srv, "/openapi.json"); !strings.Contains(doc.Body, `"x-max-schema-values":100`) {
		t.Errorf("OpenAPI does not publish the limit: %s", doc.Body)
	}
	want := map[string]float64{
		"caio.bridge.outcome=unchecked http.route=/shout": 1,
		"caio.bridge.outcome=valid http.route=/shout":     1,
	}
	if diff := cmp.Diff(want, i.sums(t, "caio.bridge.schema_check.duration")); diff != "" {
		t.Errorf("caio.bridge.schema_check.duration (-want +got):\n%s", diff)
	}
}
