package bridge

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// checkTimeout is what [HealthChecker] promises providers.
const checkTimeout = 2 * time.Second

var errMute = errors.New("CheckHealth has not returned in time")

// health answers /livez, /readyz and /health. The provider is asked at most once a second, however many ask.
type health struct {
	bridge  *Bridge
	service *service

	mu     sync.Mutex
	asked  time.Time     // when the provider was asked last
	asking chan struct{} // closed when it has answered
	err    error         // that it answered
}

// check returns why the bridge cannot take calls, or nil.
func (h *health) check(ctx context.Context) error {
	if h.bridge.draining.Load() {
		return errStopping
	}
	return h.checkProvider(ctx)
}

// checkProvider returns what the provider says of itself. A provider that does not answer keeps nobody longer than a check may
// take, and is not asked again before it has. The caller has acquired the service.
func (h *health) checkProvider(ctx context.Context) error {
	checker, ok := h.service.provider.Provider.(HealthChecker)
	if !ok {
		return nil
	}
	asking, left := h.ask(ctx, checker)
	late := time.NewTimer(left)
	defer late.Stop()
	select {
	case <-asking:
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.err
	case <-late.C:
		return errMute
	}
}

// ask has the provider checked unless that is going on, or was done in the last second. The channel is closed when it is done,
// for which there is some time left.
func (h *health) ask(ctx context.Context, checker HealthChecker) (asking <-chan struct{}, left time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asking != nil && (time.Since(h.asked) < time.Second || !isClosed(h.asking)) {
		return h.asking, checkTimeout + lateGrace - time.Since(h.asked)
	}
	h.asked, h.asking = time.Now(), make(chan struct{})
	h.service.provider.acquire()
	h.bridge.calls.Go(func() {
		defer h.bridge.release(h.service)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout) // one caller leaving must not fail the others
		defer cancel()
		err := recovering(func() error { return checker.CheckHealth(ctx) })
		h.mu.Lock()
		defer h.mu.Unlock()
		h.err = err
		close(h.asking)
	})
	return h.asking, checkTimeout + lateGrace
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (h *health) live(x *exchange) {
	h.write(x, http.StatusOK, map[string]string{"status": "ok"})
}

// A readiness is the body of GET /readyz.
type readiness struct {
	Status       string  `json:"status"` // "ok" or "unavailable"
	Announcement string  `json:"announcement,omitempty"`
	Checks       []check `json:"checks,omitempty"`
}

// A check is one of the things that GET /readyz?verbose tells of. The store of jobs and the announcement do not decide: most
// calls need neither.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`           // "ok" or "failed"; of the announcement, its state
	Detail string `json:"detail,omitempty"` // for callers who are authenticated: the provider's own public words
}

func (h *health) ready(x *exchange) {
	status, word := h.judge(x, "ok", "unavailable")
	answer := readiness{Announcement: h.bridge.announcement(), Status: word}
	if x.r.URL.Query().Has("verbose") {
		answer.Checks = h.checks(x)
	}
	h.write(x, status, answer)
}

func (h *health) checks(x *exchange) []check {
	state := func(good bool) string {
		if good {
			return "ok"
		}
		return "failed"
	}
	err := h.checkProvider(x.r.Context())
	provider := check{Name: "provider", Status: state(err == nil)}
	if _, refused := h.service.guard.checkCaller(x.r); refused == nil && h.service.guard.authenticate != nil {
		if public, ok := asError(err); ok {
			provider.Detail = public.Detail
		}
	}
	checks := []check{
		{Name: "shutdown", Status: state(!h.bridge.draining.Load())},
		provider,
		{Name: "store", Status: state(!h.bridge.ledger.failing.Load())},
	}
	if announcement := h.bridge.announcement(); announcement != "" {
		checks = append(checks, check{Name: "announcement", Status: announcement})
	}
	return checks
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
