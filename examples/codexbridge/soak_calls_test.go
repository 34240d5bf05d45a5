package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
)

// A soakCall is one kind of call. It returns an error unless the caller gets the right answer.
type soakCall struct {
	name   string
	weight int // frequency, relative to others
	do     func(context.Context, *soakEnv) error
}

const (
	wantStream = "Accept: text/event-stream"
	wantJob    = "Prefer: respond-async"
)

var soakCalls = []soakCall{
	{"answer", 20, answered(200, `"code":`, "/generate", "a stack")},
	{"review", 10, answered(200, `"verdict":`, "/review", "")},
	{"stream", 20, answered(200, "event: result\n", "/generate", "a stack", wantStream)},
	{"job", 10, jobFollowed},
	{"job that its owner cancels", 4, jobCancelled},
	{"job without a reader", 6, answered(202, `"status":`, "/generate", "a stack", wantJob)},
	{"call repeated by its key", 10, repeated(200)},
	{"failed call repeated by its key", 3, repeated(422)},
	{"caller who leaves before an answer", 5, leaving("fault:silent")},
	{"caller who leaves a stream", 5, leaving("fault:slow", wantStream)},
	{"caller who leaves a call with a key", 3, leaving("fault:silent", "Idempotency-Key: ")},
	{"model's server resets", 3, answered(502, "upstream_failed", "/generate", "fault:reset")},
	{"model's server cuts its stream off", 3, answered(200, "event: error\n", "/generate", "fault:cut", wantStream)},
	{"model's server talks garbage", 3, answered(502, "invalid_response", "/generate", "fault:garbage", wantStream)},
	{"model's server fails", 3, answered(502, "upstream_failed", "/generate", "fault:500")},
	{"model's server is busy", 3, answered(429, "rate_limited", "/generate", "fault:429")},
	{"job that fails", 3, answered(202, `"status":`, "/generate", "fault:cut", wantJob)},
	{"request that the contract does not allow", 3, answered(422, "schema_violation", "/generate", "")},
	{"request for what is not there", 3, answered(404, "not_found", "/elsewhere", "a stack")},
	{"operator who changes the provider", 1, reloading},
}

// patientCalls end with the bridge's deadline.
var patientCalls = []soakCall{
	{"model's server never answers", 1, answered(504, "timeout", "/generate", "fault:silent")},
	{"model's server never ends its stream", 1, answered(200, "event: error\n", "/generate", "fault:slow", wantStream)},
	{"job that takes too long", 1, answered(202, `"status":`, "/generate", "fault:slow", wantJob)},
}

// answered makes one call. Headers have the form "Name: value".
func answered(status int, part, path, prompt string, headers ...string) func(context.Context, *soakEnv) error {
	return func(ctx context.Context, s *soakEnv) error {
		_, err := s.send(ctx, status, part, http.MethodPost, path, prompt, headers...)
		return err
	}
}

func jobFollowed(ctx context.Context, s *soakEnv) error {
	got, err := s.send(ctx, 202, "", http.MethodPost, "/generate", "a stack", wantJob)
	if err != nil {
		return err
	}
	job := got.header.Get("Location")
	if _, err := s.send(ctx, 200, "event: result\n", http.MethodGet, job, "", wantStream); err != nil {
		return err
	}
	_, err = s.send(ctx, 204, "", http.MethodDelete, job, "")
	return err
}

func jobCancelled(ctx context.Context, s *soakEnv) error {
	got, err := s.send(ctx, 202, "", http.MethodPost, "/generate", "fault:slow", wantJob)
	if err != nil {
		return err
	}
	job := got.header.Get("Location")
	if _, err := s.send(ctx, 202, "", http.MethodDelete, job, ""); err != nil {
		return err
	}
	_, err = s.send(ctx, 200, "event: error\n", http.MethodGet, job, "", wantStream)
	return err
}

