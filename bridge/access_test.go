package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestHostAndOriginOnLoopback(t *testing.T) {
	t.Parallel()
	opts := &bridge.Options{AllowedHosts: []string{"shout.internal"}, AllowedOrigins: []string{"https://app.example.com"}}
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), opts))
	for name, test := range map[string]struct {
		header []string
		status int
	}{
		"localhost":             {[]string{"Host", "localhost:8082"}, 200},
		"another loopback":      {[]string{"Host", "[::1]:8082"}, 200},
		"a name that we allow":  {[]string{"Host", "shout.internal"}, 200},
		"with a final dot":      {[]string{"Host", "localhost.:8082"}, 200},
		"not an address":        {[]string{"Host", "[localhost]"}, 403},
		"a page at the side":    {[]string{"Host", "localhost:8082", "Origin", "http://localhost:3000"}, 403},
		"a rebound name":        {[]string{"Host", "evil.example.com"}, 403},
		"a name of an allowed":  {[]string{"Host", "localhost.evil.example.com"}, 403},
		"an origin we allow":    {[]string{"Origin", "https://app.example.com"}, 200},
		"another origin":        {[]string{"Origin", "https://evil.example.com"}, 403},
		"an opaque origin":      {[]string{"Origin", "null"}, 403},
		"the bridge's own page": {[]string{"Host", "localhost:8082", "Origin", "http://localhost:8082"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			for path, body := range map[string]string{"/shout": `{"text": "a"}`, "/health": ""} {
				method := "GET"
				if body != "" {
					method = "POST"
				}
				got := send(t, srv.Client(), newRequest(t, method, srv.URL+path, body, test.header...))
				if got.Status != test.status {
					t.Errorf("%s %s = %d %s, want %d", method, path, got.Status, got.Body, test.status)
				}
			}
		})
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{AllowedOrigins: []string{"https://app.example.com"}}))
	preflight := func(origin string) reply {
		return send(t, srv.Client(), newRequest(t, "OPTIONS", srv.URL+"/shout", "", "Origin", origin, "Access-Control-Request-Method", "POST"))
	}
	got := preflight("https://app.example.com")
	if got.Status != 204 || got.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" || !strings.Contains(got.Header.Get("Access-Control-Allow-Methods"), "POST") || got.Header.Get("Vary") != "Origin" {
		t.Errorf("preflight of an allowed origin: %d %v", got.Status, got.Header)
	}
	if got := preflight("https://app.example.com.evil"); got.Status != 403 || got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another origin: %d %v", got.Status, got.Header)
	}
}

func TestBearerTokens(t *testing.T) {
	t.Parallel()
	var log logBuffer
	const token = "t0ken-of-caio"
	whoami := bridge.HandlerFunc(func(ctx context.Context, _ shoutRequest) (shoutResponse, error) {
		return shoutResponse{bridge.Principal(ctx) + " " + bridge.RequestID(ctx)}, nil
	})
	srv := serve(t, newBridge(t, loadContract(t), routes{bridge.Unary("POST /shout", whoami, bridge.Serves("shouting"))}, &bridge.Options{
		Logger:       log.logger(),
		Authenticate: bridge.BearerTokens(map[string]string{"caio": token, "nobody": ""}),
	}))
	for header, status := range map[string]int{
		"":                      401,
		"Bearer":                401,
		"Bearer ":               401,
		"Bearer wrong":          401,
		"Basic " + token:        401,
		"Bearer " + token:       200,
		"bearer " + token:       200,
		"Bearer x" + token:      401,
		"Bearer " + token + "x": 401,
	} {
		got := post(t, srv, "/shout", `{"text": "a"}`, "Authorization", header, "X-Request-Id", "r-1")
		if got.Status != status {
			t.Errorf("Authorization: %q = %d %s, want %d", header, got.Status, got.Body, status)
		}
		if status == 401 && (got.Header.Get("WWW-Authenticate") != "Bearer" || got.problem(t).Code != "unauthenticated") {
			t.Errorf("401 without WWW-Authenticate or code: %v %s", got.Header, got.Body)
		}
		if status == 200 && got.Body != `{"loud":"caio r-1"}` {
			t.Errorf("the handler saw %s", got.Body)
		}
	}
	if got := get(t, srv, "/health"); got.Status != 200 {
		t.Errorf("/health needs no token, got %d", got.Status)
	}
	if strings.Contains(log.String(), token) {
		t.Errorf("the token is in the log:\n%s", log.String())
	}
	if !strings.Contains(log.String(), "principal=caio") {
		t.Errorf("the log does not name the principal:\n%s", log.String())
	}
}

