package codex_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// Bridge a local model. For OpenAI, set APIKey instead of BaseURL and Model.
func Example() {
	model := startModel()
	defer model.Close()

	contract, err := codex.Contract()
	if err != nil {
		log.Fatal(err)
	}
	provider, err := codex.New(&codex.Options{BaseURL: model.URL + "/v1", Model: "qwen3-coder"})
	if err != nil {
		log.Fatal(err)
	}
	defer provider.Close()
	b, err := bridge.New(contract, provider, nil)
	if err != nil {
		log.Fatal(err)
	}

	// In your main: b.Run(ctx, "127.0.0.1:8082")
	server := httptest.NewServer(b)
	defer server.Close()
	res, err := http.Post(server.URL+"/review", "application/json", strings.NewReader(`{"code": "a / b"}`))
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(res.StatusCode, strings.Contains(string(body), `"verdict":"incorrect"`))
	// Output: 200 true
}

// startModel starts a fake server with the Responses API.
func startModel() *httptest.Server {
	return httptest.NewServer(writeJSON(200, completed(`{
		"findings": [{"title": "b may be 0", "body": "", "confidence_score": 0.9, "priority": 1, "code_location": {"file": "", "line_range": {"start": 1, "end": 1}}}],
		"overall_correctness": "patch is incorrect", "overall_explanation": "", "overall_confidence_score": 0.9}`)))
}
