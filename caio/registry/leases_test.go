package registry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/internal/sharedmem"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
)

// isThere reports whether anything that can be asked still knows the service.
func isThere(t *testing.T, reg *registry.Registry, id string) bool {
	t.Helper()
	_, err := reg.Service(t.Context(), id)
	services, _ := reg.Services(t.Context(), anyService)
	_, body := exchange{method: "POST", path: "/api/v1/integration/discover-services", contentType: asJSON, body: `{}`}.send(t, reg)
	_, routed := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_review"}})
	known := err == nil
	if known != (len(services) == 1) || known != (body["count"] == 1.0) || known != (routed == nil) {
		t.Errorf("service %v, services %v, discovered %v, route %v: they disagree", err, services, body, routed)
	}
	return known
}

func TestLeaseEnds(t *testing.T) {
	t.Parallel()
	ct := parse(t, codexContract)
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry(t, nil)
		registration, err := reg.Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Minute})
		if err != nil || registration.TTLSeconds != 60 || registration.MaxTTLSeconds != 86400 {
			t.Fatalf("Lease: %+v, %v", registration, err)
		}
		time.Sleep(59 * time.Second)
		if !isThere(t, reg, ct.ID) {
			t.Error("ended too early")
		}
		reg.Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Minute}) // renewed
		time.Sleep(59 * time.Second)
		if !isThere(t, reg, ct.ID) {
			t.Error("not renewed")
		}
		time.Sleep(time.Second)
		if isThere(t, reg, ct.ID) {
			t.Error("there after the end")
		}
		if err := reg.Unregister(t.Context(), ct.ID); !errors.Is(err, caio.ErrNotFound) {
			t.Errorf("Unregister after the end: %v", err)
		}
		other := parse(t, strings.Replace(codexContract, "1.0.0", "2.0.0", 1))
		reg.Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Minute})
		if _, err := reg.Register(t.Context(), other, nil); !errors.Is(err, caio.ErrAlreadyRegistered) {
			t.Errorf("another contract during the lease: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := reg.Register(t.Context(), other, nil); err != nil {
			t.Errorf("another contract after the lease: %v", err)
		}
		time.Sleep(time.Hour)
		if !isThere(t, reg, ct.ID) {
			t.Error("a registration without lease ended")
		}
		reg.Register(t.Context(), other, &caio.RegisterOptions{TTL: time.Second})
		reg.Register(t.Context(), other, nil) // the last registration counts
		time.Sleep(time.Hour)
		if !isThere(t, reg, ct.ID) {
			t.Error("the lease outlasted a registration without one")
		}
	})
}

func TestLeaseForms(t *testing.T) {
	t.Parallel()
	wrapped := func(ttl string) string { return `{"contract": ` + codexJSON(t) + `, "ttl_seconds": ` + ttl + `}` }
	for name, test := range map[string]struct {
		exchange exchange
		ttl      any // nil for refused
	}{
		"beside the contract":  {exchange{path: "/api/v1/services", contentType: asJSON, body: wrapped("30")}, 30.0},
		"integration":          {exchange{path: "/api/v1/integration/register-service", contentType: asJSON, body: wrapped("86400")}, 86400.0},
		"in the query":         {exchange{path: "/api/v1/register-service?ttl_seconds=7", contentType: "application/yaml", body: codexContract}, 7.0},
		"zero":                 {exchange{path: "/api/v1/services", contentType: asJSON, body: wrapped("0")}, nil},
		"too long":             {exchange{path: "/api/v1/services", contentType: asJSON, body: wrapped("86401")}, nil},
		"a fraction":           {exchange{path: "/api/v1/services", contentType: asJSON, body: wrapped("1.5")}, nil},
		"a text":               {exchange{path: "/api/v1/services", contentType: asJSON, body: wrapped(`"30"`)}, nil},
		"negative in a query":  {exchange{path: "/api/v1/services?ttl_seconds=-1", contentType: "application/yaml", body: codexContract}, nil},
		"upload, with a query": {exchange{path: "/api/v1/integration/upload-contract?ttl_seconds=x", contentType: "multipart/form-data; boundary=x", body: "--x--"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.exchange.method = "POST"
			status, body := test.exchange.send(t, newRegistry(t, nil))
			if code, message := refusal(body); test.ttl == nil && (status != 400 || code != "INVALID_REQUEST" || !strings.Contains(message, "ttl_seconds")) {
				t.Errorf("%d %v, want a refusal", status, body)
			}
			if test.ttl != nil && (status != 200 || body["ttl_seconds"] != test.ttl) {
				t.Errorf("%d %v, want %v", status, body, test.ttl)
			}
		})
	}
}