// repeated sends a call twice, and checks that both responses are equal.
func repeated(status int) func(context.Context, *soakEnv) error {
	prompt := map[int]string{200: "a stack", 422: "fault:policy"}[status]
	return func(ctx context.Context, s *soakEnv) error {
		key := "Idempotency-Key: " + crand.Text()
		first, err := s.send(ctx, status, "", http.MethodPost, "/generate", prompt, key)
		if err != nil {
			return err
		}
		again, err := s.send(ctx, status, "", http.MethodPost, "/generate", prompt, key)
		if err != nil {
			return err
		}
		if again.header.Get("Idempotency-Replayed") != "true" || again.body != first.body {
			return fmt.Errorf("the second time %s, the first time %s", again.body, first.body)
		}
		return nil
	}
}

// leaving makes a call and leaves before the response, or after its first line. It appends a random
// value to headers that end in a space.
func leaving(prompt string, headers ...string) func(context.Context, *soakEnv) error {
	return func(ctx context.Context, s *soakEnv) error {
		ctx, leave := context.WithCancel(ctx)
		defer leave()
		own := make([]string, len(headers))
		for i, h := range headers {
			if own[i] = h; strings.HasSuffix(h, " ") {
				own[i] += crand.Text()
			}
		}
		req, err := s.request(ctx, http.MethodPost, "/generate", prompt, own...)
		if err != nil {
			return err
		}
		if prompt == "fault:silent" {
			defer time.AfterFunc(rand.N(50*time.Millisecond), leave).Stop()
		}
		res, err := s.client.Do(req)
		if errors.Is(err, context.Canceled) {
			return nil
		} else if err != nil {
			return err
		}
		defer res.Body.Close()
		if line, err := bufio.NewReader(res.Body).ReadString('\n'); line != "id: 1\n" {
			return fmt.Errorf("%d begins with %q, %v", res.StatusCode, line, err)
		}
		return nil
	}
}

// reloading gives the bridge a new provider, as for a new key.
func reloading(_ context.Context, s *soakEnv) error {
	provider, err := s.newProvider()
	if err != nil {
		return err
	}
	return s.bridge.Reload(nil, provider)
}

type soakAnswer struct {
	header http.Header
	body   string
}

// send returns an error unless the answer has the status, and part in its body.
func (s *soakEnv) send(
	ctx context.Context, status int, part, method, path, prompt string, headers ...string,
) (soakAnswer, error) {
	req, err := s.request(ctx, method, path, prompt, headers...)
	if err != nil {
		return soakAnswer{}, err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return soakAnswer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status || !bytes.Contains(body, []byte(part)) {
		return soakAnswer{}, fmt.Errorf("%s %s = %d %s (%v), want %d with %q",
			method, path, res.StatusCode, body, err, status, part)
	}
	return soakAnswer{res.Header, string(body)}, nil
}

func (s *soakEnv) request(ctx context.Context, method, path, prompt string, headers ...string) (*http.Request, error) {
	body := fmt.Sprintf(`{"prompt": %q}`, prompt)
	if path == "/review" {
		body = `{"code": "x = 1 \n"}`
	}
	if method != http.MethodPost {
		body = ""
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	setSoakHeaders(req, honest, headers)
	return req, nil
}

func setSoakHeaders(req *http.Request, caller string, headers []string) {
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+cmp.Or(soakTokens[caller], "wrong"))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
}

// soakModel fails as the prompt requests, and otherwise responds like the demo.
func soakModel(demo http.Handler) http.HandlerFunc {
	const begun = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"{\\\"code\\\":\\\"a\"}\n\n"
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, rest, _ := bytes.Cut(body, []byte(`===\nfault:`)) // the caller's part of the prompt
		fault, _, _ := bytes.Cut(rest, []byte(`\n`))
		switch string(fault) {
		case "":
			r.Body = io.NopCloser(bytes.NewReader(body))
			demo.ServeHTTP(w, r)
		case "500":
			http.Error(w, "oops", http.StatusInternalServerError)
		case "429":
			w.Header().Set("Retry-After", "1")
			http.Error(w, "slow down", http.StatusTooManyRequests)
		case "policy":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":{"code":"invalid_prompt","message":"no"}}`)
		case "garbage":
			_, _ = io.WriteString(w, "<html>")
		case "reset":
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
		case "silent":
			<-r.Context().Done()
		case "cut", "slow":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, begun)
			_ = http.NewResponseController(w).Flush()
			if string(fault) == "cut" {
				panic(http.ErrAbortHandler)
			}
			<-r.Context().Done()
		}
	}
}
