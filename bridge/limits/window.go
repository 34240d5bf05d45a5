package limits

import "time"

// A window is an exact sliding window. It remembers the times of the last quota admissions, so the
// count never exceeds quota in any span of its length. It costs 8 bytes per remembered call.
type window struct {
	name   string
	length time.Duration
	quota  int

	keep  int             // number of remembered calls: quota, or more after a larger quota
	taken []time.Duration // a ring once it holds keep entries; oldest at next
	next  int
}

// remember copies the admissions of another window of the same length. It copies all of them,
// because the quota may grow again.
func (w *window) remember(other *window) {
	for i := range other.taken {
		w.taken = append(w.taken, other.at(i))
	}
	w.keep = max(w.quota, len(w.taken))
}

// wait returns the time until a call may be admitted; 0 means now.
func (w *window) wait(now time.Duration) time.Duration {
	if len(w.taken) < w.quota {
		return 0
	}
	return max(0, w.at(len(w.taken)-w.quota)+w.length-now)
}

func (w *window) take(now time.Duration) {
	if len(w.taken) < w.keep {
		w.taken = append(w.taken, now)
		return
	}
	w.taken[w.next] = now
	w.next = (w.next + 1) % w.keep
}

// left counts the calls that may still be admitted now.
func (w *window) left(now time.Duration) int {
	return max(0, w.quota-len(w.taken)+w.expired(now))
}

// untilNextFree returns the time until left grows; 0 if all are left.
func (w *window) untilNextFree(now time.Duration) time.Duration {
	i := w.expired(now)
	if i == len(w.taken) {
		return 0
	}
	return w.at(max(i, len(w.taken)-w.quota)) + w.length - now
}

// expired counts the remembered calls that no longer count, by bisection: they are in order of
// time.
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