// A caller without a token may register but not unregister. It can make a registration longer and
// nothing else, and the answer states the resulting lease. One registry has no store, one has its
// own, and two share one.
func TestStrangersDoNotEndRegistrations(t *testing.T) {
	t.Parallel()
	const hour = 3600
	ct := parse(t, codexContract)
	for name, test := range map[string]struct {
		lease    time.Duration // 0 for none
		strange  string        // query of the stranger's registration after 20 minutes
		ttl      any           // in the answer; nil for no lease
		from, to time.Duration // after that registration: still there, and no longer; 0 for never
	}{
		"permanent":                {0, "?ttl_seconds=1", nil, 24 * time.Hour, 0},
		"permanent, again":         {0, "", nil, 24 * time.Hour, 0},
		"leased, shorter":          {time.Hour, "?ttl_seconds=1", 2400.0, 2399 * time.Second, 2400 * time.Second},
		"leased, ends as it would": {time.Hour, "?ttl_seconds=2400", 2400.0, 2399 * time.Second, 2400 * time.Second},
		"leased, later":            {time.Hour, "?ttl_seconds=2401", 1.0 * hour, 3599 * time.Second, 3600 * time.Second},
		"leased, the same":         {time.Hour, "?ttl_seconds=3600", 1.0 * hour, 3599 * time.Second, 3600 * time.Second},
		"leased, longer":           {time.Hour, "?ttl_seconds=7200", 2.0 * hour, 7199 * time.Second, 7200 * time.Second},
		"leased, for good":         {time.Hour, "", nil, 24 * time.Hour, 0},
	} {
		for kind, open := range map[string]func(t *testing.T, opts registry.Options) (owner, other *registry.Registry){
			"in memory": func(t *testing.T, opts registry.Options) (owner, other *registry.Registry) {
				reg := newRegistry(t, &opts)
				return reg, reg
			},
			"stored": func(t *testing.T, opts registry.Options) (owner, other *registry.Registry) {
				opts.Store = new(storetest.MemoryStore)
				reg := newRegistry(t, &opts)
				return reg, reg
			},
			"shared": func(t *testing.T, opts registry.Options) (owner, other *registry.Registry) {
				hub := new(sharedmem.Hub)
				opts.Store = hub.Open()
				owner = newRegistry(t, &opts)
				opts.Store = hub.Open()
				other = newRegistry(t, &opts)
				t.Cleanup(runRegistry(t, owner))
				t.Cleanup(runRegistry(t, other))
				return owner, other
			},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					owner, other := open(t, registry.Options{Tokens: []string{"a-token-of-some-length"}, OpenIntegration: true})
					if _, err := owner.Register(t.Context(), ct, &caio.RegisterOptions{TTL: test.lease}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(20 * time.Minute)
					e := exchange{method: "POST", path: "/api/v1/integration/register-service" + test.strange, contentType: "application/yaml", body: codexContract}
					status, answer := e.send(t, other)
					if status != 200 || answer["ttl_seconds"] != test.ttl {
						t.Errorf("%d %v, want the lease %v", status, answer, test.ttl)
					}
					time.Sleep(test.from)
					if !isThere(t, owner, ct.ID) || !isThere(t, other, ct.ID) {
						t.Errorf("gone after %v", test.from)
					}
					if test.to == 0 {
						return
					}
					time.Sleep(test.to - test.from)
					if isThere(t, owner, ct.ID) || isThere(t, other, ct.ID) {
						t.Errorf("there after %v", test.to)
					}
				})
			})
		}
	}
}

// The lease that begins anew when a stored service is loaded is not shortened either.
func TestStrangersDoNotShortenStoredLeases(t *testing.T) {
	t.Parallel()
	ct := parse(t, codexContract)
	synctest.Test(t, func(t *testing.T) {
		opts := &registry.Options{Store: new(storetest.MemoryStore), Tokens: []string{"a-token-of-some-length"}, OpenIntegration: true}
		reg := newRegistry(t, opts)
		reg.Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Hour})
		time.Sleep(59*time.Minute + 50*time.Second)
		e := exchange{method: "POST", path: "/api/v1/integration/register-service?ttl_seconds=20", contentType: "application/yaml", body: codexContract}
		if status, answer := e.send(t, reg); status != 200 || answer["ttl_seconds"] != 3600.0 {
			t.Errorf("%d %v, want the lease renewed", status, answer)
		}
		again := newRegistry(t, opts)
		time.Sleep(59 * time.Minute)
		if !isThere(t, again, ct.ID) {
			t.Error("the lease is shorter after a restart")
		}
	})
}

// A token counts on the open path, too: its owner may shorten a lease. A user's token counts for
// none.
func TestTokensOnTheOpenPath(t *testing.T) {
	t.Parallel()
	const admin, user, service = "a-token-of-some-length", "a-token-for-the-users", "a-token-for-services"
	for token, ttl := range map[string]any{admin: 7.0, service: 7.0, user: nil, "": nil, "a-token-of-no-one": nil} {
		reg := newRegistry(t, &registry.Options{Tokens: []string{admin}, UserTokens: []string{user}, ServiceTokens: []string{service}, OpenIntegration: true})
		if _, err := reg.Register(t.Context(), parse(t, codexContract), nil); err != nil {
			t.Fatal(err)
		}
		e := exchange{method: "POST", path: "/api/v1/integration/register-service?ttl_seconds=7", contentType: "application/yaml", body: codexContract,
			header: map[string]string{"Authorization": "Bearer " + token}}
		if status, answer := e.send(t, reg); status != 200 || answer["ttl_seconds"] != ttl {
			t.Errorf("%q: %d %v, want the lease %v", token, status, answer, ttl)
		}
	}
}

