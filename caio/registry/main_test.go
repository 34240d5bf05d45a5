package registry_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestMain(m *testing.M) {
	if os.Getenv(serveMarket) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := serveUntilEOF(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// codexContract is the contract that CAIO's integration plan registers, shortened.
const codexContract = `service:
  id: codex-bridge-001
  name: Codex Bridge Service
  version: 1.0.0
  capabilities:
    - type: code_generation
      accuracy: {min: 0.85, target: 0.95}
    - type: code_review
      accuracy: {min: 0.80, target: 0.90}
  guarantees:
    latency:
      property: p95_latency_ms
      bound: {max: 5000}
  constraints:
    requires_internet: true
    requires_gpu: false
  api:
    protocol: http
    base_url: http://localhost:8082
    endpoints:
      - path: /generate
        method: POST
        input_schema: schemas/codex_generate_request.json
        output_schema: schemas/codex_generate_response.json
      - path: /health
        method: GET
`

func codexJSON(t testing.TB) string {
	t.Helper()
	data, err := json.Marshal(parse(t, codexContract))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func parse(t testing.TB, text string) *contract.Contract {
	t.Helper()
	ct, err := contract.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatalf("contract.Parse: %v", err)
	}
	return ct
}

func newRegistry(t testing.TB, opts *registry.Options) *registry.Registry {
	t.Helper()
	r, err := registry.New(opts)
	if err != nil {
		t.Fatalf("registry.New: %v", err)
	}
	return r
}

// An exchange is one request, and what came back.
type exchange struct {
	method, path, contentType, body string
	header                          map[string]string
}

// send returns status and decoded body, and fails the test if the answer is not JSON.
func (e exchange) send(t testing.TB, handler http.Handler) (int, map[string]any) {
	t.Helper()
	request := httptest.NewRequest(e.method, "http://localhost:8080"+e.path, strings.NewReader(e.body))
	if e.contentType != "" {
		request.Header.Set("Content-Type", e.contentType)
	}
	for name, value := range e.header {
		if name == "Host" {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	response := recorder.Result()
	body, _ := io.ReadAll(response.Body)
	var decoded map[string]any
	if err := json.Unmarshal(body, &decoded); err != nil || response.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s %s answered %d %s, which is not JSON: %q", e.method, e.path, response.StatusCode, response.Header.Get("Content-Type"), body)
	}
	return response.StatusCode, decoded
}

// refusal returns code and message of an error envelope.
func refusal(body map[string]any) (code, message string) {
	inner, _ := body["error"].(map[string]any)
	if _, ok := inner["details"].(map[string]any); !ok {
		return "no details in the envelope", fmt.Sprint(body)
	}
	code, _ = inner["code"].(string)
	message, _ = inner["message"].(string)
	return code, message
}

const asJSON = "application/json"
