package caio_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const exampleContract = `
service:
  id: echo-001
  name: Echo
  version: 1.0.0
  capabilities:
    - type: echo
      accuracy: {min: 0.99}
  guarantees:
    latency:
      property: p95_latency_ms
      bound: {max: 50}
  api:
    protocol: http
    base_url: http://localhost:9000
    endpoints:
      - path: /echo
        method: POST
`

// startCAIO starts a registry in place of the CAIO at CAIO_URL.
func startCAIO() *httptest.Server {
	reg, err := registry.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	return httptest.NewServer(reg)
}

func ExampleClient_Register() {
	server := startCAIO()
	defer server.Close()

	ct, err := contract.Parse("echo.yaml", []byte(exampleContract))
	if err != nil {
		log.Fatal(err)
	}
	client, err := caio.NewClient(server.URL, &caio.Options{Token: caio.StaticToken(os.Getenv("CAIO_TOKEN"))})
	if err != nil {
		log.Fatal(err)
	}
	registration, err := client.Register(context.Background(), ct, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(registration.Message)
	// Output: Service echo-001 registered successfully
}

func ExampleClient_Route() {
	server := startCAIO()
	defer server.Close()
	ctx := context.Background()

	ct, err := contract.Parse("echo.yaml", []byte(exampleContract))
	if err != nil {
		log.Fatal(err)
	}
	client, err := caio.NewClient(server.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Register(ctx, ct, nil); err != nil {
		log.Fatal(err)
	}

	limit := 100.0
	decision, err := client.Route(ctx, caio.Request{
		Capabilities: []string{"echo"},
		Guarantees:   map[string]contract.Bound{"p95_latency_ms": {Max: &limit}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(decision.ServiceID, decision.Endpoints[0].Method, decision.BaseURL+decision.Endpoints[0].Path)
	// Output: echo-001 POST http://localhost:9000/echo
}

// Route finds the service, Call calls it.
func ExampleClient_Call() {
	server := startCAIO()
	defer server.Close()
	ctx := context.Background()

	// A service runs and is registered.
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}))
	defer service.Close()
	ct, err := contract.Parse("echo.yaml", []byte(exampleContract))
	if err != nil {
		log.Fatal(err)
	}
	if ct, err = ct.WithBaseURL(service.URL); err != nil {
		log.Fatal(err)
	}
	client, err := caio.NewClient(server.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Register(ctx, ct, nil); err != nil {
		log.Fatal(err)
	}

	decision, err := client.Route(ctx, caio.Request{Capabilities: []string{"echo"}})
	if err != nil {
		log.Fatal(err)
	}
	var answer struct{ Text string }
	if err := client.Call(ctx, decision, "POST /echo", map[string]string{"text": "hello"}, &answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Text)
	// Output: hello
}

// A service streams events while it works, then its result.
func ExampleClient_Stream() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "event: delta\ndata: {\"text\": \"hel\"}\n\n")
		io.WriteString(w, "event: delta\ndata: {\"text\": \"lo\"}\n\n")
		io.WriteString(w, "event: result\ndata: {\"text\": \"hello\"}\n\n")
	}))
	defer service.Close()
	client, err := caio.NewClient("http://localhost:8080", nil)
	if err != nil {
		log.Fatal(err)
	}

	// Route returns such a decision.
	decision := &caio.Decision{
		ServiceID: "echo-001",
		BaseURL:   service.URL,
		Endpoints: []caio.Endpoint{{Method: "POST", Path: "/echo"}},
	}
	request := map[string]string{"text": "hello"}
	for event, err := range client.Stream(context.Background(), decision, "POST /echo", request) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s\n", event.Name, event.Data)
	}
	// Output:
	// delta {"text": "hel"}
	// delta {"text": "lo"}
	// result {"text": "hello"}
}

func ExampleClient_Announce() {
	server := startCAIO()
	defer server.Close()

	ct, err := contract.Parse("echo.yaml", []byte(exampleContract))
	if err != nil {
		log.Fatal(err)
	}
	client, err := caio.NewClient(server.URL, nil)
	if err != nil {
		log.Fatal(err)
	}

	// The service stays registered, also across restarts of CAIO, until ctx ends.
	ctx, stop := context.WithCancel(context.Background())
	announced := make(chan error, 1)
	go func() { announced <- client.Announce(ctx, ct) }()

	stop() // at the end of the program
	fmt.Println(<-announced)
	// Output: <nil>
}