// A fakeService answers health checks without a network.
type fakeService struct {
	status atomic.Int64 // 0 for no connection
	asked  atomic.Int64
	path   atomic.Value
}

func (f *fakeService) RoundTrip(r *http.Request) (*http.Response, error) {
	f.asked.Add(1)
	f.path.Store(r.Method + " " + r.URL.String())
	status := int(f.status.Load())
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("body")), Request: r}, nil
}

// A service that fails three checks in a row is not routed to until it passes two; single failures change nothing.
func TestProbesSetTheStatus(t *testing.T) {
	t.Parallel()
	ct := parse(t, codexContract)
	synctest.Test(t, func(t *testing.T) {
		service := new(fakeService)
		service.status.Store(200)
		var log strings.Builder
		reg := newRegistry(t, &registry.Options{ProbeInterval: 10 * time.Second, ProbeClient: &http.Client{Transport: service},
			Logger: slog.New(slog.NewTextHandler(&log, nil))})
		reg.Register(t.Context(), ct, nil)
		stop := runRegistry(t, reg)
		next := func(status int) { // lets the next check be answered so
			before := service.asked.Load()
			service.status.Store(int64(status))
			for service.asked.Load() == before {
				time.Sleep(time.Second)
			}
			synctest.Wait()
		}
		active := func() bool {
			s, err := reg.Service(t.Context(), ct.ID)
			services, _ := reg.Services(t.Context(), caio.Filter{Status: "active"})
			unhealthy, _ := reg.Services(t.Context(), caio.Filter{Status: "unhealthy"})
			_, routed := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_review"}})
			is := err == nil && s.Status == "active"
			if is != (len(services) == 1) || is == (len(unhealthy) == 1) || is != (routed == nil) {
				t.Errorf("status %v, active %v, unhealthy %v, route %v: they disagree", s, services, unhealthy, routed)
			}
			return is
		}
		for i, step := range []struct {
			status int
			active bool
		}{{200, true}, {503, true}, {0, true}, {200, true}, {503, true}, {404, true}, {0, false}, {200, false}, {503, false}, {200, false}, {302, true}, {200, true}} {
			if next(step.status); active() != step.active {
				t.Errorf("after check %d, %d: active is not %t", i, step.status, step.active)
			}
		}
		if got := service.path.Load(); got != "GET http://localhost:8082/health" {
			t.Errorf("asked %v", got)
		}
		before := service.asked.Load()
		time.Sleep(10 * time.Minute)
		if n := service.asked.Load() - before; n < 40 || n > 90 {
			t.Errorf("%d checks in ten minutes", n)
		}
		stop()
		for _, line := range []string{"health_check=http://localhost:8082/health", `msg="the service is unhealthy" service_id=codex-bridge-001 error="Get`, "connection refused", `msg="the service is healthy again"`} {
			if !strings.Contains(log.String(), line) {
				t.Errorf("the log lacks %s:\n%s", line, &log)
			}
		}
	})
}

// A service that has no endpoint for its health is not asked anything, its lease decides, and the
// log and the page say so.
func TestWithoutHealthCheckTheLeaseDecides(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"no such endpoint":   {"path: /health", "path: /things"},
		"another path":       {"path: /health", "path: /admin/delete-all/health"},
		"base_url's path":    {"base_url: http://localhost:8082", "base_url: http://localhost:8082/admin/delete-all"},
		"not by this method": {"path: /health\n        method: GET", "path: /health\n        method: POST"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ct := parse(t, strings.Replace(codexContract, change[0], change[1], 1))
			synctest.Test(t, func(t *testing.T) {
				service := new(fakeService)
				var log strings.Builder
				reg := newRegistry(t, &registry.Options{ProbeInterval: time.Second, ProbeClient: &http.Client{Transport: service},
					Logger: slog.New(slog.NewTextHandler(&log, nil))})
				if _, err := reg.Register(t.Context(), ct, &caio.RegisterOptions{TTL: time.Hour}); err != nil {
					t.Fatal(err)
				}
				stop := runRegistry(t, reg)
				time.Sleep(time.Hour - time.Second)
				if n := service.asked.Load(); n != 0 {
					t.Errorf("asked %d times, at last %v", n, service.path.Load())
				}
				if !isThere(t, reg, ct.ID) {
					t.Error("it is not routed to")
				}
				if body := browse(reg, "/page/services").Body.String(); !strings.Contains(body, `"lease":"leased for 1h0m0s, no health check"`) {
					t.Errorf("the page does not say so: %s", body)
				}
				time.Sleep(time.Second)
				if isThere(t, reg, ct.ID) {
					t.Error("there after its lease")
				}
				stop()
				if !strings.Contains(log.String(), `health_check="none: `) {
					t.Errorf("the log does not say so:\n%s", &log)
				}
			})
		})
	}
}

// runRegistry runs the registry until stop is called, which waits for it.
func runRegistry(t *testing.T, reg *registry.Registry) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- reg.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}
