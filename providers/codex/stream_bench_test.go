package codex_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// What an event of a stream costs on its way from the model to the caller, but for the network.
func BenchmarkEvent(b *testing.B) {
	const events = 1000
	delta := func(text string) string {
		return "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":17,\"item_id\":\"msg_67ccd3acc8d48190a77525dc6de64b41\",\"output_index\":0," +
			"\"content_index\":0,\"delta\":\"" + text + "\",\"logprobs\":[],\"obfuscation\":\"aPXbqKr3\"}\n\n"
	}
	body := delta(`{\"language\":\"go\",\"explanation\":\"\",\"code\":\"`) + strings.Repeat(delta(" return color.String()"), events) + delta(`\"}`) +
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":" + cannedBody + "}\n\n"
	transport := roundTripper(func(req *http.Request) (*http.Response, error) {
		req.Body.Close()
		return &http.Response{StatusCode: http.StatusOK, Request: req, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	})
	p, err := codex.New(&codex.Options{APIKey: "sk-bench", HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		b.Fatal(err)
	}
	c, err := codex.Contract()
	if err != nil {
		b.Fatal(err)
	}
	c.Constraints.RateLimit.PerMinute, c.Constraints.RateLimit.PerHour = 1e8, 1e8
	srv, err := bridge.New(c, p, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%events != 0 {
			continue // the call before had that many
		}
		req := httptest.NewRequest("POST", "/generate", strings.NewReader(`{"prompt":"Add a String method."}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "text/event-stream")
		w := httptest.NewRecorder()
		if srv.ServeHTTP(w, req); strings.Count(w.Body.String(), "event: delta") < events {
			b.Fatal(w.Code, w.Body)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
