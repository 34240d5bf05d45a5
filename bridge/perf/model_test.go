//go:build unix

package perf_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// A generateRequest is a call of POST /generate, of about 400 bytes.
type generateRequest struct {
	Prompt  string `json:"prompt"`
	Context struct {
		Language string `json:"language"`
		Files    []file `json:"files"`
	} `json:"context"`
	MaxTokens int `json:"max_tokens"`
}

type file struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

const (
	events    = 100 // of one stream
	eventPace = 10 * time.Millisecond
	slowPace  = 300 * time.Millisecond // for prompts that say slowly
	slowly    = "slowly"
)

// serveModel is the Responses API of a server that knows one answer, without taking time for it.
func serveModel(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return
	case !bytes.Contains(body, []byte(`"stream":true`)):
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, modelAnswer)
	case bytes.Contains(body, []byte(slowly)):
		streamModel(w, r, slowPace)
	default:
		streamModel(w, r, eventPace)
	}
}

// streamModel sends code that consists of times: each event says when it was sent.
func streamModel(w http.ResponseWriter, r *http.Request, pace time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	number := 0
	send := func(event, members string) {
		fmt.Fprintf(w, "event: %s\ndata: {\"type\":%q,\"sequence_number\":%d,%s}\n\n", event, event, number, members)
		w.(http.Flusher).Flush()
		number++
	}
	delta := func(text string) {
		send("response.output_text.delta", fmt.Sprintf(`"item_id":"msg_67ccd3acc8d48190a77525dc6de64b4104becb25c45c1d41","output_index":0,"content_index":0,"delta":%q,"logprobs":[],"obfuscation":"aPXbqKr3"`, text))
	}
	send("response.created", `"response":`+modelAnswer)
	delta(`{"language":"go","explanation":"times","code":"`)
	time.Sleep(rand.N(pace)) // so that streams do not send in step
	ticks := time.NewTicker(pace)
	defer ticks.Stop()
	for range events {
		select {
		case <-ticks.C:
			delta(stamp(time.Now()))
		case <-r.Context().Done():
			return
		}
	}
	delta(`"}`)
	send("response.completed", `"response":`+modelAnswer)
}

// A stamp is a time as text, which passes through a bridge unchanged.
const stampMark = "sent at "

func stamp(t time.Time) string { return fmt.Sprintf("%s%019d; ", stampMark, t.UnixNano()) }

const modelAnswer = `{"id":"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41","object":"response","created_at":1741476777,"status":"completed","background":false,` +
	`"error":null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"model":"gpt-6.1-sol","output":[` +
	`{"type":"reasoning","id":"rs_67ccd3ab1b3c8190a1f2","summary":[]},` +
	`{"type":"message","id":"msg_67ccd3acc8d48190a77525dc6de64b4104becb25c45c1d41","status":"completed","role":"assistant","content":[` +
	`{"type":"output_text","annotations":[],"logprobs":[],"text":"{\"language\":\"go\",\"code\":\"package color\\n\\nimport \\\"fmt\\\"\\n\\n// String returns the name of the color.\\nfunc (c Color) String() string {\\n\\tswitch c {\\n\\tcase Red:\\n\\t\\treturn \\\"red\\\"\\n\\tcase Green:\\n\\t\\treturn \\\"green\\\"\\n\\t}\\n\\treturn fmt.Sprintf(\\\"Color(%d)\\\", int(c))\\n}\\n\",\"explanation\":\"Adds a String method, which package fmt uses for printing; unknown colors show their number.\"}"}]}],` +
	`"parallel_tool_calls":true,"previous_response_id":null,"prompt_cache_key":null,"reasoning":{"effort":"low","summary":null},"safety_identifier":null,"service_tier":"default","store":false,` +
	`"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled",` +
	`"usage":{"input_tokens":328,"input_tokens_details":{"cached_tokens":0},"output_tokens":152,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":480},"user":null,"metadata":{}}`
