package bridge_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
)

// FuzzRequest: whatever comes in, the bridge answers, never with a fault of its own, and in one of the forms that it promises.
func FuzzRequest(f *testing.F) {
	const call = `{"text": "a"}`
	f.Add("POST", "/shout", "", call, "application/json", "", "", "", "", "", "")
	f.Add("POST", "/shout", "", call, "application/json", "", "text/event-stream", "", `"k"`, "", "r-1")
	f.Add("POST", "/shout", "", call, "application/json; charset=utf-8", "identity", "*/*;q=0.1", "respond-async, wait=10", "k", "", "")
	f.Add("POST", "/shout", "", zip(f, call), "application/vnd.x+json", "gzip", "", "", "", "", "")
	f.Add("GET", "/jobs/x", "verbose", "", "", "", "text/event-stream", "", "", "17", "")
	f.Add("GET", "/readyz", "verbose", "", "", "", "", "", "", "", "")
	f.Add("DELETE", "/jobs/x", "", "", "", "", "", "", "", "end", "")
	f.Add("OPTIONS", "/things/%2e%2e", "a=1&a=2;b", "", "", "", "", "", "", "", "")
	b := newBridge(f, loadContract(f, "max_concurrent_requests: 2", "max_concurrent_requests: 100"), shouter(shout), &bridge.Options{MaxBodyBytes: 1 << 16, Jobs: bridge.JobOptions{MaxRecords: 50}})
	f.Cleanup(func() { _ = b.Close() })
	allowed := map[int]bool{200: true, 202: true, 204: true, 400: true, 404: true, 405: true, 406: true, 409: true, 413: true, 415: true, 422: true, 429: true}
	f.Fuzz(func(t *testing.T, method, path, query, body, mediaType, coding, accept, prefer, key, lastEvent, id string) {
		defer costtest.AllocatesAtMost(t, 32<<20)()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: query}
		for name, value := range map[string]string{
			"Content-Type": mediaType, "Content-Encoding": coding, "Accept": accept, "Prefer": prefer, "Idempotency-Key": key, "Last-Event-ID": lastEvent, "X-Request-Id": id,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		got := w.Result()
		if !allowed[got.StatusCode] {
			t.Fatalf("%s %q = %d %s", method, path, got.StatusCode, w.Body)
		}
		if got.Header.Get("X-Request-Id") == "" || strings.ContainsAny(got.Header.Get("X-Request-Id"), "\r\n ") {
			t.Errorf("X-Request-Id = %q", got.Header.Get("X-Request-Id"))
		}
		switch form := got.Header.Get("Content-Type"); {
		case got.StatusCode == http.StatusNoContent:
		case form == "text/event-stream":
			if n := strings.Count(w.Body.String(), "event: result\n") + strings.Count(w.Body.String(), "event: error\n"); n != 1 {
				t.Errorf("a stream with %d ends: %s", n, w.Body)
			}
		case form == "application/json" || form == "application/problem+json":
			if !json.Valid(w.Body.Bytes()) || (form == "application/problem+json") != (got.StatusCode >= 400) {
				t.Errorf("%d as %s: %s", got.StatusCode, form, w.Body)
			}
			var p struct{ Instance string }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Error(err)
			}
			if _, err := url.Parse(p.Instance); err != nil { // RFC 9457: a URI reference
				t.Errorf("instance: %v", err)
			}
		case form == "application/yaml" && path == "/contract":
		default:
			t.Errorf("%d as %q: %s", got.StatusCode, form, w.Body)
		}
	})
}