// What the function for authentication makes of a caller decides, and its words stay in the log unless it says otherwise.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		principal string
		err       error
		status    int
		told      string
	}{
		"a name":             {"ann", nil, 200, `{"loud":"ann"}`},
		"no name":            {"", nil, 401, "This bridge does not know the caller: send the credentials that its operator gave you, mostly as Authorization: Bearer TOKEN."},
		"an error":           {"ann", errors.New("token of issuer-7 expired"), 401, "This bridge does not know the caller: send the credentials that its operator gave you, mostly as Authorization: Bearer TOKEN."},
		"a refusal in words": {"", &bridge.Error{Code: bridge.CodeForbidden, Detail: "Ask for access first.", Cause: errors.New("issuer-7")}, 403, "Ask for access first."},
	} {
		srv := serve(t, newBridge(t, loadContract(t), whoami(), &bridge.Options{Authenticate: func(*http.Request) (string, error) { return test.principal, test.err }}))
		got := post(t, srv, "/shout", `{"text": "a"}`)
		if got.Status != test.status || !strings.Contains(got.Body, test.told) || strings.Contains(got.Body, "issuer-7") {
			t.Errorf("%s: %d %s, want %d %s", name, got.Status, got.Body, test.status, test.told)
		}
	}
}

// publicListener claims to be reachable from other machines.
type publicListener struct{ net.Listener }

func (publicListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 8082} }

func TestServeFailsClosed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts    bridge.Options
		refused bool
	}{
		"nothing authenticates":           {bridge.Options{}, true},
		"tokens authenticate":             {bridge.Options{Authenticate: bridge.BearerTokens(map[string]string{"a": "b"})}, false},
		"the operator knows what they do": {bridge.Options{AllowUnauthenticated: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBridge(t, loadContract(t), shouter(shout), &test.opts)
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // only whether it starts matters
			err := b.Serve(ctx, publicListener{memnet.Listen()})
			if refused := err != nil; refused != test.refused {
				t.Errorf("Serve = %v, want refused: %v", err, test.refused)
			}
			if err != nil && !strings.Contains(err.Error(), "set Options.Authenticate, listen on 127.0.0.1") {
				t.Errorf("the error does not say what to do: %v", err)
			}
		})
	}
}

// Every path passes the same chain: nothing answers a rebound host.
func TestGuardStandsBeforeEveryPath(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	for _, path := range []string{"/", "/shout", "/health", "/livez", "/readyz", "/jobs/x", "/nothing", "//shout", "/shout/../health"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			req := newRequest(t, method, srv.URL+path, "", "Host", "evil.example.com")
			if got := send(t, srv.Client(), req); got.Status != 403 {
				t.Errorf("%s %s = %d, want 403", method, path, got.Status)
			}
		}
	}
}

// A page of another site has browsers send GET without an Origin, for an image: nothing is done for it.
func TestPagesOfOtherSitesCallNothing(t *testing.T) {
	t.Parallel()
	c := loadContract(t, "      - path: /health\n        method: GET", "      - path: /things\n        method: GET")
	things := bridge.HandlerFunc(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	srv := serve(t, newBridge(t, c, append(shouter(shout).(routes), bridge.Unary("GET /things", things)), nil))
	for site, want := range map[string]int{"": 200, "none": 200, "same-origin": 200, "same-site": 403, "cross-site": 403} {
		if got := get(t, srv, "/things", "Sec-Fetch-Site", site); got.Status != want {
			t.Errorf("Sec-Fetch-Site %q: %d %s, want %d", site, got.Status, got.Body, want)
		}
	}
}

// As the handler of another server, too, a bridge without authentication is for this machine only.
func TestHandlerFailsClosed(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{false, true} {
		var log logBuffer
		b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{AllowUnauthenticated: open, Logger: log.logger()})
		for local, want := range map[net.Addr]int{
			&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}: 200,
			&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}: 403,
			&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}: 403, // HTTP/3
		} {
			r := newRequest(t, "POST", "http://localhost/shout", `{"text": "a"}`)
			w := httptest.NewRecorder()
			b.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local)))
			if open {
				want = 200
			}
			if w.Code != want {
				t.Errorf("reached at %s, open %v: %d %s, want %d", local, open, w.Code, w.Body, want)
			}
		}
		if says := strings.Contains(log.String(), "Options.AllowUnauthenticated"); says == open {
			t.Errorf("open %v: the log says\n%s", open, log.String())
		}
	}
}

