package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// listedRoutes asks the bridge for its routes: the answer to a path that it does not have lists them.
func listedRoutes(t *testing.T, srv *httptest.Server) []string {
	t.Helper()
	detail := get(t, srv, "/nothing", "Authorization", "Bearer token-a").problem(t).Detail
	_, list, ok := strings.Cut(detail, "This service has ")
	if !ok {
		t.Fatalf("no routes are listed: %s", detail)
	}
	return strings.Split(strings.TrimSuffix(list, "."), ", ")
}

// Every route passes the same chain. Who adds one to the bridge adds it here.
func TestEveryRoutePassesTheChain(t *testing.T) {
	t.Parallel()
	open := []string{"GET /health", "GET /livez", "GET /readyz"}
	want := slices.Concat([]string{"DELETE /jobs/{id}", "GET /contract"}, open[:1], []string{"GET /jobs/{id}"}, open[1:2], []string{"GET /openapi.json"}, open[2:], []string{"GET /things/{id}", "POST /shout"})
	nothing := bridge.HandlerFunc(func(context.Context, struct {
		ID string `json:"id"`
	}) (struct{}, error) {
		return struct{}{}, nil
	})
	c := loadContract(t, "      - path: /health\n        method: GET", "      - path: /health\n        method: GET\n      - path: /things/{id}\n        method: GET")
	i := instrument(t)
	var log logBuffer
	i.opts.Logger = log.logger()
	i.opts.Authenticate = bridge.BearerTokens(map[string]string{"ann": "token-a"})
	i.opts.AllowedOrigins = []string{"https://app.example.com"}
	srv := serve(t, newBridge(t, c, append(shouter(shout).(routes), bridge.Unary("GET /things/{id}", nothing)), &i.opts))
	found := listedRoutes(t, srv)
	if diff := cmp.Diff(want, found); diff != "" {
		t.Fatalf("routes (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/nothing", "//shout", "/shout/", "/things"} {
		if got := get(t, srv, path); got.Status != 401 || strings.Contains(got.Body, "This service has") {
			t.Errorf("%s for a stranger = %d %s, want 401 and no list of what there is", path, got.Status, got.Body)
		}
	}
	for n, route := range found {
		method, pattern, _ := strings.Cut(route, " ")
		path := strings.NewReplacer("{id}", "x").Replace(pattern)
		call := func(header ...string) reply {
			t.Helper()
			got := send(t, srv.Client(), newRequest(t, method, srv.URL+path, "", append(header, "Content-Type", "application/json")...))
			if got.Header.Get("X-Content-Type-Options") != "nosniff" || got.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s: headers are missing: %v", route, got.Header)
			}
			if got.Status >= 400 && got.problem(t).RequestID != got.Header.Get("X-Request-Id") {
				t.Errorf("%s: the problem has another request_id: %s", route, got.Body)
			}
			if header[0] != "Host" && !slices.Contains(got.Header.Values("Vary"), "Origin") {
				t.Errorf("%s: a cache may give one origin's answer to another: %v", route, got.Header)
			}
			return got
		}
		if got := call("Host", "evil.example.com"); got.Status != 403 {
			t.Errorf("%s under a rebound name = %d, want 403", route, got.Status)
		}
		if got := call("Origin", "https://evil.example.com"); got.Status != 403 || got.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s from another origin = %d, want 403", route, got.Status)
		}
		if got := call("Origin", "https://app.example.com"); got.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
			t.Errorf("%s from an origin that is allowed: %v", route, got.Header)
		}
		stranger := call("Authorization", "Bearer wrong")
		if wanted := !slices.Contains(open, route); (stranger.Status == 401) != wanted || wanted && stranger.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s for a stranger = %d, want 401: %v", route, stranger.Status, wanted)
		}
		id := "request-" + string(rune('a'+n))
		if got := call("Authorization", "Bearer token-a", "X-Request-Id", id); got.Status == 401 || got.Status == 403 || got.Header.Get("X-Request-Id") != id {
			t.Errorf("%s for a caller = %d, request id %s", route, got.Status, got.Header.Get("X-Request-Id"))
		}
		if got := send(t, srv.Client(), newRequest(t, http.MethodPatch, srv.URL+path, "", "Authorization", "Bearer token-a")); got.Status != 405 || got.problem(t).Code != "method_not_allowed" || !strings.Contains(got.Header.Get("Allow"), method) {
			t.Errorf("PATCH %s = %d %s, Allow %s", path, got.Status, got.Body, got.Header.Get("Allow"))
		}
		srv.Client().CloseIdleConnections()
	}
	srv.Close() // the last record is made after the answer
	measured := i.sums(t, "http.server.request.duration")
	for n, route := range found {
		method, pattern, _ := strings.Cut(route, " ")
		if line := "request_id=request-" + string(rune('a'+n)) + " method=" + method + " route=" + pattern + " "; strings.Count(log.String(), line) != 1 {
			t.Errorf("the log has not one record with %s", line)
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(measured)), func(key string) bool {
			return strings.Contains(key, "http.request.method="+method+" ") && strings.Contains(key, "http.route="+pattern+" ")
		}) {
			t.Errorf("%s is not measured: %v", route, measured)
		}
	}
}

