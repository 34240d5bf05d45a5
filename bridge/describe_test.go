package bridge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestContractIsServed(t *testing.T) {
	t.Parallel()
	c := loadContract(t)
	srv := serve(t, newBridge(t, c, shouter(shout), nil))
	for accept, mediaType := range map[string]string{
		"": "application/json", "*/*": "application/json", "application/yaml": "application/yaml", "text/yaml, */*": "application/yaml",
		"application/json, application/yaml;q=0.5": "application/json", "application/yaml;q=0, */*": "application/json", "application/json;q=0.1, application/yaml": "application/yaml",
	} {
		got := get(t, srv, "/contract", "Accept", accept)
		if again := get(t, srv, "/contract", "Accept", accept, "If-None-Match", `"other", W/`+got.Header.Get("ETag")); again.Status != 304 || again.Body != "" || again.Header.Get("ETag") != got.Header.Get("ETag") {
			t.Errorf("asked again, /contract with Accept: %s = %d %v %s, want 304", accept, again.Status, again.Header, again.Body)
		}
		served, err := contract.Parse("served", []byte(got.Body))
		if err != nil || got.Header.Get("Content-Type") != mediaType || !served.Equal(c) {
			t.Errorf("GET /contract with Accept: %s = %s, %v:\n%s", accept, got.Header.Get("Content-Type"), err, got.Body)
		}
	}
}

// An ETag stands for one document: neither its other form nor another version of the contract is taken for it.
func TestChangedContractIsServedAnew(t *testing.T) {
	t.Parallel()
	b := newBridge(t, loadContract(t), shouter(shout), nil)
	srv := serve(t, b)
	tag := get(t, srv, "/contract").Header.Get("ETag")
	if got := get(t, srv, "/contract", "Accept", "application/yaml", "If-None-Match", tag); got.Status != 200 {
		t.Errorf("the contract in YAML = %d for the ETag of the one in JSON", got.Status)
	}
	if err := b.Reload(loadContract(t, "1.2.0", "1.2.1"), nil); err != nil {
		t.Fatal(err)
	}
	if got := get(t, srv, "/contract", "If-None-Match", tag); got.Status != 200 || !strings.Contains(got.Body, "1.2.1") {
		t.Errorf("after a reload /contract = %d %s", got.Status, got.Body)
	}
}

// "*" stands for whatever there is (RFC 9110 section 13.1.2).
func TestContractThatIsKnownAnyway(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	if got := get(t, srv, "/contract", "If-None-Match", "*"); got.Status != 304 {
		t.Errorf("/contract = %d", got.Status)
	}
}

// The contract was shown with another port than the one that is listened at, and announced.
func TestContractIsServedWithItsPort(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBridge(t, loadContract(t), shouter(shout), nil)
	serveOn(t, b, ln)
	at := "http://" + ln.Addr().String()
	want := fmt.Sprintf(`"base_url":"http://localhost:%d"`, ln.Addr().(*net.TCPAddr).Port)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 2 {
		if got := send(t, client, newRequest(t, "GET", at+"/contract", "")); !strings.Contains(got.Body, want) {
			t.Errorf("/contract has no %s: %s", want, got.Body)
		}
		if err := b.Reload(loadContract(t, "1.2.0", "1.2.1"), nil); err != nil {
			t.Error(err)
		}
	}
}

// Who reads the contract there learns where callers reach the bridge; an address that the contract cannot have stops New.
func TestContractIsServedWithItsAddress(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{BaseURL: "https://shout.example.com"}))
	for _, accept := range []string{"application/json", "application/yaml"} {
		if got := get(t, srv, "/contract", "Accept", accept); !strings.Contains(got.Body, "https://shout.example.com") {
			t.Errorf("/contract in %s = %s", accept, got.Body)
		}
	}
	_, err := bridge.New(loadContract(t), shouter(shout), &bridge.Options{BaseURL: "shout.example.com"})
	if err == nil || !strings.Contains(err.Error(), "Options.BaseURL") || !strings.Contains(err.Error(), "shout.example.com") {
		t.Errorf("New with a base URL that is none = %v", err)
	}
}