// After DNS rebinding a page sends a Host and an Origin that agree with each other, or no Origin at
// all. Off loopback and without authentication the bridge refuses both. With authentication the
// page lacks credentials.
func TestReboundPagesOffLoopback(t *testing.T) {
	t.Parallel()
	c := loadContract(t, "      - path: /health\n        method: GET", "      - path: /things\n        method: GET")
	things := bridge.HandlerFunc(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	routes := append(shouter(shout).(routes), bridge.Unary("GET /things", things))
	opts := bridge.Options{
		AllowUnauthenticated: true, AllowedHosts: []string{"bridge.internal"}, AllowedOrigins: []string{"https://app.example.com"},
		BaseURL: "https://api.example.com",
	}
	open := newBridge(t, c, routes, &opts)
	opts.Authenticate = func(*http.Request) (string, error) { return "ann", nil }
	authenticated := newBridge(t, c, routes, &opts)
	for name, test := range map[string]struct {
		header            []string
		post, get         int // status of the open bridge
		authPost, authGet int // of the one with authentication
	}{
		"no page":                 {[]string{"Host", "192.0.2.2:8082"}, 200, 200, 200, 200},
		"no page, IPv6":           {[]string{"Host", "[2001:db8::2]:8082"}, 200, 200, 200, 200},
		"no page, base_url":       {[]string{"Host", "api.example.com"}, 200, 200, 200, 200},
		"no page, a listed host":  {[]string{"Host", "bridge.internal:8082"}, 200, 200, 200, 200},
		"no page, any host":       {[]string{"Host", "evil.example:8082"}, 200, 403, 200, 200},
		"rebound, no Origin":      {[]string{"Host", "evil.example:8082", "Sec-Fetch-Site", "same-origin"}, 403, 403, 200, 200},
		"rebound":                 {[]string{"Host", "evil.example:8082", "Origin", "http://evil.example:8082", "Sec-Fetch-Site", "same-origin"}, 403, 403, 200, 200},
		"rebound, final dot":      {[]string{"Host", "evil.example.", "Origin", "http://evil.example."}, 403, 403, 200, 200},
		"rebound, capitals":       {[]string{"Host", "EVIL.example", "Origin", "http://evil.example"}, 403, 403, 200, 200},
		"a name of a listed host": {[]string{"Host", "bridge.internal.evil.example", "Origin", "http://bridge.internal.evil.example"}, 403, 403, 200, 200},
		"page of another address": {[]string{"Host", "192.0.2.2:8082", "Origin", "http://192.0.2.2:8082"}, 403, 403, 200, 200},
		"page of another host":    {[]string{"Host", "192.0.2.2:8082", "Origin", "http://evil.example"}, 403, 403, 403, 403},
		"opaque origin":           {[]string{"Host", "192.0.2.2:8082", "Origin", "null"}, 403, 403, 403, 403},
		"page of a listed origin": {[]string{"Host", "192.0.2.2:8082", "Origin", "https://app.example.com"}, 200, 200, 200, 200},
		"own page, a listed host": {[]string{"Host", "bridge.internal:8082", "Origin", "http://bridge.internal:8082"}, 200, 200, 200, 200},
		"own page, base_url":      {[]string{"Host", "api.example.com", "Origin", "https://api.example.com"}, 200, 200, 200, 200},
		"own page, loopback":      {[]string{"Host", "localhost:8082", "Origin", "http://localhost:8082"}, 200, 200, 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, request := range []struct {
				b            *bridge.Bridge
				method, path string
				want         int
			}{
				{open, "POST", "/shout", test.post}, {open, "GET", "/things", test.get}, {open, "GET", "/contract", test.get},
				{authenticated, "POST", "/shout", test.authPost}, {authenticated, "GET", "/things", test.authGet}, {authenticated, "GET", "/contract", test.authGet},
			} {
				body := ""
				if request.method == "POST" {
					body = `{"text": "a"}`
				}
				r := newRequest(t, request.method, "http://localhost"+request.path, body, test.header...)
				local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 8082}
				w := httptest.NewRecorder()
				request.b.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local)))
				if w.Code != request.want {
					t.Errorf("%s %s, authenticated %v: %d %s, want %d", request.method, request.path, request.b == authenticated, w.Code, w.Body, request.want)
				}
			}
		})
	}
}

// Callers who share a token are always taken for the same one, or their jobs would be gone after a restart.
func TestSharedToken(t *testing.T) {
	t.Parallel()
	r := newRequest(t, "GET", "http://localhost/", "", "Authorization", "Bearer t")
	for range 50 {
		if name, err := bridge.BearerTokens(map[string]string{"ann": "t", "bob": "t", "eve": "u"})(r); name != "bob" || err != nil {
			t.Fatal(name, err)
		}
	}
}

// SDK types decode themselves, and mostly with encoding/json, to which "TEXT" is "text".
type foldingRequest struct{ Text string }

func (f *foldingRequest) UnmarshalJSON(data []byte) error {
	type plain foldingRequest
	return json.Unmarshal(data, (*plain)(f))
}

// Where the schema is open, a member in another case went past it, unchecked, into a request that decodes itself.
func TestNamesInAnotherCase(t *testing.T) {
	t.Parallel()
	c, err := contract.Load(fstest.MapFS{
		"contract.yaml":         {Data: []byte(shouterContract)},
		"schemas/request.json":  {Data: []byte(`{"type": "object", "properties": {"text": {"type": "string", "maxLength": 3}}}`)},
		"schemas/response.json": {Data: []byte(shouterResponse)},
	}, "contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	echo := bridge.HandlerFunc(func(_ context.Context, req foldingRequest) (shoutResponse, error) {
		return shoutResponse{req.Text}, nil
	})
	srv := serve(t, newBridge(t, c, routes{bridge.Unary("POST /shout", echo, bridge.Serves("shouting"))}, nil))
	for body, want := range map[string]int{`{"text": "a", "other": 1}`: 200, `{"text": "a", "TEXT": "not checked"}`: 422, `{"Text": "not checked"}`: 422, `{"te\u0058t": "not checked"}`: 422} {
		got := post(t, srv, "/shout", body)
		if got.Status != want || want == 422 && !strings.Contains(got.Body, `the member is \"text\": write it so`) {
			t.Errorf("%s: %d %s, want %d", body, got.Status, got.Body, want)
		}
	}
}