// The enumeration above is complete as long as nothing reaches a mux but through service.handle, which lists, and the answer
// to all that is left.
func TestNothingIsServedPastTheChain(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.HasSuffix(file, "_test.go") && (strings.Contains(line, "mux.Handle")) {
				found = append(found, file+": "+strings.TrimSpace(line))
			}
		}
	}
	want := []string{
		`route.go: s.mux.HandleRest(func(_ http.ResponseWriter, r *http.Request) { s.noRoute(exchangeOf(r.Context())) })`,
		`route.go: return s.mux.Handle(method, path, func(_ http.ResponseWriter, r *http.Request) {`,
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("what reaches the mux (-want +got):\n%s", diff)
	}
}

// The access log has one record per request, with these members and no others.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	var log logBuffer
	i.opts.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	i.opts.Authenticate = bridge.BearerTokens(map[string]string{"ann": "token-a"})
	srv := serve(t, newBridge(t, loadContract(t), shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
		if req.Text == "fail" {
			return shoutResponse{}, &bridge.Error{Code: bridge.CodeUpstreamFailed, Detail: "No voice.", Cause: errors.New("hoarse")}
		}
		bridge.ReportUsage(ctx, bridge.Usage{Provider: "openai", Operation: "chat", Model: "m-1", InputTokens: 10, OutputTokens: 4})
		return shout(ctx, req, send)
	}), &i.opts))
	for _, text := range []string{"a", "fail"} {
		post(t, srv, "/shout", `{"text": "`+text+`"}`, "Authorization", "Bearer token-a", "X-Request-Id", "r-"+text)
	}
	get(t, srv, "/livez") // not worth a record
	get(t, srv, "/nothing", "Authorization", "Bearer token-a", "X-Request-Id", "r-nothing")
	srv.Close()
	var got []map[string]any
	for line := range strings.Lines(log.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"time", "duration", "trace_id"} {
			if record[name] == nil {
				t.Errorf("the record lacks %s: %s", name, line)
			}
			delete(record, name)
		}
		got = append(got, record)
	}
	want := []map[string]any{
		{"level": "INFO", "msg": "request", "request_id": "r-a", "method": "POST", "route": "/shout", "principal": "ann", "status": 200.0, "model": "m-1", "input_tokens": 10.0, "output_tokens": 4.0},
		{"level": "WARN", "msg": "request", "request_id": "r-fail", "method": "POST", "route": "/shout", "principal": "ann", "status": 502.0, "code": "upstream_failed", "cause": "hoarse"},
		{"level": "INFO", "msg": "request", "request_id": "r-nothing", "method": "GET", "route": "", "path": "/nothing", "principal": "ann", "status": 404.0, "code": "not_found"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("access log (-want +got):\n%s", diff)
	}
}
