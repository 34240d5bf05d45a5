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

// newBenchBridge returns a bridge with the transport as its model, so that benchmarks measure the
// bridge and this package, without a network.
func newBenchBridge(t testing.TB, model http.RoundTripper) *bridge.Bridge {
	p, err := codex.New(&codex.Options{APIKey: "sk-bench", HTTPClient: &http.Client{Transport: model}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := codex.Contract()
	if err != nil {
		t.Fatal(err)
	}
	c.Constraints.RateLimit.PerMinute, c.Constraints.RateLimit.PerHour = 1e8, 1e8
	srv, err := bridge.New(c, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv
}

// generateCall returns a function that calls POST /generate.
func generateCall(t testing.TB) func() {
	srv := newBenchBridge(t, cannedTransport{"application/json", cannedBody})
	const body = `{"prompt":"Add a String method to the type Color.","context":{"language":"go","files":[{"path":"color.go","content":"package color\n\ntype Color int\n"}]},"max_tokens":512}`
	return func() {
		req := httptest.NewRequest("POST", "/generate", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			t.Fatal(w.Code, w.Body)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	call := generateCall(b)
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}

// TestGenerateAllocatesLittle limits the allocations of a call, about 120. Many more point to
// repeated work or reflection.
func TestGenerateAllocatesLittle(t *testing.T) {
	if n := testing.AllocsPerRun(100, generateCall(t)); n > 170 {
		t.Errorf("a call makes %.0f allocations, want at most 170: find them with BenchmarkGenerate and -memprofile", n)
	}
}

// BenchmarkEvent measures the cost of a stream's event, from the model to the caller.
func BenchmarkEvent(b *testing.B) {
	const events = 1000
	delta := func(text string) string {
		return "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":17,\"item_id\":\"msg_67ccd3acc8d48190a77525dc6de64b41\",\"output_index\":0," +
			"\"content_index\":0,\"delta\":\"" + text + "\",\"logprobs\":[],\"obfuscation\":\"aPXbqKr3\"}\n\n"
	}
	srv := newBenchBridge(b, cannedTransport{"text/event-stream",
		delta(`{\"language\":\"go\",\"explanation\":\"\",\"code\":\"`) +
			strings.Repeat(delta(" return color.String()"), events) + delta(`\"}`) +
			"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":" + cannedBody + "}\n\n"})
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%events != 0 {
			continue // the previous call had this many events
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

// A cannedTransport returns the same response for every request.
type cannedTransport struct{ mediaType, body string }

func (a cannedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req.Body.Close()
	return &http.Response{
		StatusCode: http.StatusOK, Request: req, Header: http.Header{"Content-Type": {a.mediaType}},
		ContentLength: int64(len(a.body)), Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

const cannedBody = `{"id":"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41","object":"response","created_at":1741476777,"status":"completed","background":false,` +
	`"error":null,"incomplete_details":null,"model":"gpt-6.1-sol","output":[{"type":"reasoning","id":"rs_67ccd3ab1b3c8190a1f2","summary":[]},` +
	`{"type":"message","id":"msg_67ccd3acc8d48190a77525dc6de64b41","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],` +
	`"text":"{\"language\":\"go\",\"code\":\"// String returns the name of the color.\\nfunc (c Color) String() string {\\n\\tif c == Red {\\n\\t\\treturn \\\"red\\\"\\n\\t}\\n\\treturn fmt.Sprintf(\\\"Color(%d)\\\", int(c))\\n}\\n\",\"explanation\":\"Adds a String method, which package fmt uses.\"}"}]}],` +
	`"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":"low","summary":null},"store":false,"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},` +
	`"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":{"input_tokens":328,"input_tokens_details":{"cached_tokens":0},"output_tokens":152,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":480},"user":null,"metadata":{}}`
