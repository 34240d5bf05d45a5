//go:build unix

package perf_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process serves under an address and says what it uses.
type process struct {
	addr    string
	control io.Writer
	reports *json.Decoder
}

// A report is what a process answers to a line on its standard input.
type report struct {
	CPU      time.Duration // since its start, in user and system mode
	Live     float64       // bytes of objects after a collection, and of stacks, if the line was "memory"
	Resident float64       // bytes that the kernel counts for the process; 0 where there is no /proc
}

// start runs a server of this program in a process of its own, which ends with the test. It has one core if it is measured.
func start(t *testing.T, server, upstream string, measured bool) *process {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PERF_TARGET="+server, "PERF_UPSTREAM="+upstream)
	if measured {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	}
	if measured && *full {
		if taskset, err := exec.LookPath("taskset"); err == nil {
			cmd.Path, cmd.Args = taskset, []string{"taskset", "-c", "0", os.Args[0]}
		}
	}
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(server, err)
		}
	})
	var addr string
	reports := json.NewDecoder(stdout)
	check(t, reports.Decode(&addr))
	return &process{addr, stdin, reports}
}

func (p *process) report(t *testing.T, what string) (r report) {
	_, err := fmt.Fprintln(p.control, what)
	check(t, err)
	check(t, p.reports.Decode(&r))
	return r
}

// serveTarget is what such a process does, until its standard input ends.
func serveTarget(server string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer profile(server)()
	go func() { panic(servers[server](ln, os.Getenv("PERF_UPSTREAM"))) }()
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(ln.Addr().String())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		_ = out.Encode(measure(lines.Text() == "memory")) // if the test is gone, so is standard input
	}
}

// profile writes a CPU profile to the directory that PERF_PROFILE names, if it does.
func profile(server string) (stop func()) {
	dir := os.Getenv("PERF_PROFILE")
	if dir == "" {
		return func() {}
	}
	f, err := os.CreateTemp(dir, strings.ReplaceAll(server, " ", "-")+"-*.pprof")
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		panic(err)
	}
	return pprof.StopCPUProfile
}

func measure(memory bool) (r report) {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // cannot fail with these arguments
	r.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	if !memory {
		return r
	}
	runtime.GC() // empties pools together with the one that follows
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.Live = float64(m.HeapAlloc + m.StackInuse)
	statm, _ := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(statm)); len(fields) > 1 {
		pages, _ := strconv.Atoi(fields[1])
		r.Resident = float64(pages * os.Getpagesize())
	}
	return r
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
