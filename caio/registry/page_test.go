package registry_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// browse asks like a browser does.
func browse(reg *registry.Registry, path string, header ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest("GET", "http://localhost:8080"+path, nil)
	request.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	reg.ServeHTTP(recorder, request)
	return recorder
}

const hostileContract = `service:
  id: hostile
  name: "</td></table><script>alert(1)</script>"
  version: 1.0.0
  capabilities: [{type: "\" onclick=alert(2) x=\""}]
  metadata: {documentation_url: "javascript:alert(3)"}
  api: {protocol: http, base_url: "http://localhost:1", endpoints: [{path: /x, method: POST}]}
`

func TestPageListsServices(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	for _, text := range []string{codexContract, hostileContract} {
		if _, err := reg.Register(t.Context(), parse(t, text), nil); err != nil {
			t.Fatal(err)
		}
	}
	answer := browse(reg, "/")
	body := answer.Body.String()
	for _, want := range []string{"Codex Bridge Service", "codex-bridge-001", "active", "code_generation ≥ 0.85", "p95 latency ≤ 5000 ms", "<li>–</li>",
		"&lt;/td&gt;&lt;/table&gt;&lt;script&gt;alert(1)&lt;/script&gt;", "&#34; onclick=alert(2) x=&#34;"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q:\n%s", want, body)
		}
	}
	for _, not := range []string{"<script>alert", "javascript:", `" onclick`} {
		if strings.Contains(body, not) {
			t.Errorf("the page has %q", not)
		}
	}
	if answer.Code != 200 || answer.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("status %d, %v", answer.Code, answer.Header())
	}
}

// The policy allows the page's own script and style, by their hashes, and nothing else.
func TestPagePolicy(t *testing.T) {
	t.Parallel()
	answer := browse(newRegistry(t, nil), "/")
	policy := answer.Header().Get("Content-Security-Policy")
	for _, name := range []string{"script", "style"} {
		inline := regexp.MustCompile(`(?s)<`+name+`>(.*?)</`+name+`>`).FindAllStringSubmatch(answer.Body.String(), -1)
		if len(inline) != 1 {
			t.Fatalf("the page has %d %s elements", len(inline), name)
		}
		sum := sha256.Sum256([]byte(inline[0][1]))
		if want := fmt.Sprintf("; %s-src 'sha256-%s';", name, base64.StdEncoding.EncodeToString(sum[:])); !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %q: %s", want, policy)
		}
	}
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %q: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is not strict: %s", policy)
	}
	outside := regexp.MustCompile(`(?:src|href)="(?:https?:)?//`).FindString(answer.Body.String())
	if outside != "" {
		t.Errorf("the page refers to something elsewhere: %s", outside)
	}
}

// Clients of the API that ask for / get what they get for other paths that are not offered.
func TestPageIsForBrowsers(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	for _, accept := range []string{"", "*/*", "application/json", "application/json, text/html;q=0.5"} {
		status, body := exchange{method: "GET", path: "/", header: map[string]string{"Accept": accept}}.send(t, reg)
		if code, _ := refusal(body); status != 404 || code != "NOT_FOUND" {
			t.Errorf("Accept %q: %d %v", accept, status, body)
		}
	}
	if answer := browse(reg, "/", "Host", "x"); answer.Code != 200 {
		t.Errorf("status %d", answer.Code)
	}
	request := httptest.NewRequest("GET", "http://evil.example/", nil)
	request.Header.Set("Accept", "text/html")
	recorder := httptest.NewRecorder()
	reg.ServeHTTP(recorder, request)
	if recorder.Code != 403 {
		t.Errorf("a rebound name is answered with %d", recorder.Code)
	}
}

func TestPageAsksForToken(t *testing.T) {
	t.Parallel()
	const admin, user, service = "a-token-of-some-length", "a-token-for-the-users", "a-token-for-services"
	reg := newRegistry(t, &registry.Options{Tokens: []string{admin}, UserTokens: []string{user}, ServiceTokens: []string{service}, OpenIntegration: true})
	if _, err := reg.Register(t.Context(), parse(t, codexContract), nil); err != nil {
		t.Fatal(err)
	}
	decision, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_review"}})
	if err != nil {
		t.Fatal(err)
	}
	explanation := "/page/decisions/" + decision.DecisionID
	for name, test := range map[string]struct {
		path, token string
		status      int
		shows       bool
	}{
		"page":                  {"/", "", 200, false},
		"page, wrong token":     {"/", "wrong-wrong-wrong-wrong", 200, false},
		"page, filter":          {"/?q=codex&after=a", "", 200, false},
		"page, token":           {"/", user, 200, true},
		"services":              {"/page/services", "", 401, false},
		"services, service":     {"/page/services", service, 200, true},
		"decisions":             {"/page/decisions", "", 401, false},
		"decisions, service":    {"/page/decisions", service, 403, false},
		"decisions, user":       {"/page/decisions", user, 200, true},
		"explanation":           {explanation, "", 401, false},
		"explanation, service":  {explanation, service, 403, false},
		"explanation, user":     {explanation, user, 200, true},
		"explanation, admin":    {explanation, admin, 200, true},
		"no such explanation":   {"/page/decisions/dec-none", user, 404, false},
		"explanation, too much": {"/page/decisions/" + strings.Repeat("x", 5000), user, 404, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var header []string
			if test.token != "" {
				header = []string{"Authorization", "Bearer " + test.token}
			}
			answer := browse(reg, test.path, header...)
			if shows := strings.Contains(answer.Body.String(), "codex-bridge"); answer.Code != test.status || shows != test.shows {
				t.Errorf("status %d, shows services: %t; want %d, %t\n%s", answer.Code, shows, test.status, test.shows, answer.Body)
			}
		})
	}
	if body := browse(reg, "/").Body.String(); !strings.Contains(body, "with a token only") || !strings.Contains(body, "data-token-needed") {
		t.Errorf("the page does not say that a token is needed:\n%s", body)
	}
	for token, may := range map[string]string{service: `"may_decide":false`, user: `"may_decide":true`} {
		if body := browse(reg, "/page/services", "Authorization", "Bearer "+token).Body.String(); !strings.Contains(body, may) {
			t.Errorf("the answer lacks %s: %s", may, body)
		}
	}
}

