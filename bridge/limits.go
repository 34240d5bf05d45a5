package bridge

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// limits admits calls as the contract allows: at most so many at the same time, and at most so many in any window of a
// minute, an hour and so on. Admission is all or nothing: a call that one clause refuses counts for none of them.
type limits struct {
	start         time.Time // windows count nanoseconds from here, on the monotonic clock
	maxConcurrent int       // 0: not limited

	mu         sync.Mutex
	concurrent int
	windows    []*window
}

func newLimits(c contract.Constraints) *limits {
	l := &limits{start: time.Now(), maxConcurrent: c.MaxConcurrentRequests}
	for _, w := range []window{
		{name: "per_second", length: time.Second, quota: c.RateLimit.PerSecond},
		{name: "per_minute", length: time.Minute, quota: c.RateLimit.PerMinute},
		{name: "per_hour", length: time.Hour, quota: c.RateLimit.PerHour},
		{name: "per_day", length: 24 * time.Hour, quota: c.RateLimit.PerDay},
	} {
		if w.quota > 0 {
			l.windows = append(l.windows, &w)
		}
	}
	return l
}

// admit takes a slot, or says which clause refused. The caller must call release once, when the call has ended.
func (l *limits) admit() (release func(), refused *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.maxConcurrent > 0 && l.concurrent >= l.maxConcurrent {
		return nil, &Error{
			Code:       CodeRateLimited,
			Detail:     fmt.Sprintf("All %d calls that the contract allows at the same time are in progress. Try again when one has ended.", l.maxConcurrent),
			Clause:     "constraints.max_concurrent_requests",
			RetryAfter: time.Second,
		}
	}
	now := time.Since(l.start)
	for _, w := range l.windows {
		if wait := w.wait(now); wait > 0 {
			return nil, &Error{
				Code:       CodeRateLimited,
				Detail:     fmt.Sprintf("The contract allows %d calls %s. Try again in %d seconds.", w.quota, strings.ReplaceAll(w.name, "_", " "), ceilSeconds(wait)),
				Clause:     "constraints.rate_limit." + w.name,
				RetryAfter: wait,
			}
		}
	}
	for _, w := range l.windows {
		w.take(now)
	}
	l.concurrent++
	return sync.OnceFunc(l.release), nil
}

func (l *limits) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.concurrent--
}

func (l *limits) inProgress() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.concurrent
}

// setHeaders tells the caller what is left, as draft-ietf-httpapi-ratelimit-headers-10 words it.
func (l *limits) setHeaders(h http.Header) {
	if len(l.windows) == 0 {
		return
	}
	var policy, state []string
	l.mu.Lock()
	now := time.Since(l.start)
	for _, w := range l.windows {
		policy = append(policy, fmt.Sprintf("%q;q=%d;w=%d", w.name, w.quota, int(w.length.Seconds())))
		state = append(state, fmt.Sprintf("%q;r=%d;t=%d", w.name, w.left(now), ceilSeconds(w.untilNextFree(now))))
	}
	l.mu.Unlock()
	h.Set("RateLimit-Policy", strings.Join(policy, ", "))
	h.Set("RateLimit", strings.Join(state, ", "))
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
