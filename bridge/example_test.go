package bridge_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing/fstest"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A contract and its schemas usually lie beside the provider's code, in an embed.FS.
var translatorFiles = fstest.MapFS{
	"contract.yaml": {Data: []byte(`
service:
  id: translator-001
  name: Translator
  version: 1.0.0
  capabilities:
    - type: translation
  constraints:
    max_concurrent_requests: 4
  api:
    protocol: http
    base_url: http://localhost:8090
    endpoints:
      - path: /translate
        method: POST
        input_schema: schemas/request.json
        output_schema: schemas/response.json
`)},
	"schemas/request.json": {Data: []byte(`{
		"type": "object",
		"properties": {"text": {"type": "string", "minLength": 1}, "to": {"enum": ["de", "fr"]}},
		"required": ["text", "to"],
		"additionalProperties": false
	}`)},
	"schemas/response.json": {Data: []byte(`{
		"type": "object",
		"properties": {"text": {"type": "string"}},
		"required": ["text"]
	}`)},
}

// What callers send and get: the JSON of the contract's schemas.
type translateRequest struct {
	Text string `json:"text"`
	To   string `json:"to"`
}

type translateResponse struct {
	Text string `json:"text"`
}

// translator is the provider: it wraps a dictionary.
type translator struct{ dictionary map[string]string }

func (t translator) Routes() []bridge.Route {
	return []bridge.Route{
		bridge.Unary("POST /translate", bridge.HandlerFunc(t.translate), bridge.Serves("translation")),
	}
}

func (t translator) translate(_ context.Context, req translateRequest) (translateResponse, error) {
	text, ok := t.dictionary[req.To+" "+strings.ToLower(req.Text)]
	if !ok {
		return translateResponse{}, &bridge.Error{
			Code:   "unknown_phrase",
			Status: http.StatusUnprocessableEntity,
			Detail: "There is no translation of this phrase. Try a shorter one.",
		}
	}
	return translateResponse{Text: text}, nil
}

func Example() {
	c, err := contract.Load(translatorFiles, "contract.yaml")
	if err != nil {
		log.Fatal(err)
	}
	b, err := bridge.New(c, translator{map[string]string{"de good morning": "Guten Morgen"}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewServer(b) // in a program: b.Run(ctx, "127.0.0.1:8090")
	defer srv.Close()

	for _, body := range []string{`{"text": "Good morning", "to": "de"}`, `{"text": "Good morning", "to": "xx"}`} {
		res, err := http.Post(srv.URL+"/translate", "application/json", strings.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		answer, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		if res.StatusCode == http.StatusOK {
			fmt.Println(string(answer))
		} else {
			fmt.Println(res.Status)
		}
	}
	// Output:
	// {"text":"Guten Morgen"}
	// 422 Unprocessable Entity
}

// A further handler is mounted behind the bridge's own checks. Its requests are authenticated, and the
// bridge waits for them when it stops.
func ExampleOptions_handlers() {
	c, err := contract.Load(translatorFiles, "contract.yaml")
	if err != nil {
		log.Fatal(err)
	}
	dictionary := map[string]string{"de good morning": "Guten Morgen"}
	b, err := bridge.New(c, translator{dictionary}, &bridge.Options{
		Authenticate: bridge.BearerTokens(map[string]string{"ann": "token-of-ann"}),
		Handlers: map[string]http.Handler{
			"GET /phrases": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%s may use %d phrases", bridge.Principal(r.Context()), len(dictionary))
			}),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()

	for _, token := range []string{"token-of-ann", "guessed"} {
		req := httptest.NewRequest(http.MethodGet, "/phrases", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		b.ServeHTTP(w, req)
		fmt.Println(w.Code, w.Header().Get("Content-Type"))
		if w.Code == http.StatusOK {
			fmt.Println(w.Body)
		}
	}
	// Output:
	// 200 text/plain; charset=utf-8
	// ann may use 1 phrases
	// 401 application/problem+json
}

// A bridge can be a part of another server: its handler, its mux, its lifecycle. That server decides the
// end, and closes the bridge after itself.
func ExampleBridge_ServeHTTP() {
	c, err := contract.Load(translatorFiles, "contract.yaml")
	if err != nil {
		log.Fatal(err)
	}
	b, err := bridge.New(c, translator{map[string]string{"de good morning": "Guten Morgen"}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", b)
	mux.HandleFunc("GET /about", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a page of the server") })
	srv := httptest.NewServer(mux) // in a program: an http.Server
	for _, path := range []string{"/about", "/readyz"} {
		res, err := http.Get(srv.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(string(body), err)
	}
	srv.Close() // first the server, so that no request is left
	fmt.Println(b.Close())
	// Output:
	// a page of the server <nil>
	// {"status":"ok"} <nil>
	// <nil>
}

func ExampleTransform() {
	provider := routes{
		bridge.Unary("POST /shout", bridge.Transform(shoutIn{}, bridge.HandlerFunc(callShouter), shoutOut{}), bridge.Serves("shouting")),
	}
	fmt.Println(len(provider.Routes()), "route")
	// Output: 1 route
}

func callShouter(_ context.Context, text string) (string, error) { return strings.ToUpper(text), nil }
