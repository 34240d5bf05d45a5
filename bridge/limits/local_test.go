package limits_test

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A model keeps every admission for ever, and counts.
type model struct {
	all, perCaller limits.Limits
	admitted       []time.Time
	byCaller       map[string][]time.Time
	running        int
	runningOf      map[string]int
}

func (m *model) admits(caller string) bool {
	return fits(m.all, m.admitted, m.running) && fits(m.perCaller, m.byCaller[caller], m.runningOf[caller])
}

func fits(l limits.Limits, admitted []time.Time, running int) bool {
	if l.MaxConcurrentRequests > 0 && running >= l.MaxConcurrentRequests {
		return false
	}
	for length, quota := range map[time.Duration]int{time.Second: l.RateLimit.PerSecond, time.Minute: l.RateLimit.PerMinute} {
		n := 0
		for _, at := range admitted {
			if time.Since(at) < length {
				n++
			}
		}
		if quota > 0 && n >= quota {
			return false
		}
	}
	return true
}

func (m *model) take(caller string) {
	m.admitted = append(m.admitted, time.Now())
	m.byCaller[caller] = append(m.byCaller[caller], time.Now())
	m.running++
	m.runningOf[caller]++
}

func (m *model) release(caller string) {
	m.running--
	m.runningOf[caller]--
}

// Whatever calls come and end when, and however the limits change, a call is admitted if and only
// if every limit has room for it.
func TestAdmitsExactlyWhatTheLimitsAllow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { checkExactness(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func checkExactness(t *testing.T, random *rand.Rand) {
	some := func() limits.Limits {
		return limits.Limits{MaxConcurrentRequests: 1 + random.IntN(6), RateLimit: contract.RateLimit{PerSecond: 1 + random.IntN(5), PerMinute: 5 + random.IntN(40)}}
	}
	m := &model{all: some(), perCaller: some(), byCaller: map[string][]time.Time{}, runningOf: map[string]int{}}
	l := limits.NewLocal(m.all, m.perCaller)
	type held struct {
		caller  string
		release func()
	}
	var running []held
	for step := range 1000 {
		time.Sleep(time.Duration(random.ExpFloat64() * float64(200*time.Millisecond)))
		if step%100 == 99 {
			m.all = some()
			l.Change(m.all)
		}
		if i := random.IntN(2 + len(running)); i < len(running) {
			running[i].release()
			running[i].release() // is no second slot
			m.release(running[i].caller)
			running = append(running[:i], running[i+1:]...)
			continue
		}
		caller := string(rune('a' + random.IntN(3)))
		want := m.admits(caller)
		admission, err := l.Admit(t.Context(), caller)
		if got := err == nil; got != want {
			t.Fatalf("step %d: admitted = %t (%v), want %t", step, got, err, want)
		}
		if err == nil {
			m.take(caller)
			running = append(running, held{caller, admission.Release})
			continue
		}
		refusal, ok := errors.AsType[*limits.Refusal](err)
		if !ok || refusal.Detail == "" || refusal.RetryAfter <= 0 {
			t.Fatalf("step %d: refused with %#v, want a Refusal that says when to try again", step, err)
		}
	}
}

// No interleaving admits more than the limits allow, and after a million calls that ended one way
// or another every slot is free.
func TestSlotsComeBack(t *testing.T) {
	t.Parallel()
	const slots, callers, calls = 7, 8, 1_000_000
	l := limits.NewLocal(limits.Limits{MaxConcurrentRequests: slots}, limits.Limits{MaxConcurrentRequests: 3})
	var running, admitted, refused atomic.Int64
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(caller), 1))
			var held []func()
			for range calls / callers {
				admission, err := l.Admit(t.Context(), strconv.Itoa(caller%4))
				if err != nil {
					refused.Add(1)
				} else {
					admitted.Add(1)
					if n := running.Add(1); n > slots {
						t.Errorf("%d calls at a time, %d are allowed", n, slots)
					}
					held = append(held, func() { running.Add(-1); admission.Release() })
				}
				for len(held) > random.IntN(3) {
					endOneWayOrAnother(random, held[0])
					held = held[1:]
				}
			}
			for _, end := range held {
				end()
			}
		})
	}
	all.Wait()
	if admitted.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d calls were admitted and %d refused: this shows nothing", admitted.Load(), refused.Load())
	}
	for range 3 {
		for _, caller := range []string{"0", "1"} {
			if _, err := l.Admit(t.Context(), caller); err != nil {
				t.Fatalf("a slot was lost: %v", err)
			}
		}
	}
	if _, err := l.Admit(t.Context(), "2"); err != nil {
		t.Errorf("the last slot was lost: %v", err)
	}
}

