package registry_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A registry is an http.Handler: serve it with http.ListenAndServe("127.0.0.1:8080", reg), or as here in a test.
func Example() {
	reg, err := registry.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(reg)
	defer server.Close()

	ct, err := contract.Parse("codex.yaml", []byte(codexContract))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	client, err := caio.NewClient(server.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Register(ctx, ct, nil); err != nil {
		log.Fatal(err)
	}
	services, err := client.Services(ctx, caio.Filter{Capability: "code_review"})
	if err != nil {
		log.Fatal(err)
	}
	for _, service := range services {
		fmt.Println(service.ID, service.Version, service.Capabilities)
	}
	// Output: codex-bridge-001 1.0.0 [code_generation code_review]
}
