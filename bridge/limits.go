package bridge

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// localLimiter is the default [Limiter]. Admission is all or nothing under one lock: a call that one limit refuses counts
// for none.
type localLimiter struct {
	start     time.Time // windows count from here, on the monotonic clock
	perCaller CallerLimits

	mu      sync.Mutex
	all     *scope
	callers map[string]*scope
}

func newLocalLimiter(c contract.Constraints, perCaller CallerLimits) *localLimiter {
	return &localLimiter{
		start:     time.Now(),
		perCaller: perCaller,
		all:       newScope("", c.MaxConcurrentRequests, c.RateLimit),
		callers:   map[string]*scope{},
	}
}

// Admit implements [Limiter].
func (l *localLimiter) Admit(_ context.Context, caller string) (Admission, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.start)
	scopes := []*scope{l.all}
	if l.perCaller != (CallerLimits{}) {
		scopes = append(scopes, l.caller(caller, now))
	}
	var refused *Error
	for _, s := range scopes {
		if refused = s.refuse(now); refused != nil {
			break
		}
	}
	if refused == nil {
		for _, s := range scopes {
			s.take(now)
		}
	}
	var a Admission
	for _, s := range scopes {
		a.Quotas = append(a.Quotas, s.quotas(now)...)
	}
	if refused != nil {
		return a, refused
	}
	a.Release = sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, s := range scopes {
			s.concurrent--
		}
	})
	return a, nil
}

// maxIdleCallers is how many callers are remembered before those whose limits are all free again are forgotten.
const maxIdleCallers = 1024

func (l *localLimiter) caller(name string, now time.Duration) *scope {
	if s, ok := l.callers[name]; ok {
		return s
	}
	if len(l.callers) >= maxIdleCallers {
		for other, s := range l.callers {
			if s.idle(now) {
				delete(l.callers, other)
			}
		}
	}
	s := newScope("caller_", l.perCaller.MaxConcurrentRequests, l.perCaller.RateLimit)
	l.callers[name] = s
	return s
}

// A scope holds the limits of all calls together, or of one caller's.
type scope struct {
	prefix        string // of the names of its quotas; "" for the contract's own limits
	maxConcurrent int    // 0: not limited
	concurrent    int
	windows       []*window
}

func newScope(prefix string, maxConcurrent int, rates contract.RateLimit) *scope {
	s := &scope{prefix: prefix, maxConcurrent: maxConcurrent}
	for _, w := range []window{
		{name: "per_second", length: time.Second, quota: rates.PerSecond},
		{name: "per_minute", length: time.Minute, quota: rates.PerMinute},
		{name: "per_hour", length: time.Hour, quota: rates.PerHour},
		{name: "per_day", length: 24 * time.Hour, quota: rates.PerDay},
	} {
		if w.quota > 0 {
			s.windows = append(s.windows, &w)
		}
	}
	return s
}

// refuse says which limit does not let a call through, if one does not.
func (s *scope) refuse(now time.Duration) *Error {
	if s.maxConcurrent > 0 && s.concurrent >= s.maxConcurrent {
		return &Error{
			Code:       CodeRateLimited,
			Detail:     fmt.Sprintf("All %d calls that %s at the same time are in progress. Try again when one has ended.", s.maxConcurrent, s.who()),
			Clause:     s.clause("constraints.max_concurrent_requests"),
			RetryAfter: time.Second,
		}
	}
	for _, w := range s.windows {
		if wait := w.wait(now); wait > 0 {
			return &Error{
				Code:       CodeRateLimited,
				Detail:     fmt.Sprintf("Of the %d calls that %s %s none is left. Try again in %d seconds.", w.quota, s.who(), strings.ReplaceAll(w.name, "_", " "), ceilSeconds(wait)),
				Clause:     s.clause("constraints.rate_limit." + w.name),
				RetryAfter: wait,
			}
		}
	}
	return nil
}

func (s *scope) who() string {
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

func (s *scope) quotas(now time.Duration) []Quota {
	quotas := make([]Quota, len(s.windows))
	for i, w := range s.windows {
		quotas[i] = Quota{Name: s.prefix + w.name, Limit: w.quota, Window: w.length, Remaining: w.left(now), Reset: w.untilNextFree(now)}
	}
	return quotas
}

// idle reports whether forgetting the scope would change nothing.
func (s *scope) idle(now time.Duration) bool {
	for _, w := range s.windows {
		if w.left(now) < w.quota {
			return false
		}
	}
	return s.concurrent == 0
}

// A window is an exact sliding window: it remembers when each of the last quota calls was admitted, so the count never
// exceeds quota in any span of its length. It costs 8 bytes per call remembered.
type window struct {
	name   string
	length time.Duration
	quota  int

	taken []time.Duration // a ring once it holds quota entries; oldest at next
	next  int
}

// wait returns how long until a call may be admitted; 0 means now.
func (w *window) wait(now time.Duration) time.Duration {
	if len(w.taken) < w.quota {
		return 0
	}
	return max(0, w.taken[w.next]+w.length-now)
}

func (w *window) take(now time.Duration) {
	if len(w.taken) < w.quota {
		w.taken = append(w.taken, now)
		return
	}
	w.taken[w.next] = now
	w.next = (w.next + 1) % w.quota
}

// left counts the calls that may still be admitted now.
func (w *window) left(now time.Duration) int {
	return w.quota - len(w.taken) + w.expired(now)
}

// untilNextFree returns when the oldest call still counted falls out of the window.
func (w *window) untilNextFree(now time.Duration) time.Duration {
	i := w.expired(now)
	if i == len(w.taken) {
		return 0
	}
	return w.at(i) + w.length - now
}

// expired counts the remembered calls that no longer count, by bisection: they are in order of time.
func (w *window) expired(now time.Duration) int {
	low, high := 0, len(w.taken)
	for low < high {
		mid := (low + high) / 2
		if w.at(mid)+w.length > now {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

func (w *window) at(i int) time.Duration { return w.taken[(w.next+i)%len(w.taken)] }

func ceilSeconds(d time.Duration) int {
	return int((d + time.Second - 1) / time.Second)
}
