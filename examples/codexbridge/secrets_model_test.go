package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// An echoServer is a model's server that repeats the request in all parts of its responses.
type echoServer struct {
	mu  sync.Mutex
	got []string // requests, headers included
}

func (c *echoServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request bytes.Buffer
	fmt.Fprintln(&request, r.Method, r.URL)
	_ = r.Header.Write(&request)
	request.Write(body)
	c.mu.Lock()
	c.got = append(c.got, request.String())
	c.mu.Unlock()

	var asked demoRequest
	_ = json.Unmarshal(body, &asked)
	_, scenario, _ := strings.Cut(asked.Input, "scenario-")
	scenario, _, _ = strings.Cut(scenario, " ")
	h := w.Header()
	h.Set("X-Upstream", secretUpstream)
	h.Set("Set-Cookie", "session="+secretUpstream)
	refuse := func(status int, code string) {
		h.Set("Content-Type", "application/json")
		w.WriteHeader(status)
		message := "You sent " + r.Header.Get("Authorization") + ": " + asked.Input
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "code": code,
			"debug": secretUpstream}, "trace": secretUpstream})
	}
	switch scenario {
	case "badkey":
		refuse(401, "invalid_api_key")
	case "invalid":
		refuse(400, "")
	case "busy":
		h.Set("Retry-After", "1")
		refuse(429, "rate_limit_exceeded")
	case "broken":
		h.Set("Content-Type", "text/html")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, "<h1>"+secretUpstream+"</h1>"+asked.Input)
	case "fastapi":
		w.WriteHeader(422)
		_ = json.NewEncoder(w).Encode(map[string]any{"detail": "input_value=" + asked.Input})
	case "garbage":
		_, _ = io.WriteString(w, secretUpstream+asked.Input)
	case "redirect":
		http.Redirect(w, r, "http://user:"+secretUser+"@redirected.example/?q="+secretUpstream, http.StatusTemporaryRedirect)
	case "eventerror":
		h.Set("Content-Type", "text/event-stream")
		event, _ := json.Marshal(map[string]any{"type": "error", "message": r.Header.Get("Authorization") + asked.Input,
			"debug": secretUpstream})
		fmt.Fprintf(w, "data: %s\n\n", event)
	case "cut":
		h.Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"{\\\"code\\\":\\\""+secretAnswer+"\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "refusal":
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "r", "status": "completed", "model": "m", "output": []any{
			map[string]any{"type": "message", "content": []any{map[string]any{"type": "refusal", "refusal": secretAnswer}}}}})
	case "shapeless":
		_ = json.NewEncoder(w).Encode(demoResponse(asked, `{"code": {"is": "`+secretAnswer+`"}, "language": 7}`))
	default:
		text, _ := json.Marshal(map[string]any{"code": secretAnswer + " " + secretPrompt, "language": "go",
			"explanation": "It is echoed."})
		if asked.Stream {
			streamDemo(w, asked, string(text))
			return
		}
		_ = json.NewEncoder(w).Encode(demoResponse(asked, string(text)))
	}
}

// A failingTransport fails or redirects requests to the model, depending on the scenario.
type failingTransport struct{ base http.RoundTripper }

func (f failingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	reader, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	body, _ := io.ReadAll(reader)
	switch {
	case bytes.Contains(body, []byte("scenario-panic")):
		panic("the transport panics")
	case bytes.Contains(body, []byte("scenario-unreachable")):
		r = r.Clone(r.Context())
		r.URL.Host = "localhost:1"
	case bytes.Contains(body, []byte("scenario-forbidden")):
		r = r.Clone(r.Context())
		r.URL.Host = "169.254.169.254"
	}
	return f.base.RoundTrip(r)
}