// endOneWayOrAnother ends a call in its goroutine or another one, by return or by panic.
func endOneWayOrAnother(random *rand.Rand, end func()) {
	switch random.IntN(50) {
	case 0:
		done := make(chan struct{})
		go func() { defer close(done); end() }()
		<-done
	case 1:
		defer func() { _ = recover() }()
		defer end()
		panic("the handler's fault")
	default:
		end()
	}
}

// However many ask at once, a window admits as many as it is for.
func TestWindowsAdmitNoMoreThanTheirQuota(t *testing.T) {
	t.Parallel()
	const quota, perCaller, callers, calls = 900, 250, 8, 2000
	l := limits.NewLocal(limits.Limits{RateLimit: contract.RateLimit{PerDay: quota}}, limits.Limits{RateLimit: contract.RateLimit{PerHour: perCaller}})
	var all sync.WaitGroup
	var admitted [callers / 2]atomic.Int64
	for caller := range callers {
		all.Go(func() {
			name := caller % len(admitted)
			for range calls {
				if admission, err := l.Admit(t.Context(), strconv.Itoa(name)); err == nil {
					admitted[name].Add(1)
					admission.Release()
				}
			}
		})
	}
	all.Wait()
	var sum int64
	for name := range admitted {
		if n := admitted[name].Load(); n > perCaller {
			t.Errorf("%d calls of caller %d were admitted, %d are allowed", n, name, perCaller)
		}
		sum += admitted[name].Load()
	}
	if sum != quota {
		t.Errorf("%d calls were admitted, want %d", sum, quota)
	}
}

// A caller who comes back when it was told to, and nobody else meanwhile, is admitted: of several
// limits that are reached, the one that takes longest says when. Before, the first one did, and
// Retry-After was earlier than the reset of another quota, which
// draft-ietf-httpapi-ratelimit-headers rules out.
func TestWhoWaitsAsToldIsAdmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := limits.Limits{MaxConcurrentRequests: 1, RateLimit: contract.RateLimit{PerSecond: 2, PerMinute: 3, PerHour: 5}}
		l := limits.NewLocal(all, limits.Limits{RateLimit: contract.RateLimit{PerMinute: 1, PerDay: 6}})
		refusals := 0
		for range 20 {
			admission, err := l.Admit(t.Context(), "")
			if refusal, ok := errors.AsType[*limits.Refusal](err); ok {
				refusals++
				for _, q := range admission.Quotas {
					if q.Remaining == 0 && q.Reset > refusal.RetryAfter {
						t.Errorf("come back in %v, though nothing is left of %s for %v", refusal.RetryAfter, q.Name, q.Reset)
					}
				}
				time.Sleep(refusal.RetryAfter)
				admission, err = l.Admit(t.Context(), "")
			}
			if err != nil {
				t.Fatalf("refused after the wait: %v", err)
			}
			_, busy := l.Admit(t.Context(), "") // while the call is in progress
			if refusal, ok := errors.AsType[*limits.Refusal](busy); !ok || refusal.RetryAfter < time.Minute {
				t.Errorf("refused for the slot and for the minute: %#v", busy)
			}
			admission.Release()
		}
		if refusals < 19 {
			t.Errorf("%d refusals", refusals)
		}
	})
}

// What was admitted before limits change counts afterwards, in rings of any fill.
func TestChangeForgetsNothing(t *testing.T) {
	t.Parallel()
	perMinute := func(n int) limits.Limits { return limits.Limits{RateLimit: contract.RateLimit{PerMinute: n}} }
	synctest.Test(t, func(t *testing.T) {
		l := limits.NewLocal(perMinute(4), limits.Limits{})
		for range 9 { // once and a quarter around the ring
			_, _ = l.Admit(t.Context(), "")
			time.Sleep(11 * time.Second)
		}
		var left []int
		for _, n := range []int{4, 2, 3, 10} {
			l.Change(limits.Limits{RateLimit: contract.RateLimit{PerMinute: n, PerHour: 1000}})
			left = append(left, remaining(t, l))
		}
		if diff := cmp.Diff([]int{0, 0, 0, 5}, left); diff != "" {
			t.Errorf("left of 4, 2, 3 and 10 per minute (-want +got):\n%s", diff)
		}
	})
}

// remaining asks for a call, and returns what is then left of the minute.
func remaining(t *testing.T, l *limits.Local) int {
	admission, _ := l.Admit(t.Context(), "")
	return admission.Quotas[0].Remaining
}

func BenchmarkAdmit(b *testing.B) {
	l := limits.NewLocal(limits.Limits{MaxConcurrentRequests: 10, RateLimit: contract.RateLimit{PerMinute: 1000, PerHour: 10000}}, limits.Limits{})
	b.ReportAllocs()
	for b.Loop() {
		if a, err := l.Admit(b.Context(), ""); err == nil {
			a.Release()
		}
	}
}
