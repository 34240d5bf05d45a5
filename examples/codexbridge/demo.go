package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

// demoModel is the name under which the demo answers, in every answer.
const demoModel = "offline-demo"

const demoNotice = "This is the offline demo model: no AI was asked. " +
	"Set OPENAI_API_KEY, or OPENAI_BASE_URL for another server of the Responses API, and start the bridge again."

// newDemo returns a stand-in for OpenAI, so that the whole path can be tried without a key: it answers POST /v1/responses,
// in one piece and as a stream, as far as the bridge uses it. It does not understand what it is asked: it writes a skeleton
// and checks lines.
func newDemo() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/responses", serveDemo)
	return mux
}

// A demoRequest is what the demo reads of a request to the Responses API.
type demoRequest struct {
	Instructions string `json:"instructions"`
	Input        string `json:"input"`
	Stream       bool   `json:"stream"`
	Text         struct {
		Format struct {
			Name string `json:"name"`
		} `json:"format"`
	} `json:"text"`
}

func serveDemo(w http.ResponseWriter, r *http.Request) {
	var req demoRequest
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	if err == nil {
		err = json.Unmarshal(body, &req)
	}
	var written any
	switch parts := readParts(req.Input); {
	case err != nil:
		demoError(w, "the request cannot be read: "+err.Error())
		return
	case req.Text.Format.Name == "code_generation":
		written = demoGenerate(parts)
	case req.Text.Format.Name == "code_review":
		written = demoReview(parts)
	default:
		demoError(w, fmt.Sprintf("the demo model knows the formats code_generation and code_review, not %q", req.Text.Format.Name))
		return
	}
	text, err := json.Marshal(written)
	if err != nil {
		demoError(w, err.Error())
		return
	}
	if req.Stream {
		streamDemo(w, req, string(text))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(demoResponse(req, string(text))) // a caller that left needs no answer
}

// demoResponse is a response object. Its token counts are estimates, one per four bytes.
func demoResponse(req demoRequest, text string) map[string]any {
	in, out := (len(req.Instructions)+len(req.Input)+3)/4, (len(text)+3)/4
	return map[string]any{
		"id": "resp_demo", "object": "response", "status": "completed", "model": demoModel,
		"output": []any{map[string]any{
			"type": "message", "role": "assistant", "status": "completed",
			"content": []any{map[string]any{"type": "output_text", "text": text, "annotations": []any{}}},
		}},
		"usage": map[string]any{"input_tokens": in, "output_tokens": out, "total_tokens": in + out},
	}
}

func streamDemo(w http.ResponseWriter, req demoRequest, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	send := func(kind string, members map[string]any) bool {
		members["type"] = kind
		data, err := json.Marshal(members)
		if err == nil {
			_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data)
		}
		return err == nil && flusher.Flush() == nil
	}
	send("response.created", map[string]any{"response": map[string]any{"id": "resp_demo", "status": "in_progress", "model": demoModel}})
	for rest := text; len(rest) > 0; {
		n := min(24, len(rest))
		for n < len(rest) && !utf8.RuneStart(rest[n]) {
			n++
		}
		if !send("response.output_text.delta", map[string]any{"output_index": 0, "delta": rest[:n]}) {
			return
		}
		rest = rest[n:]
	}
	send("response.completed", map[string]any{"response": demoResponse(req, text)})
}

func demoError(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error"}})
}

// demoParts are the parts of a prompt by name, such as "request", "context", "code", "diff".
type demoParts map[string]string

// readParts finds the parts in what the provider sends as input: each stands between a line "=== BEGIN mark name ===" and
// a line "=== END mark ===".
func readParts(input string) demoParts {
	parts := demoParts{}
	for {
		_, rest, ok := strings.Cut(input, "=== BEGIN ")
		if !ok {
			return parts
		}
		head, rest, _ := strings.Cut(rest, " ===\n")
		mark, name, _ := strings.Cut(head, " ")
		text, rest, ok := strings.Cut(rest, "\n=== END "+mark+" ===\n")
		if !ok {
			return parts
		}
		parts[name] = text
		input = rest
	}
}

// language returns the language that the context names, in lower case.
func (p demoParts) language() string {
	var about struct{ Language string }
	_ = json.Unmarshal([]byte(p["context"]), &about) // the context may be missing
	return strings.ToLower(about.Language)
}
