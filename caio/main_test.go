package caio_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newContract returns a contract for code generation.
func newContract(t testing.TB, id, version string) *contract.Contract {
	t.Helper()
	ct, err := contract.Parse(id+".yaml", fmt.Appendf(nil, `
service:
  id: %s
  name: Service %[1]s
  version: %s
  capabilities:
    - type: code_generation
      accuracy: {min: 0.85, target: 0.95}
    - type: code_review
  guarantees:
    latency:
      property: p95_latency_ms
      bound: {max: 5000}
  api:
    protocol: http
    base_url: http://localhost:8082
    endpoints:
      - path: /generate
        method: POST
        input_schema: schemas/generate_request.json
      - path: /health
        method: GET
`, id, version))
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

// newClient returns a client of the handler on a server of its own. opts may be nil.
func newClient(t testing.TB, handler http.Handler, opts *caio.Options) *caio.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	o := *cmp.Or(opts, &caio.Options{})
	if o.HTTPClient == nil {
		o.HTTPClient = server.Client()
	}
	client, err := caio.NewClient(server.URL, &o)
	if err != nil {
		t.Fatalf("caio.NewClient: %v", err)
	}
	return client
}
