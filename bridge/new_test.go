package bridge_test

import (
	"context"
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
