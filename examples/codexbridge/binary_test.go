//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// Tests of the built program as a process, with signals.

// A process is a running process of the built program.
type process struct {
	running
	cmd    *exec.Cmd
	stderr *lockedBuffer
}

// build returns the path of the binary. It builds it once for all tests.
func build(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		need(t, "the go command is needed to build the example")
	}
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

var binary = sync.OnceValues(func() (string, error) {
	file := filepath.Join(scratch, "codexbridge")
	if out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return file, nil
})

// launch starts the binary. Its environment contains only env.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{stderr: new(lockedBuffer)}
	p.cmd = exec.Command(build(t), args...)
	p.cmd.Env = append([]string{}, env...)
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // if the test has not stopped it
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("stderr:\n%s", p.stderr)
		}
	})
	p.running = readBanner(t, stdout)
	return p
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the end of the process. It kills the process after 20 seconds.
func (p *process) wait(t *testing.T) syscall.WaitStatus {
	t.Helper()
	giveUp := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer giveUp.Stop()
	_ = p.cmd.Wait() // the state has more details than the error
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// commands returns the commands of the banner.
func commands(output string) (list []string) {
	for block := range strings.SplitSeq(output, "\n\n") {
		if _, command, ok := strings.Cut(block, "\ncurl "); ok {
			list = append(list, "curl "+command)
		}
	}
	return list
}

func TestPrintedCommandsWorkWhenPasted(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		need(t, "curl is needed to run the commands that the example prints")
	}
	const bridgeToken, caioToken = "canary-bridge-0123456789", "canary-caio-0123456789"
	for _, test := range []struct {
		name string
		env  []string
		args []string
		last string // member of the third command's response
	}{
		{"as it comes", nil, ownPorts, "service_id"},
		{"with tokens", []string{"CODEX_BRIDGE_TOKEN=" + bridgeToken, "CAIO_TOKEN=" + caioToken}, ownPorts, "service_id"},
		{"open to others, with tokens", []string{"CODEX_BRIDGE_TOKEN=" + bridgeToken, "CAIO_TOKEN=" + caioToken},
			[]string{"-addr", ":0", "-caio-addr", ":0"}, "service_id"},
		{"not registered", nil, append(slices.Clone(ownPorts), "-register=false"), "services"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, test.env, test.args...)
			if test.last == "service_id" {
				client, err := caio.NewClient(p.caio, &caio.Options{HTTPClient: web, Token: caio.StaticToken(caioToken)})
				if err != nil {
					t.Fatal(err)
				}
				discover(t, client, "code_generation")
			}
			list := commands(p.output)
			if len(list) != 3 {
				t.Fatalf("%d commands are printed, want 3:\n%s", len(list), p.output)
			}
			for i, member := range []string{"code", "findings", test.last} {
				shell := exec.CommandContext(t.Context(), "sh", "-c", list[i])
				shell.Env = append(os.Environ(), test.env...)
				out, err := shell.CombinedOutput()
				var answer map[string]any
				if err != nil || json.Unmarshal(out, &answer) != nil || answer[member] == nil {
					t.Errorf("%s\nprints %s (%v), want %q in it", list[i], out, err, member)
				}
				if i < 2 && answer["model"] != demoModel {
					t.Errorf("model = %v, want %s", answer["model"], demoModel)
				}
			}
			p.signal(t, syscall.SIGTERM)
			if status := p.wait(t); status.ExitStatus() != 0 {
				t.Errorf("exit code = %d, want 0", status.ExitStatus())
			}
			if said := p.output + p.stderr.String(); strings.Contains(said, "canary") {
				t.Errorf("a token is printed:\n%s", said)
			}
		})
	}
}

// A slowModel is a demo model that responds after a call of answer.
type slowModel struct {
	*httptest.Server
	asked  chan struct{}
	answer func()
}

func newSlowModel(t *testing.T) *slowModel {
	release := make(chan struct{})
	m := &slowModel{asked: make(chan struct{}), answer: sync.OnceFunc(func() { close(release) })}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		close(m.asked)
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		newDemo().ServeHTTP(w, r)
	}))
	t.Cleanup(m.Close)
	t.Cleanup(m.answer)
	return m
}

// launchBusy returns a process with a call in progress, registered with a CAIO of the test.
func launchBusy(t *testing.T) (p *process, client *caio.Client, m *slowModel, status <-chan int) {
	t.Helper()
	m = newSlowModel(t)
	handler, err := registry.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	orchestrator := httptest.NewServer(handler)
	t.Cleanup(orchestrator.Close)
	client = newClient(t, orchestrator.URL)
	p = launch(t, []string{"CAIO_URL=" + orchestrator.URL, "OPENAI_BASE_URL=" + m.URL + "/v1"}, ownPorts...)
	discover(t, client, "code_generation")
	answered := make(chan int, 1)
	go func() {
		defer close(answered)
		res, err := web.Post(p.bridge+"/generate", "application/json", strings.NewReader(`{"prompt":"p"}`))
		if err != nil {
			return
		}
		res.Body.Close()
		answered <- res.StatusCode
	}()
	<-m.asked
	return p, client, m, answered
}

// waitUnregistered waits until CAIO has no services.
func waitUnregistered(t *testing.T, client *caio.Client) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		services, err := client.Services(t.Context(), caio.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if len(services) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still registered: %+v", services)
		}
	}
}

func TestSignalLetsCallsFinish(t *testing.T) {
	t.Parallel()
	p, client, m, answered := launchBusy(t)
	p.signal(t, syscall.SIGTERM)
	waitUnregistered(t, client)
	m.answer()
	if status := <-answered; status != 200 {
		t.Errorf("the call in progress ended with status %d, want 200", status)
	}
	if status := p.wait(t); status.ExitStatus() != 0 {
		t.Errorf("exit code = %d, want 0", status.ExitStatus())
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p, client, _, answered := launchBusy(t)
	p.signal(t, os.Interrupt)
	waitUnregistered(t, client)
	p.signal(t, os.Interrupt)
	if status := p.wait(t); !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v, want by the signal", status)
	}
	<-answered
}
