package bridge

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// health answers /livez, /readyz and /health. The provider is asked at most once a second, however many ask.
type health struct {
	bridge  *Bridge
	service *service

	mu      sync.Mutex
	checked time.Time
	err     error
}

// check returns why the bridge cannot take calls, or nil.
func (h *health) check(ctx context.Context) error {
	if h.bridge.draining.Load() {
		return errStopping
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checked.IsZero() || time.Since(h.checked) >= time.Second {
		h.err = h.service.checkProvider(context.WithoutCancel(ctx)) // one caller leaving must not fail the others
		h.checked = time.Now()
	}
	return h.err
}

func (h *health) live(x *exchange) {
	h.write(x, http.StatusOK, map[string]string{"status": "ok"})
}

func (h *health) ready(x *exchange) {
	status, word := h.judge(x, "ok", "unavailable")
	answer := map[string]string{"status": word}
	if state := h.bridge.announcement(); state != "" {
		answer["announcement"] = state
	}
	h.write(x, status, answer)
}

// A healthReport is the body of GET /health.
type healthReport struct {
	Status        string `json:"status"` // "healthy" or "unhealthy"
	Service       string `json:"service"`
	ServiceID     string `json:"service_id"`
	Version       string `json:"version"` // of the contract
	UptimeSeconds int64  `json:"uptime_seconds"`
	InProgress    int64  `json:"calls_in_progress"`
	Announcement  string `json:"announcement,omitempty"` // how it stands with the orchestrator; see Announcer
}

func (h *health) report(x *exchange) {
	status, word := h.judge(x, "healthy", "unhealthy")
	b, s := h.bridge, h.service
	h.write(x, status, healthReport{
		Status:        word,
		Service:       s.name(),
		ServiceID:     s.contract.ID,
		Version:       s.contract.Version,
		UptimeSeconds: int64(time.Since(b.since).Seconds()),
		InProgress:    b.inProgress.Load(),
		Announcement:  b.announcement(),
	})
}

func (h *health) judge(x *exchange, good, bad string) (status int, word string) {
	err := h.check(x.r.Context())
	if err == nil {
		return http.StatusOK, good
	}
	x.failure = &Error{Code: CodeUnavailable, Cause: err}
	x.quiet = errors.Is(err, errStopping)
	return http.StatusServiceUnavailable, bad
}

func (h *health) write(x *exchange, status int, v any) {
	body, err := encode(v)
	if err != nil {
		x.fail(err)
		return
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Cache-Control", "no-store")
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a health check that left needs no answer
}
