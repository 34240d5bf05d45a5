//go:build unix

// Package perf_test measures the cost of a bridge beside that of its alternatives: nothing, a reverse
// proxy, a bridge of openai-go without checks, and a hand-written bridge. Every target is a process of
// its own, held to one core. The model's server is a fake that answers at once. Rounds alternate
// between the targets, so that other work on the machine meets all of them. Medians are compared.
//
//	go test ./bridge/perf -count 1 -v -perf
//
// With PERF_PROFILE=dir each target leaves a CPU profile there. PERF_ONLY names the targets to measure,
// with commas between. Without -perf one short round shows that everything still works. No time is
// ever asserted.
package perf_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

var full = flag.Bool("perf", false, "measure for some minutes and print tables")

func TestMain(m *testing.M) {
	if name := os.Getenv("PERF_TARGET"); name != "" {
		serveTarget(name)
		return
	}
	flag.Parse()
	if *full && os.Getenv("PERF_PINNED") == "" {
		leaveCore()
	}
	os.Exit(m.Run())
}

// leaveCore starts this program again on the cores beside that of the targets, if there are any.
func leaveCore() {
	taskset, err := exec.LookPath("taskset")
	if err != nil || runtime.NumCPU() < 2 {
		fmt.Println("The targets share their core with the load: there is no taskset, or no other core.")
		return
	}
	args := append([]string{"taskset", "-c", fmt.Sprintf("1-%d", runtime.NumCPU()-1)}, os.Args...)
	err = syscall.Exec(taskset, args, append(os.Environ(), "PERF_PINNED=1"))
	fmt.Println("taskset:", err)
}

// A plan says how much to measure of each target.
type plan struct {
	rounds  int
	load    time.Duration // of calls on all connections, in each round
	calls   int           // one after the other, in each round
	streams int           // at once, for the delay of their events, in each round
	open    int           // streams at once, for their memory
}

const connections = 64

func choosePlan(t *testing.T) plan {
	if *full {
		return plan{rounds: 9, load: time.Second, calls: 1000, streams: 16, open: 250}
	}
	t.Parallel()
	return plan{rounds: 1, load: 20 * time.Millisecond, calls: 10, streams: 2, open: 3}
}

func TestCalls(t *testing.T) {
	p := choosePlan(t)
	targets := startTargets(t, direct, proxy, passage, sdkBridge, handwritten, ours, tuned)
	for _, target := range targets {
		target.load(t, p.load, 0) // to warm up
	}
	results := table{reference: handwritten}
	for range p.rounds {
		var least time.Duration
		for _, target := range targets {
			rate, cpu := target.load(t, p.load, 0)
			_, paced := target.load(t, p.load, connections*time.Second/1000)
			p50 := target.alone(t, p.calls)
			if target.name == direct {
				least = p50
			}
			results.add(target.name, "calls/s", rate)
			results.add(target.name, "CPU µs per call", micros(cpu))
			results.add(target.name, "at 1,000 calls/s", micros(paced))
			results.add(target.name, "p50 µs added", micros(p50-least))
		}
	}
	t.Logf("calls on %d connections, and on one for p50\n%s", connections, &results)
	t.Logf("%s beside %s:\n"+
		"\tcalls/s: %s; the goal is at least 0.8\n"+
		"\tCPU per call: %s; at most 1.25 is the same goal, and other work on the machine distorts it less",
		tuned, handwritten, summary(results.ratios(tuned, "calls/s")), summary(results.ratios(tuned, "CPU µs per call")))
}

// summary words the ratios of rounds.
func summary(ratios []float64) string {
	if len(ratios) == 0 {
		return "not measured"
	}
	return fmt.Sprintf("%.2f times (%.2f to %.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}

func TestStreams(t *testing.T) {
	p := choosePlan(t)
	targets := startTargets(t, direct, proxy, passage, sdkBridge, ours, tuned)
	results := table{reference: proxy}
	for range p.rounds + p.rounds/2 { // delays vary more than costs
		var least time.Duration
		for _, target := range targets {
			delay, cpu := target.follow(t, p.streams)
			if target.name == direct {
				least = delay
			}
			results.add(target.name, "CPU µs per event", micros(cpu))
			results.add(target.name, "p50 µs added to an event", micros(delay-least))
		}
	}
	for _, target := range targets {
		live, resident := target.hold(t, p.open)
		results.add(target.name, "KB live per open stream", live/1024)
		results.add(target.name, "KB resident", resident/1024)
	}
	t.Logf("%d streams, %d for memory\n%s", p.streams, p.open, &results)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
