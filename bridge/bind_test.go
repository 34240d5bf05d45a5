package bridge_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestNewReportsEverythingThatDoesNotFit(t *testing.T) {
	t.Parallel()
	nothing := bridge.HandlerFunc(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	c := loadContract(t,
		"- type: shouting", "- type: shouting\n    - type: whispering",
		"method: GET", "method: GET\n        output_schema: schemas/response.json",
		"max_concurrent_requests: 2", "context_length: {max_tokens: 10}\n    moon_phase: full")
	p := routes{
		bridge.Unary("POST /sing", nothing, bridge.Serves("singing")),
		bridge.Unary("no pattern", nothing),
		bridge.Unary("GET /health", nothing),
		bridge.Unary("PUT /things/{id}", nothing),
		{},
	}
	_, err := bridge.New(c, p, nil)
	if err == nil {
		t.Fatal("New accepted a provider that does not fit the contract")
	}
	for _, want := range []string{
		"endpoint POST /shout of the contract has no route",
		"route POST /sing has no endpoint in the contract",
		"capability shouting is served by no route",
		"capability whispering is served by no route",
		`route pattern "no pattern"`,
		"route GET /health: the bridge itself serves /health",
		"endpoint GET /health: the bridge itself serves /health, and has a shape of its own for it",
		"route PUT /things/{id}: a path with parameters",
		"a route is the zero Route",
		"constraints.context_length.max_tokens is 10, but the provider cannot count tokens",
		"constraints.moon_phase: nothing enforces it",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestNewRefusesSchemasThatWereNotRead(t *testing.T) {
	t.Parallel()
	c, err := contract.Parse("contract.yaml", []byte(shouterContract))
	if err != nil {
		t.Fatal(err)
	}
	_, err = bridge.New(c, shouter(shout), nil)
	if err == nil || !strings.Contains(err.Error(), "input_schema names schemas/request.json, which was not read: load the contract with contract.Load") {
		t.Errorf("New = %v, want an error that names the schema file and the way out", err)
	}
}

func TestNewRefusesACapabilityThatIsNotInTheContract(t *testing.T) {
	t.Parallel()
	_, err := bridge.New(loadContract(t), shouter(shout, bridge.Serves("flying")), nil)
	if err == nil || !strings.Contains(err.Error(), `route POST /shout serves "flying", which is not a capability of the contract (it has: shouting)`) {
		t.Errorf("New = %v", err)
	}
}

// Names are matched exactly: a field without its tag would stay empty, and nobody would say why.
func TestNewRefusesFieldsThatOnlyLookLikeMembers(t *testing.T) {
	t.Parallel()
	type request struct {
		Text  string
		Times int `json:"times"`
		Extra int // which the schema does not know in any case
	}
	type response struct{ LOUD string }
	f := func(context.Context, request) (response, error) { return response{}, nil }
	_, err := bridge.New(loadContract(t), routes{bridge.Unary("POST /shout", bridge.HandlerFunc(f), bridge.Serves("shouting"))}, nil)
	if err == nil {
		t.Fatal("New accepted fields that are no members of the schemas")
	}
	for _, want := range []string{
		`the field Text of bridge_test.request is "Text" in JSON, but input_schema has "text": add the tag ` + "`json:\"text\"`",
		`the field LOUD of bridge_test.response is "LOUD" in JSON, but output_schema has "loud"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "Extra") || strings.Contains(err.Error(), "Times") {
		t.Errorf("the error names fields that are fine:\n%v", err)
	}
}

func TestNewRefusesNamesThatNoRequestHas(t *testing.T) {
	t.Parallel()
	opts := &bridge.Options{
		AllowedHosts:   []string{"bridge.internal", "::1", "http://bridge.internal", "bridge.internal:8082", "*.internal", ""},
		AllowedOrigins: []string{"https://app.example.com", "http://localhost:3000", "*", "https://app.example.com/", "app.example.com", "https://*.example.com", "https://App.example.com", "null", "https://app.example.com:443", "http://app.example.com:80", "https://app.example.com:", "https://äpp.example.com"},
	}
	_, err := bridge.New(loadContract(t), shouter(shout), opts)
	if err == nil {
		t.Fatal("New accepted them")
	}
	for _, wrong := range slices.Concat(opts.AllowedHosts[2:], opts.AllowedOrigins[2:]) {
		if !strings.Contains(err.Error(), fmt.Sprintf("%q: write", wrong)) {
			t.Errorf("the error does not name %q:\n%v", wrong, err)
		}
	}
	if n := strings.Count(err.Error(), ": write"); n != 14 {
		t.Errorf("%d names are refused, want 14:\n%v", n, err)
	}
}

func TestNewRefusesConflictingPaths(t *testing.T) {
	t.Parallel()
	nothing := bridge.HandlerFunc(func(context.Context, struct{}) (shoutResponse, error) { return shoutResponse{}, nil })
	c := loadContract(t, "      - path: /health\n        method: GET", "      - path: /a/{x}\n        method: GET\n      - path: /{y}/b\n        method: GET")
	p := append(shouter(shout).(routes), bridge.Unary("GET /a/{x}", nothing), bridge.Unary("GET /{y}/b", nothing))
	if _, err := bridge.New(c, p, nil); err == nil || !strings.Contains(err.Error(), "endpoint GET /") {
		t.Errorf("New = %v, want an error that names the endpoint", err)
	}
}

func TestParametersOfAMethodWithoutBody(t *testing.T) {
	t.Parallel()
	type lookup struct {
		ID   string   `json:"id"`
		Tags []string `json:"tag"`
	}
	find := bridge.HandlerFunc(func(_ context.Context, req lookup) (lookup, error) { return req, nil })
	c := loadContract(t, "      - path: /health\n        method: GET", "      - path: /things/{id}\n        method: GET")
	srv := serve(t, newBridge(t, c, append(shouter(shout).(routes), bridge.Unary("GET /things/{id}", find)), nil))

	got := get(t, srv, "/things/7?tag=a&tag=b")
	if diff := cmp.Diff(`{"id":"7","tag":["a","b"]}`, got.Body); diff != "" || got.Status != 200 {
		t.Errorf("GET /things/7?tag=a&tag=b = %d (-want +got):\n%s", got.Status, diff)
	}
}

// A body that is not UTF-8 is refused, and so is a URL.
func TestParametersThatAreNoText(t *testing.T) {
	t.Parallel()
	find := bridge.HandlerFunc(func(_ context.Context, req map[string]any) (map[string]any, error) { return req, nil })
	c := loadContract(t, "      - path: /health\n        method: GET", "      - path: /things/{id}\n        method: GET")
	srv := serve(t, newBridge(t, c, append(shouter(shout).(routes), bridge.Unary("GET /things/{id}", find)), nil))
	for query, want := range map[string]int{"%C3%A4?a=%C3%A4": 200, "%ff": 400, "7?a=%ff": 400, "7?%ff=a": 400} {
		if got := get(t, srv, "/things/"+query); got.Status != want {
			t.Errorf("GET /things/%s = %d %s, want %d", query, got.Status, got.Body, want)
		}
	}
}

// The input_schema of a method without a body says what the texts of a URL stand for, and is held against them.
func TestParametersByTheirSchema(t *testing.T) {
	t.Parallel()
	find := bridge.HandlerFunc(func(_ context.Context, req map[string]any) (map[string]any, error) { return req, nil })
	c := loadContract(t, "      - path: /health\n        method: GET", `      - path: /things/{id}
        method: GET
        input_schema:
          type: object
          required: [id, limit]
          additionalProperties: false
          properties:
            id: {type: integer}
            limit: {type: integer, maximum: 50}
            share: {type: [number, "null"]}
            all: {type: boolean}
            tag: {type: array, items: {type: string}}
            size: {type: array, items: {type: integer}}
            code: {type: [string, integer]}`)
	srv := serve(t, newBridge(t, c, append(shouter(shout).(routes), bridge.Unary("GET /things/{id}", find)), nil))
	for query, want := range map[string]string{
		"7?limit=5": `{"id":7,"limit":5}`,
		"7?limit=5&share=-1.5e3&all=true&tag=a&code=12": `{"all":true,"code":"12","id":7,"limit":5,"share":-1500,"tag":["a"]}`,
		"7?limit=5&size=1&size=2":                       `{"id":7,"limit":5,"size":[1,2]}`,
		"7?limit=5&id=8":                                `{"id":7,"limit":5}`,
		"x?limit=5":                                     "/id: ",
		"7":                                             "limit",
		"7?limit=51":                                    "/limit: ",
		"7?limit=5%20":                                  "/limit: ",
		"7?limit=":                                      "/limit: ",
		"7?limit=0x5":                                   "/limit: ",
		"7?limit=-":                                     "/limit: ",
		"7?limit=5&all=yes":                             "/all: ",
		"7?limit=5&size=1&size=a":                       "/size/1: ",
		"7?limit=5&limit=6":                             "/limit: ",
		"7?limit=5&colour=red":                          "colour",
	} {
		got := get(t, srv, "/things/"+query)
		if strings.HasPrefix(want, "{") {
			if got.Status != 200 || got.Body != want {
				t.Errorf("GET /things/%s = %d %s, want %s", query, got.Status, got.Body, want)
			}
			continue
		}
		if found := fmt.Sprint(got.problem(t).Errors); got.Status != 422 || !strings.Contains(found, want) {
			t.Errorf("GET /things/%s = %d %s, want 422 that says %s", query, got.Status, got.Body, want)
		}
	}
	for _, query := range []string{"7?limit=5;all=true", "7?limit=5&tag=%zz"} { // which net/url would pass over
		if got := get(t, srv, "/things/"+query); got.Status != 400 || got.problem(t).Code != "invalid_request" {
			t.Errorf("GET /things/%s = %d %s, want 400", query, got.Status, got.Body)
		}
	}
	if got := get(t, srv, "/things/7?limit=5").Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("what answers a GET may be cached: %q", got)
	}
	body := get(t, srv, "/openapi.json").Body
	for _, want := range []string{
		`{"in":"path","name":"id","required":true,"schema":{"type":"integer"}}`, `{"in":"query","name":"limit","required":true,"schema":{"maximum":50,"type":"integer"}}`,
		`{"in":"query","name":"tag","required":false,"schema":{"items":{"type":"string"},"type":"array"}}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/openapi.json lacks %s:\n%s", want, body)
		}
	}
}
