package bridge

import (
	"context"
	"net/http"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/probe"
)

// health answers /livez, /readyz and /health.
type health struct {
	bridge  *Bridge
	service *service
	probe   *probe.Probe // nil for a provider without a health check
}

func newHealth(b *Bridge, s *service) *health {
	h := &health{bridge: b, service: s}
	if checker, ok := s.provider.Provider.(HealthChecker); ok {
		h.probe = &probe.Probe{Check: checker.CheckHealth, Go: h.goWithProvider}
	}
	return h
}

// goWithProvider keeps the provider open while f runs. The caller of a probe has acquired the
// service.
func (h *health) goWithProvider(f func()) {
	h.service.provider.Acquire()
	h.bridge.goroutines.Go(func() {
		defer h.bridge.releaseService(h.service)
		f()
	})
}

// check returns the reason why the bridge takes no calls, or nil.
func (h *health) check(ctx context.Context) error {
	if h.bridge.draining.Load() {
		return errStopping
	}
	return h.checkProvider(ctx)
}

// checkProvider returns the result of the provider's health check.
func (h *health) checkProvider(ctx context.Context) error {
	if h.probe == nil {
		return nil
	}
	return h.probe.Run(ctx)
}

func (h *health) live(x *exchange) error {
	return h.write(x, http.StatusOK, map[string]string{"status": "ok"})
}

// A readinessReport is the body of GET /readyz.
type readinessReport struct {
	Status       string            `json:"status"` // "ok" or "unavailable"
	Announcement AnnouncementState `json:"announcement,omitempty"`
	Checks       []check           `json:"checks,omitempty"`
}

// A check is one entry of GET /readyz?verbose. The store of jobs and the announcement do not count
// for readiness: most calls need neither.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`           // "ok" or "failed", or the state of the announcement
	Detail string `json:"detail,omitempty"` // the provider's public error, for authenticated callers
}

func (h *health) ready(x *exchange) error {
	status, word := h.readiness(x, "ok", "unavailable")
	report := readinessReport{Announcement: h.bridge.announcement.State(), Status: word}
	if x.r.URL.Query().Has("verbose") {
		report.Checks = h.checks(x)
	}
	return h.write(x, status, report)
}

func (h *health) checks(x *exchange) []check {
	status := func(good bool) string {
		if good {
			return "ok"
		}
		return "failed"
	}
	err := h.checkProvider(x.r.Context())
	provider := check{Name: "provider", Status: status(err == nil)}
	if _, refused := h.service.access.checkCaller(x.r); refused == nil && h.service.access.verify != nil {
		if public, ok := asError(err); ok {
			provider.Detail = public.Detail
		}
	}
	checks := []check{{Name: "shutdown", Status: status(!h.bridge.draining.Load())}, provider}
	if h.bridge.jobs != nil {
		checks = append(checks, check{Name: "store", Status: status(!h.bridge.jobs.Degraded())})
	}
	if state := h.bridge.announcement.State(); state != "" {
		checks = append(checks, check{Name: "announcement", Status: string(state)})
	}
	return checks
}

// A healthReport is the body of GET /health.
type healthReport struct {
	Status        string            `json:"status"` // "healthy" or "unhealthy"
	Service       string            `json:"service"`
	ServiceID     string            `json:"service_id"`
	Version       string            `json:"version"` // version of the contract
	UptimeSeconds int64             `json:"uptime_seconds"`
	InProgress    int64             `json:"calls_in_progress"`
	Announcement  AnnouncementState `json:"announcement,omitempty"`
}

func (h *health) report(x *exchange) error {
	status, word := h.readiness(x, "healthy", "unhealthy")
	b, s := h.bridge, h.service
	return h.write(x, status, healthReport{
		Status:        word,
		Service:       s.name(),
		ServiceID:     s.contract.ID,
		Version:       s.contract.Version,
		UptimeSeconds: int64(time.Since(b.created).Seconds()),
		InProgress:    b.inFlight.Count(),
		Announcement:  b.announcement.State(),
	})
}

func (h *health) readiness(x *exchange, good, bad string) (status int, word string) {
	err := h.check(x.r.Context())
	if err == nil {
		return http.StatusOK, good
	}
	x.failure = &Error{Code: CodeUnavailable, Cause: err}
	return http.StatusServiceUnavailable, bad
}

func (h *health) write(x *exchange, status int, v any) error {
	x.skipAccessLog = true
	body, err := codec.Encode(v)
	if err != nil {
		return err
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Cache-Control", "no-store")
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // it fails only if the caller has left
	return nil
}
