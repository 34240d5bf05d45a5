package caio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
)

// An answer without the expected JSON is an error, never an empty value.
func TestUnusableAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.Handler
		want    string
	}{
		"web page":         {answering(200, "text/html; charset=utf-8", "<!doctype html><title>Hi</title>"), "web page"},
		"web page as JSON": {answering(200, "application/json", "  <html>"), "web page"},
		"empty":            {answering(200, "application/json", ""), "empty"},
		"no content":       {answering(204, "", ""), "empty"},
		"wrong type":       {answering(200, "application/json", `{"services": 7}`), "documented form"},
		"wrong member type": {answering(200, "application/json", `{"services": [{"capabilities": [[]]}]}`),
			"documented form"},
		"something else": {answering(200, "application/json", `{"hello": "world"}`), `no "services"`},
		"half of it":     {answering(200, "application/json", `{"services": [`), "documented form"},
		"huge": {answering(200, "application/json", `{"services": [], "x": "`+strings.Repeat("x", 9<<20)+`"}`),
			"larger than 8 MiB"},
		"cut off": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"services": [`)
		}), "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			services, err := newClient(t, test.handler, &caio.Options{MaxAttempts: 1}).Services(t.Context(), caio.Filter{})
			if err == nil || !strings.Contains(err.Error(), test.want) || services != nil {
				t.Errorf("Services = %v, %v, want an error about %q", services, err, test.want)
			}
		})
	}
}

// An answer about another service or decision is an error.
func TestAnswersAboutOthers(t *testing.T) {
	t.Parallel()
	client := newClient(t, answering(200, "application/json", `{"service_id": "other", "decision_id": "other"}`), nil)
	if _, err := client.Service(t.Context(), "mine"); err == nil {
		t.Error("Service accepted another service")
	}
	anonymous := newClient(t, answering(200, "application/json", `{"services": []}`), nil)
	if _, err := anonymous.Service(t.Context(), ""); err == nil {
		t.Error("Service accepted a list as the service without an id")
	}
	if _, err := client.Register(t.Context(), newContract(t, "mine", "1.0.0"), nil); err == nil {
		t.Error("Register accepted the confirmation of another service")
	}
	if _, err := client.Trace(t.Context(), "mine"); err == nil {
		t.Error("Trace accepted another decision")
	}
	if _, err := client.Health(t.Context()); err == nil {
		t.Error("Health accepted an answer without status")
	}
	empty := newClient(t, answering(200, "application/json", `{}`), nil)
	if _, err := empty.Route(t.Context(), caio.Request{Capabilities: []string{"x"}}); err == nil {
		t.Error("Route accepted an answer without service")
	}
}

// No error contains the token, even if the server echoes it.
func TestTokenIsNeverShown(t *testing.T) {
	t.Parallel()
	const token = "canary-7f3a"
	for name, handler := range map[string]http.Handler{
		"echo in message": answering(401, "application/json", `{"error": {"code": "`+token+`",
			"message": "bad token `+token+`", "details": {"`+token+`": ["`+token+`"]}}}`),
		"echo escaped":   answering(401, "application/json", `{"detail": "bad token canary\u002d7f3a"}`),
		"echo as text":   answering(401, "text/plain", token),
		"echo in answer": answering(200, "application/json", `{"service_id": "`+token+`"}`),
		"echo as number": answering(200, "application/json", `{"status": `+token+`}`),
		"hang up":        http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, handler, &caio.Options{Token: caio.StaticToken(token), MaxAttempts: 1})
			_, err := client.Service(t.Context(), "a")
			var refusal *caio.Error
			errors.As(err, &refusal)
			if text := fmt.Sprintf("%v %+v %#v %#v", err, err, err, refusal); err == nil || strings.Contains(text, token) {
				t.Errorf("error shows the token: %s", text)
			}
		})
	}
	client := newClient(t, http.NotFoundHandler(), &caio.Options{Token: caio.StaticToken(token + "\x00")})
	if _, err := client.Health(t.Context()); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("malformed token: %v", err)
	}
}

// flaky answers with the statuses in order, then with 200, and counts the calls.
func flaky(calls *atomic.Int64, retryAfter string, statuses ...int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int(calls.Add(1))
		if n > len(statuses) {
			io.WriteString(w, `{"status": "healthy"}`)
			return
		}
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(statuses[n-1])
	})
}

func TestRetries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		statuses   []int
		retryAfter string
		calls      int64
		ok         bool
		atLeast    time.Duration
		below      time.Duration
	}{
		"temporary":       {statuses: []int{503, 502}, calls: 3, ok: true, below: 2 * time.Second},
		"too often":       {statuses: []int{500, 504, 429}, calls: 3, below: 2 * time.Second},
		"not temporary":   {statuses: []int{404}, calls: 1, below: time.Millisecond},
		"not implemented": {statuses: []int{501}, calls: 1, below: time.Millisecond},
		"Retry-After": {statuses: []int{429, 503}, retryAfter: "7", calls: 3, ok: true,
			atLeast: 14 * time.Second, below: 16 * time.Second},
		"Retry-After too long":   {statuses: []int{503}, retryAfter: "3600", calls: 1, below: time.Millisecond},
		"Retry-After impossible": {statuses: []int{503}, retryAfter: "-1e9", calls: 2, ok: true, below: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				client := newInMemoryClient(t, flaky(&calls, test.retryAfter, test.statuses...), caio.Options{})
				start := time.Now()
				_, err := client.Health(t.Context())
				took := time.Since(start)
				if (err == nil) != test.ok || calls.Load() != test.calls || took < test.atLeast || took > test.below {
					t.Errorf("%d calls in %v: %v", calls.Load(), took, err)
				}
				var refusal *caio.Error
				if test.retryAfter == "3600" && (!errors.As(err, &refusal) || refusal.RetryAfter != time.Hour) {
					t.Errorf("error %#v has no RetryAfter", err)
				}
			})
		})
	}
}

// Timeout bounds each attempt at a server that never answers. The caller's deadline bounds them
// all.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	synctest.Test(t, func(t *testing.T) {
		client := newInMemoryClient(t, hang, caio.Options{Timeout: 2 * time.Second, MaxAttempts: 2})
		start := time.Now()
		_, err := client.Health(t.Context())
		took := time.Since(start)
		if !errors.Is(err, context.DeadlineExceeded) || took < 4*time.Second || took > 5*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		_, err = client.Health(ctx)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("with a deadline, after %v: %v", took, err)
		}
	})
}

// Timeout bounds the reading of a slow body, too.
func TestTricklingServer(t *testing.T) {
	t.Parallel()
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, io.LimitReader(spaces{r.Context()}, 1<<30))
	}), &caio.Options{Timeout: 50 * time.Millisecond, MaxAttempts: 1})
	_, err := client.Health(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) && (err == nil || !strings.Contains(err.Error(), "8 MiB")) {
		t.Errorf("Health = %v, want a bounded attempt", err)
	}
}

// spaces is an endless reader that ends with its context.
type spaces struct{ ctx context.Context }

func (e spaces) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return copy(p, bytes.Repeat([]byte(" "), 512)), nil
}