// While nothing changes, the answer to the page's questions is that nothing changed.
func TestPageSeesChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry(t, nil)
		ct := parse(t, codexContract)
		tags := map[string]string{}
		changed := func() (paths []string) {
			time.Sleep(2 * time.Second)
			for _, path := range []string{"/page/decisions", "/page/services", "/page/services?q=codex"} {
				answer := browse(reg, path, "If-None-Match", tags[path])
				tags[path] = answer.Header().Get("ETag")
				if answer.Code == 200 {
					paths = append(paths, path)
				} else if answer.Code != 304 || answer.Body.Len() > 0 {
					t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
				}
			}
			return paths
		}
		services, decisions := []string{"/page/services", "/page/services?q=codex"}, []string{"/page/decisions"}
		changed()
		for _, change := range []struct {
			what string
			make func() error
			want []string
		}{
			{"nothing", func() error { return nil }, nil},
			{"a registration", func() error { _, err := reg.Register(t.Context(), ct, nil); return err }, services},
			{"a lease", func() error {
				_, err := reg.Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Minute})
				return err
			}, services},
			{"its renewal", func() error {
				_, err := reg.Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Minute})
				return err
			}, nil},
			{"a decision", func() error {
				_, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_review"}})
				return err
			}, decisions},
			{"no match", func() error {
				if _, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"none"}}); !errors.Is(err, caio.ErrNoMatch) {
					return fmt.Errorf("no match: %w", err)
				}
				return nil
			}, decisions},
			{"the lease's end", func() error { time.Sleep(2 * time.Minute); return nil }, services},
		} {
			if err := change.make(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(change.want, changed()); diff != "" {
				t.Errorf("%s changed (-want +got):\n%s", change.what, diff)
			}
		}
	})
}

// The page's script takes every list for one.
func TestPageHasNoNull(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	ask := exchange{method: "POST", path: "/page/decisions", contentType: asJSON, body: `{"requirements": ["code_review"]}`}
	look := func(when string) {
		_, explained := ask.send(t, reg)
		text, _ := json.Marshal(explained)
		for _, body := range []string{browse(reg, "/page/services").Body.String(), browse(reg, "/page/decisions").Body.String(), string(text)} {
			if strings.Contains(body, "null") {
				t.Errorf("%s: %s", when, body)
			}
		}
	}
	look("without services")
	bare := `{"service_id": "bare", "name": "Bare", "version": "1.0.0", "capabilities": ["code_review"], "api": {"protocol": "http", "base_url": "http://localhost:1", "endpoints": [{"path": "/x", "method": "POST"}]}}`
	if _, err := reg.Register(t.Context(), parse(t, bare), nil); err != nil {
		t.Fatal(err)
	}
	look("with one that promises nothing")
	ask.body = `{"requirements": ["code_review"], "guarantees": {"accuracy": {"min": 0.9}}}`
	look("of which too much is asked")
}

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody there")
}

func TestPageShowsHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry(t, &registry.Options{ProbeInterval: time.Second, ProbeClient: &http.Client{Transport: unreachable{}}})
		if _, err := reg.Register(t.Context(), parse(t, codexContract), &caio.RegisterOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		tag := browse(reg, "/page/services").Header().Get("ETag")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go reg.Run(ctx)
		time.Sleep(10 * time.Second)
		answer := browse(reg, "/page/services", "If-None-Match", tag).Body.String()
		for _, want := range []string{`"status":"unhealthy"`, `"unhealthy":1`, `"lease":"leased for 1h0m0s"`} {
			if !strings.Contains(answer, want) {
				t.Errorf("the answer lacks %s: %s", want, answer)
			}
		}
		if body := browse(reg, "/").Body.String(); !strings.Contains(body, "1 service, 1 unhealthy") || !strings.Contains(body, `data-status="unhealthy"`) {
			t.Errorf("the page does not say so:\n%s", body)
		}
	})
}

