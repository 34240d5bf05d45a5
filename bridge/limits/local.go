package limits

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Local limiter keeps its limits within this process. It does not know the calls of an earlier
// process. Admission is all or nothing: a call that one limit refuses counts for none. It is safe
// for concurrent use.
type Local struct {
	start     time.Time // windows count from here, on the monotonic clock
	perCaller Limits

	mu      sync.Mutex
	all     *scope
	callers map[string]*scope
	sweepAt int // number of callers that triggers a sweep of idle ones
}

// NewLocal returns a limiter of all calls together, and of the calls of each caller.
func NewLocal(all, perCaller Limits) *Local {
	return &Local{
		start:     time.Now(),
		perCaller: perCaller,
		all:       newScope("", all),
		callers:   map[string]*scope{},
		sweepAt:   minSweep,
	}
}

// Admit implements [Limiter]. The error is a [*Refusal].
func (l *Local) Admit(_ context.Context, caller string) (Admission, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.start)
	scopes := append(make([]*scope, 0, 2), l.all)
	var own *scope // of the caller; nil without limits per caller
	if l.perCaller != (Limits{}) {
		own = l.caller(caller, now)
		scopes = append(scopes, own)
	}
	var refused *Refusal
	windows := 0
	for _, s := range scopes {
		windows += len(s.windows)
		if r := s.refuse(now); r != nil && (refused == nil || r.RetryAfter > refused.RetryAfter) {
			refused = r
		}
	}
	var a Admission
	if windows > 0 {
		a.Quotas = make([]Quota, 0, windows)
	}
	for _, s := range scopes {
		if refused == nil {
			s.take(now)
		}
		a.Quotas = s.appendQuotas(a.Quotas, now)
	}
	if refused != nil {
		return a, refused
	}
	released := false
	a.Release = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if released {
			return
		}
		released = true
		l.all.concurrent--
		if own != nil {
			own.concurrent--
		}
	}
	return a, nil
}

// Change replaces the limits on all calls together, from the next call on. Earlier calls count for
// the new limits, except for a window without a limit before.
func (l *Local) Change(all Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.change(all)
}

// minSweep is the number of callers before those without used limits are forgotten. The next sweep
// comes at twice the number of callers left, so that a new caller costs little.
const minSweep = 1024

func (l *Local) caller(name string, now time.Duration) *scope {
	if s, ok := l.callers[name]; ok {
		return s
	}
	if len(l.callers) >= l.sweepAt {
		maps.DeleteFunc(l.callers, func(_ string, s *scope) bool { return s.idle(now) })
		l.sweepAt = max(minSweep, 2*len(l.callers))
	}
	s := newScope("caller_", l.perCaller)
	l.callers[name] = s
	return s
}

// A scope holds the limits of all calls together, or of one caller's.
type scope struct {
	prefix        string // prefix of quota names; "" for the limits of the contract
	maxConcurrent int    // 0: not limited
	concurrent    int
	windows       []*window
}

func newScope(prefix string, of Limits) *scope {
	s := &scope{prefix: prefix}
	s.change(of)
	return s
}

// change replaces the limits. Admitted calls still count.
func (s *scope) change(to Limits) {
	s.maxConcurrent = to.MaxConcurrentRequests
	var windows []*window
	for _, w := range []window{
		{name: "per_second", length: time.Second, quota: to.RateLimit.PerSecond},
		{name: "per_minute", length: time.Minute, quota: to.RateLimit.PerMinute},
		{name: "per_hour", length: time.Hour, quota: to.RateLimit.PerHour},
		{name: "per_day", length: 24 * time.Hour, quota: to.RateLimit.PerDay},
	} {
		if w.quota <= 0 {
			continue
		}
		w.keep = w.quota
		if i := slices.IndexFunc(s.windows, func(old *window) bool { return old.name == w.name }); i >= 0 {
			w.remember(s.windows[i])
		}
		windows = append(windows, &w)
	}
	s.windows = windows
}

// refuse returns the refusal of a call over a limit, or nil. Of several limits it names the one
// that takes longest, because a caller that comes back earlier would be refused again.
func (s *scope) refuse(now time.Duration) (refused *Refusal) {
	if s.maxConcurrent > 0 && s.concurrent >= s.maxConcurrent {
		refused = &Refusal{
			Detail: fmt.Sprintf("All %d calls that %s at the same time are in progress. Try again when one has ended.",
				s.maxConcurrent, s.owner()),
			Clause:     s.clause("constraints.max_concurrent_requests"),
			RetryAfter: time.Second,
		}
	}
	for _, w := range s.windows {
		if wait := w.wait(now); wait > 0 && (refused == nil || wait > refused.RetryAfter) {
			refused = &Refusal{
				Detail: fmt.Sprintf("Of the %d calls that %s %s none is left. Try again in %d seconds.",
					w.quota, s.owner(), strings.ReplaceAll(w.name, "_", " "), (wait+time.Second-1)/time.Second),
				Clause:     s.clause("constraints.rate_limit." + w.name),
				RetryAfter: wait,
			}
		}
	}
	return refused
}

func (s *scope) owner() string {
	if s.prefix == "" {
		return "the contract allows"
	}
	return "one caller may make"
}

// clause names a clause of the contract; limits per caller are the operator's, not the contract's.
func (s *scope) clause(name string) string {
	if s.prefix == "" {
		return name
	}
	return ""
}

func (s *scope) take(now time.Duration) {
	s.concurrent++
	for _, w := range s.windows {
		w.take(now)
	}
}

func (s *scope) appendQuotas(to []Quota, now time.Duration) []Quota {
	for _, w := range s.windows {
		to = append(to, Quota{
			Name:      s.prefix + w.name,
			Limit:     w.quota,
			Window:    w.length,
			Remaining: w.left(now),
			Reset:     w.untilNextFree(now),
		})
	}
	return to
}

// idle reports if the scope can be forgotten without a change.
func (s *scope) idle(now time.Duration) bool {
	for _, w := range s.windows {
		if w.left(now) < w.quota {
			return false
		}
	}
	return s.concurrent == 0
}
