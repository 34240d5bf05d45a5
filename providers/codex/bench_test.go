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

// generateCall returns a function that makes a whole call of POST /generate but for the network: what the bridge, this
// package and the SDK do.
func generateCall(t testing.TB) func() {
	p, err := codex.New(&codex.Options{APIKey: "sk-bench", HTTPClient: &http.Client{Transport: cannedAnswer{}}})
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

// A call makes 250 allocations, 110 of them the SDK's and net/http's. Twice as many would mean that something on its way
// is done again, or by reflection.
func TestGenerateAllocatesLittle(t *testing.T) {
	if n := testing.AllocsPerRun(100, generateCall(t)); n > 350 {
		t.Errorf("a call makes %.0f allocations, want 350 at most: BenchmarkGenerate with -memprofile says where", n)
	}
}

// cannedAnswer answers with one response object.
type cannedAnswer struct{}

func (cannedAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	req.Body.Close()
	return &http.Response{
		StatusCode: http.StatusOK, Request: req, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(cannedBody)), Body: io.NopCloser(strings.NewReader(cannedBody)),
	}, nil
}

const cannedBody = `{"id":"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41","object":"response","created_at":1741476777,"status":"completed","background":false,` +
	`"error":null,"incomplete_details":null,"model":"gpt-6.1-sol","output":[{"type":"reasoning","id":"rs_67ccd3ab1b3c8190a1f2","summary":[]},` +
	`{"type":"message","id":"msg_67ccd3acc8d48190a77525dc6de64b41","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],` +
	`"text":"{\"language\":\"go\",\"code\":\"// String returns the name of the color.\\nfunc (c Color) String() string {\\n\\tif c == Red {\\n\\t\\treturn \\\"red\\\"\\n\\t}\\n\\treturn fmt.Sprintf(\\\"Color(%d)\\\", int(c))\\n}\\n\",\"explanation\":\"Adds a String method, which package fmt uses.\"}"}]}],` +
	`"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":"low","summary":null},"store":false,"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},` +
	`"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":{"input_tokens":328,"input_tokens_details":{"cached_tokens":0},"output_tokens":152,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":480},"user":null,"metadata":{}}`