// Of many services the page shows a hundred at a time, whatever their number.
func TestPageInParts(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	for i := range 250 {
		text := strings.Replace(codexContract, "codex-bridge-001", fmt.Sprintf("codex-%03d", i), 1)
		if _, err := reg.Register(t.Context(), parse(t, text), nil); err != nil {
			t.Fatal(err)
		}
	}
	var parts []string
	for path := "/page/services"; path != ""; {
		var state struct {
			Total, Matching, First int
			List                   []struct{ ID string }
			Next                   string
		}
		if err := json.Unmarshal(browse(reg, path).Body.Bytes(), &state); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, fmt.Sprintf("%d of %d from %d: %s to %s", len(state.List), state.Total, state.First, state.List[0].ID, state.List[len(state.List)-1].ID))
		if path = ""; state.Next != "" {
			path = "/page/services?after=" + state.Next
		}
	}
	want := []string{"100 of 250 from 1: codex-000 to codex-099", "100 of 250 from 101: codex-100 to codex-199", "50 of 250 from 201: codex-200 to codex-249"}
	if diff := cmp.Diff(want, parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if body := browse(reg, "/?q=CODEX-24").Body.String(); !strings.Contains(body, "10 of 250 services") || strings.Contains(body, "codex-239") {
		t.Error("the filter does not narrow the list")
	}
	if body := browse(reg, "/?q=Bridge&after=codex-099").Body.String(); !strings.Contains(body, `href="?q=Bridge&amp;after=codex-199"`) || !strings.Contains(body, "101 to 200") || !strings.Contains(body, `href="?q=Bridge"`) {
		t.Error("the page does not link the first and the next part")
	}
	if body := browse(reg, "/?after=z").Body.String(); !strings.Contains(body, "There are no more services.") || strings.Contains(body, "shown: 0") {
		t.Error("the page does not say that its part is empty")
	}
}

func TestPageExplainsDecisions(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	for id, latency := range map[string]string{"quick": "100", "medium": "1000", "slow": "9000"} {
		text := strings.Replace(strings.Replace(codexContract, "codex-bridge-001", id, 1), "5000", latency, 1)
		if _, err := reg.Register(t.Context(), parse(t, text), nil); err != nil {
			t.Fatal(err)
		}
	}
	most := 2000.0
	decision, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_review"}, Guarantees: map[string]contract.Bound{"p95_latency_ms": {Max: &most}}})
	if err != nil {
		t.Fatal(err)
	}
	type explained struct {
		ID, Asked, Service, Message, Faults string
		Missing                             []string
		Steps                               []struct {
			Service    string
			Candidates []struct{ Service string }
			Refused    []struct {
				Service string
				Failed  []struct{ Detail string }
			}
		}
		Proofs []struct{ Valid bool }
	}
	var made explained
	if err := json.Unmarshal(browse(reg, "/page/decisions/"+decision.DecisionID).Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	if made.Asked != "code_review, p95 latency ≤ 2000 ms" || made.Service != "quick" || made.Faults != "" || len(made.Proofs) != 5 || len(made.Steps[0].Candidates) != 2 {
		t.Errorf("explained as %+v", made)
	}
	if r := made.Steps[0].Refused; len(r) != 1 || r[0].Service != "slow" || r[0].Failed[0].Detail != "promises p95_latency_ms <= 9000, <= 2000 was required" {
		t.Errorf("refused: %+v", r)
	}

	ask := exchange{method: "POST", path: "/page/decisions", contentType: asJSON,
		body: `{"requirements": {"capabilities": ["code_review"], "guarantees": {"p95_latency_ms": {"max": 50}}}}`}
	status, body := ask.send(t, reg)
	text, _ := json.Marshal(body)
	var refused, again explained
	if err := json.Unmarshal(text, &refused); err != nil || status != 200 || refused.Service != "" || len(refused.Steps[0].Refused) != 3 || refused.Steps[0].Refused[0].Service != "quick" {
		t.Errorf("%d, explained as %s", status, text)
	}
	json.Unmarshal(browse(reg, "/page/decisions/"+refused.ID).Body.Bytes(), &again)
	if diff := cmp.Diff(refused, again); diff != "" {
		t.Errorf("asked again (-first +second):\n%s", diff)
	}
	ask.body = `{"requirements": ["fly"]}`
	if _, body := ask.send(t, reg); fmt.Sprint(body["missing"]) != "[fly]" {
		t.Errorf("nobody offers it: %v", body)
	}
	ask.body = `{"requirements": 1}`
	if status, body := ask.send(t, reg); status != 400 {
		t.Errorf("not a request: %d %v", status, body)
	}

	var decisions []explained
	if err := json.Unmarshal(browse(reg, "/page/decisions").Body.Bytes(), &decisions); err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, d := range decisions {
		listed = append(listed, d.Asked+": "+d.Service)
	}
	want := []string{"fly: ", "code_review, p95 latency ≤ 50 ms: ", "code_review, p95 latency ≤ 2000 ms: quick"}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("latest decisions (-want +got):\n%s", diff)
	}
}