func TestDescriptionsAreForWhomMayCall(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Authenticate: bridge.BearerTokens(map[string]string{"caio": "t0ken"})}))
	for _, path := range []string{"/contract", "/openapi.json"} {
		if got := get(t, srv, path); got.Status != 401 {
			t.Errorf("GET %s without a token = %d", path, got.Status)
		}
		if got := get(t, srv, path, "Authorization", "Bearer t0ken"); got.Status != 200 {
			t.Errorf("GET %s with a token = %d", path, got.Status)
		}
	}
}

// A provider may answer with statuses of its own.
func TestOpenAPIOfOtherErrors(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Content map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(get(t, srv, "/openapi.json").Body), &doc); err != nil {
		t.Fatal(err)
	}
	if other := doc.Paths["/shout"]["post"].Responses["default"]; other.Content["application/problem+json"] == nil {
		t.Errorf("other answers are %+v", other)
	}
}

// References of a schema are relative to its own root; in the OpenAPI document they must be relative to that one's, and
// data that looks like a reference must stay as it is.
func TestOpenAPIMovesReferences(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"contract.yaml":         {Data: []byte(shouterContract)},
		"schemas/request.json":  {Data: []byte(`{"$ref": "#/$defs/request", "$defs": {"request": {"type": "object", "properties": {"text": {"type": "string"}, "$ref": {"type": "string"}, "then": {"$ref": "#"}}}}, "examples": [{"$ref": "#/data"}]}`)},
		"schemas/response.json": {Data: []byte(shouterResponse)},
	}
	c, err := contract.Load(fsys, "contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := get(t, serve(t, newBridge(t, c, shouter(shout), nil)), "/openapi.json")
	var doc struct {
		Components struct{ Schemas map[string]any }
		Paths      map[string]map[string]struct {
			OperationID string
			RequestBody struct {
				Content map[string]struct{ Schema map[string]string }
			}
			Responses map[string]struct{ Content map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(got.Body), &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"$ref": "#/components/schemas/ShoutRequest/$defs/request",
		"$defs": map[string]any{"request": map[string]any{"type": "object", "properties": map[string]any{
			"text": map[string]any{"type": "string"}, "$ref": map[string]any{"type": "string"}, "then": map[string]any{"$ref": "#/components/schemas/ShoutRequest"},
		}}},
		"examples": []any{map[string]any{"$ref": "#/data"}},
	}
	if diff := cmp.Diff(want, doc.Components.Schemas["ShoutRequest"]); diff != "" {
		t.Errorf("ShoutRequest (-want +got):\n%s", diff)
	}
	operation := doc.Paths["/shout"]["post"]
	if ref := operation.RequestBody.Content["application/json"].Schema["$ref"]; operation.OperationID != "shout" || ref != "#/components/schemas/ShoutRequest" {
		t.Errorf("POST /shout is %q and takes %q", operation.OperationID, ref)
	}
	if operation.Responses["200"].Content["text/event-stream"] == nil || operation.Responses["429"].Content["application/problem+json"] == nil {
		t.Errorf("streams or problems are missing: %v", operation.Responses)
	}
}

func TestOpenAPIOfParameters(t *testing.T) {
	t.Parallel()
	find := bridge.HandlerFunc(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	c := loadContract(t, "      - path: /health\n        method: GET", "      - path: /things/{id}\n        method: GET\n      - path: /things/{id}\n        method: DELETE")
	srv := serve(t, newBridge(t, c, append(shouter(shout).(routes), bridge.Unary("GET /things/{id}", find), bridge.Unary("DELETE /things/{id}", find)), nil))
	body := get(t, srv, "/openapi.json").Body
	for _, want := range []string{`"operationId":"thingsId"`, `"operationId":"thingsIdDelete"`, `{"in":"path","name":"id","required":true,"schema":{"type":"string"}}`} {
		if !strings.Contains(body, want) {
			t.Errorf("/openapi.json lacks %s:\n%s", want, body)
		}
	}
}
