package caio_test

import (
	"cmp"
	"fmt"
	"io"
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

// newClient returns a client of a server that runs the handler. opts may be nil.
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

// answering returns a handler with one fixed answer.
func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// inMemory is a transport that calls a handler without a network, so tests can simulate time.
type inMemory struct{ handler http.Handler }

func (t inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	recorder := httptest.NewRecorder()
	t.handler.ServeHTTP(recorder, r)
	if err := r.Context().Err(); err != nil { // the client gave up meanwhile
		return nil, err
	}
	return recorder.Result(), nil
}

func newInMemoryClient(t testing.TB, handler http.Handler, opts caio.Options) *caio.Client {
	t.Helper()
	opts.HTTPClient = &http.Client{Transport: inMemory{handler}}
	client, err := caio.NewClient("http://localhost:8080", &opts)
	if err != nil {
		t.Fatal(err)
	}
	return client
}
