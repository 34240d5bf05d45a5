package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

// demoModel is the demo's model name, part of every response.
const demoModel = "offline-demo"

const demoNotice = "This is the offline demo model: no AI was asked. " +
	"Set OPENAI_API_KEY, or OPENAI_BASE_URL for another server of the Responses API, and start the bridge again."

// newDemo returns a stand-in for OpenAI's API, for trying the bridge without a key.
//
// It serves the part of POST /v1/responses that the bridge uses, plain and streamed. It is not an
// AI: it generates skeletons and searches lines for patterns.
func newDemo() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/responses", serveDemo)
	return mux
}

// A demoRequest holds the used members of a request to the Responses API.
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
	var answer any
	switch parts := readParts(req.Input); {
	case err != nil:
		demoError(w, "the request cannot be read: "+err.Error())
		return
	case req.Text.Format.Name == "code_generation":
		answer = demoGenerate(parts)
	case req.Text.Format.Name == "code_review":
		answer = demoReview(parts)
	default:
		demoError(w, fmt.Sprintf("the demo model supports the formats code_generation and code_review, not %q",
			req.Text.Format.Name))
		return
	}
	text, err := json.Marshal(answer)
	if err != nil {
		demoError(w, err.Error())
		return
	}
	if req.Stream {
		streamDemo(w, req, string(text))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(demoResponse(req, string(text))) // fails only if the client is gone
}

// demoResponse returns a response object. It estimates one token per four bytes.
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

// streamDemo streams the response in deltas of about 24 bytes.
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
	send("response.created", map[string]any{
		"response": map[string]any{"id": "resp_demo", "status": "in_progress", "model": demoModel},
	})
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
	_ = json.NewEncoder(w).Encode(map[string]any{
		"error": map[string]any{"message": message, "type": "invalid_request_error"},
	})
}

// demoParts maps the names of a prompt's parts to their texts. Names are "request", "context",
// "code" and "diff".
type demoParts map[string]string

// readParts parses the provider's prompt: parts between lines "=== BEGIN mark name ===" and
// "=== END mark ===".
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

// language returns the context's language in lower case, or "".
func (p demoParts) language() string {
	var context struct{ Language string }
	_ = json.Unmarshal([]byte(p["context"]), &context) // the context may be missing
	return strings.ToLower(context.Language)
}
