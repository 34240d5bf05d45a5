package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

var soakCompare = flag.Bool("soak-compare", false,
	"let TestSoakComparison run the soak without and with hostile callers, for -soak each")

// soakFigures compare two modes of the soak.
type soakFigures struct {
	Calls, Timed      int
	Resident, Peak    float64       // MiB: median of the last third between calls, most at any time
	Median, Percent99 time.Duration // latency of timedCalls
}

const figuresMark = "soak figures: "

func (s *soakEnv) figures(samples []sample) soakFigures {
	slices.Sort(s.latencies)
	f := soakFigures{Calls: int(s.done.Load()), Timed: len(s.latencies), Peak: peakMiB()}
	if n := len(s.latencies); n > 0 {
		f.Median, f.Percent99 = s.latencies[n/2], s.latencies[n*99/100]
	}
	if n := len(samples); n > 0 {
		f.Resident = median(samples[n-(n+2)/3:], len(holdings)-1)
	}
	return f
}

func logFigures(t *testing.T, f soakFigures) {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s%s", figuresMark, text)
}

// peakMiB is 0 on systems without /proc.
func peakMiB() float64 {
	text, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib float64
	_, _ = fmt.Sscan(rest, &kib)
	return kib / (1 << 10)
}

// resetPeak resets the peak of the resident memory. On systems without /proc it does nothing.
func resetPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200)
}

// TestSoakComparison runs the soak without and with hostile callers, in a process of its own each.
// It logs the table for docs/reliability.md: the cost of hostile callers for the others.
//
//	go test ./examples/codexbridge -run TestSoakComparison -v -soak 10m -soak-compare -timeout 30m
func TestSoakComparison(t *testing.T) {
	if !*soakCompare {
		t.Skip("this takes twice the time of a soak: enable it with -soak-compare")
	}
	without, with := runSoak(t, false), runSoak(t, true)
	rows := []struct {
		name          string
		without, with float64
	}{
		{"resident between calls, MiB", without.Resident, with.Resident},
		{"resident at most, MiB", without.Peak, with.Peak},
		{"median latency, ms", without.Median.Seconds() * 1e3, with.Median.Seconds() * 1e3},
		{"99th percentile of the latency, ms", without.Percent99.Seconds() * 1e3, with.Percent99.Seconds() * 1e3},
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| %v each | without hostile callers | with | ratio |\n| --- | --: | --: | --: |\n", *soak)
	fmt.Fprintf(&b, "| calls | %d | %d | |\n", without.Calls, with.Calls)
	fmt.Fprintf(&b, "| calls whose latency counts | %d | %d | |\n", without.Timed, with.Timed)
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f |\n", r.name, r.without, r.with, r.with/r.without)
	}
	t.Logf("\n%s", &b)
}

// runSoak runs TestSoak in a process of its own and returns its figures.
func runSoak(t *testing.T, hostile bool) (f soakFigures) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestSoak$", "-test.v", "-test.timeout=0",
		fmt.Sprintf("-soak=%v", *soak), fmt.Sprintf("-soak-hostile=%v", hostile))
	output, err := cmd.CombinedOutput()
	t.Logf("hostile callers: %v\n%s", hostile, output)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(output), figuresMark)
	if err := json.NewDecoder(strings.NewReader(rest)).Decode(&f); err != nil {
		t.Fatalf("the soak's figures: %v", err)
	}
	return f
}
