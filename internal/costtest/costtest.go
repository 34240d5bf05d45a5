//go:build unix

// Package costtest measures the CPU time and the allocated bytes of a test's work. Both are the
// process's own, so that they do not depend on how busy the machine is.
//
// Tests that use it are named TestCost..., do not run in parallel, and are built without the race
// detector ("//go:build unix && !race"), which multiplies both figures.
package costtest

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A Cost is the work of one call.
type Cost struct {
	CPU       time.Duration // user and system time of all threads, garbage collection included
	Allocated uint64        // bytes, freed ones included
}

// Measure returns the cost of f. It includes what other goroutines of the process do meanwhile.
func Measure(t testing.TB, f func()) Cost {
	t.Helper()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := cpuTime(t)
	f()
	cpu := cpuTime(t) - start
	runtime.ReadMemStats(&after)
	return Cost{CPU: cpu, Allocated: after.TotalAlloc - before.TotalAlloc}
}

// AtMost fails the test if f costs more than limit. It tries up to three times and judges the
// cheapest run, because the first one may fill caches or share a page fault with the runtime.
func AtMost(t testing.TB, limit Cost, f func()) Cost {
	t.Helper()
	least := Measure(t, f)
	for range 2 {
		if least.CPU <= limit.CPU && least.Allocated <= limit.Allocated {
			return least
		}
		again := Measure(t, f)
		least = Cost{CPU: min(least.CPU, again.CPU), Allocated: min(least.Allocated, again.Allocated)}
	}
	if least.CPU > limit.CPU || least.Allocated > limit.Allocated {
		t.Errorf("got %v of CPU and %d KiB allocated, want at most %v and %d KiB",
			least.CPU, least.Allocated>>10, limit.CPU, limit.Allocated>>10)
	}
	return least
}

func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatalf("getrusage: %v", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
