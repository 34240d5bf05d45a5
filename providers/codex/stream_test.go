package codex_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

func sse(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, body)
	}
}

// events encodes each argument as an event without a name. Its data contains the type.
func events(list ...string) string {
	var b strings.Builder
	for _, data := range list {
		fmt.Fprintf(&b, "data: %s\n\n", strings.ReplaceAll(data, "\n", ""))
	}
	return b.String()
}

// named adds the type as the event's name. OpenAI sends it, some other servers do not.
func named(stream string) string {
	return regexp.MustCompile(`data: {"type":"([^"]+)"`).ReplaceAllString(stream, "event: $1\n$0")
}

func unnamed(stream string) string { return stream }

func textDelta(text string) string {
	quoted, _ := json.Marshal(text)
	return `{"type":"response.output_text.delta","output_index":1,"delta":` + string(quoted) + `}`
}

func TestStreamedTextsArriveByMember(t *testing.T) {
	t.Parallel()
	t.Run("named", func(t *testing.T) { t.Parallel(); testStreamedTexts(t, named) })
	t.Run("unnamed", func(t *testing.T) { t.Parallel(); testStreamedTexts(t, unnamed) })
}

func testStreamedTexts(t *testing.T, form func(string) string) {
	const text = `{"code":"a\nb","explanation":"e","language":"go"}`
	p, _ := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Stream bool }
		if json.NewDecoder(r.Body).Decode(&asked); !asked.Stream || r.Header.Get("Accept") != "text/event-stream" {
			t.Error("the request does not ask for a stream")
		}
		sse(form(": hello\n\n"+events(
			`{"type":"response.created","response":{"status":"in_progress"}}`,
			`{"type":"response.output_item.added","output_index":0,"item":{"type":"message","phase":"commentary"}}`,
			`{"type":"response.output_text.delta","output_index":0,"delta":"{\"code\":\"not this\"}"}`,
			`{"type":"response.reasoning_summary_text.delta","delta":{"surprising":"type"},"error":null}`,
			`{"type":"response.from_the_future","delta":7}`,
			textDelta(`{"code":"a\`), textDelta(`nb","expl`), textDelta(`anation":"e","language":"go"}`),
			`{"type":"response.completed","response":`+completed(text)+`}`,
			`[DONE]`)))(w, r)
	})
	deltas, a, err := stream(t, p)
	if err != nil {
		t.Fatal(err)
	}
	want := []codex.Delta{{Field: "code", Text: "a"}, {Field: "code", Text: "\nb"}, {Field: "explanation", Text: "e"},
		{Field: "language", Text: "go"}}
	if diff := cmp.Diff(want, deltas); diff != "" {
		t.Errorf("deltas (-want +got):\n%s", diff)
	}
	got, err := codex.Generation{}.TransformResponse(codex.GenerateRequest{}, a)
	if err != nil || got.Code != "a\nb" || got.Usage == nil {
		t.Errorf("result = %+v, %v", got, err)
	}
}

// The end of a stream alone is not a success.
func TestStreamsThatFail(t *testing.T) {
	t.Parallel()
	start := events(`{"type":"response.created"}`, textDelta(`{"code":"a`))
	for _, test := range []struct{ name, body, code, detail string }{
		{"flat error", start + events(`{"type":"error","code":"server_error","message":"m","param":null}`),
			bridge.CodeUpstreamFailed, "failed"},
		{"nested error", start + events(`{"type":"error","error":{"code":"rate_limit_exceeded","message":"m"}}`),
			bridge.CodeRateLimited, "no more calls"},
		{"failed", start + events(`{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error"}}}`), bridge.CodeUpstreamFailed, "failed"},
		{"just ends", start, bridge.CodeUpstreamFailed, "broke off"},
		{"last event without its blank line", start + `data: {"type":"response.completed"}`, bridge.CodeUpstreamFailed,
			"broke off"},
		{"nothing", "", bridge.CodeUpstreamFailed, "broke off"},
		{"completed without a response", start + events(`{"type":"response.completed"}`), bridge.CodeInvalidResponse,
			"not a response"},
		{"without end", strings.Repeat("data: "+strings.Repeat("x", 1<<20)+"\n", 17), bridge.CodeInvalidResponse,
			"not a response"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, body := range []string{test.body, named(test.body)} {
				p, _ := newProvider(t, sse(body))
				_, _, err := stream(t, p)
				wantError(t, err, test.code, 0, test.detail)
			}
		})
	}
}

func TestStreamCutByTheNetwork(t *testing.T) {
	t.Parallel()
	p, _ := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		sse(events(textDelta(`{"code":"a`)))(w, r)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	deltas, _, err := stream(t, p)
	wantError(t, err, bridge.CodeUpstreamFailed, 0, "broke off")
	if len(deltas) != 1 {
		t.Errorf("%d deltas before the cut, want 1", len(deltas))
	}
}

func TestIncompleteStreamTellsWhy(t *testing.T) {
	t.Parallel()
	p, _ := newProvider(t, sse(events(textDelta(`{"code":"a`),
		`{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}`)))
	_, a, err := stream(t, p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = codex.Generation{}.TransformResponse(codex.GenerateRequest{}, a)
	wantError(t, err, "output_incomplete", 422, "max_tokens")
}

// Servers without streaming send a plain response to a request for a stream.
func TestStreamAnsweredInOnePiece(t *testing.T) {
	t.Parallel()
	p, _ := newProvider(t, writeJSON(200, completed("x")))
	deltas, a, err := stream(t, p)
	if err != nil || a.Status != "completed" || len(deltas) != 0 {
		t.Errorf("answer = %+v, deltas %v, error %v", a, deltas, err)
	}
}

func TestStreamStopsWhenTheCallerIsGone(t *testing.T) {
	t.Parallel()
	p, _ := newProvider(t, sse(events(textDelta(`{"code":"a`), textDelta("b"))))
	gone := errors.New("gone")
	asked, _ := codex.Generation{}.TransformRequest(codex.GenerateRequest{Prompt: "p"})
	calls := 0
	_, err := p.Stream(t.Context(), asked, func(codex.Delta) error { calls++; return gone })
	if !errors.Is(err, gone) || calls != 1 {
		t.Errorf("error = %v after %d deltas, want the caller's after 1", err, calls)
	}
}

// Without connection reuse, each call would need a handshake.
func TestStreamsShareAConnection(t *testing.T) {
	t.Parallel()
	p, _ := newProvider(t, sse(events(`{"type":"response.completed","response":`+completed("x")+`}`)))
	asked, _ := codex.Generation{}.TransformRequest(codex.GenerateRequest{Prompt: "p"})
	for i := range 3 {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			if i > 0 && !info.Reused {
				t.Errorf("call %d opened a connection of its own", i)
			}
		}})
		if _, err := p.Stream(ctx, asked, func(codex.Delta) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// The terminal event completes the response. The client closes the connection of a server that goes
// on.
func TestStreamsThatGoOnAfterTheirEnd(t *testing.T) {
	t.Parallel()
	for name, goOn := range map[string]func(http.ResponseWriter, *http.Request){
		"silent":   func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"chatting": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, ": still here\n\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := make(chan struct{})
			p, _ := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				sse(events(`{"type":"response.completed","response":`+completed(`{}`)+`}`))(w, r)
				for w.(http.Flusher).Flush(); r.Context().Err() == nil; w.(http.Flusher).Flush() {
					goOn(w, r)
				}
				close(left)
			})
			if _, a, err := stream(t, p); err != nil || a.Model != "gpt-x" {
				t.Errorf("answer = %+v, %v", a, err)
			}
			<-left
		})
	}
}
