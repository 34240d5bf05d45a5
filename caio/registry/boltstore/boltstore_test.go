package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/boltstore"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// In a process that the test started, the test binary is a registry that works until it is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("BOLTSTORE_TEST_FILE"); path != "" {
		fmt.Println("fault", work(path, os.Getenv("BOLTSTORE_TEST_ROUND")))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func newContract(id string) (*contract.Contract, error) {
	return contract.Parse(id, fmt.Appendf(nil, `{"service_id": %q, "name": "S", "version": "1.0.0", "capabilities": ["chat"],
		"api": {"protocol": "http", "base_url": "http://localhost:8082", "endpoints": [{"path": "/chat", "method": "POST"}]}}`, id))
}

// work registers, unregisters and routes without end, and says on the standard output what was acknowledged.
func work(path, round string) error {
	store, err := boltstore.Open(path)
	if err != nil {
		return err
	}
	reg, err := registry.New(&registry.Options{Store: store})
	if err != nil {
		return err
	}
	ctx := context.Background()
	go reg.Run(ctx)
	for i := 0; ; i++ {
		id := fmt.Sprintf("service-%s-%d", round, i)
		ct, err := newContract(id)
		if err != nil {
			return err
		}
		if _, err = reg.Register(ctx, ct, &caio.RegisterOptions{TTL: time.Hour}); err != nil {
			return err
		}
		fmt.Println("registered", id)
		if i%3 == 2 {
			gone := fmt.Sprintf("service-%s-%d", round, i-1)
			fmt.Println("unregistering", gone)
			if err := reg.Unregister(ctx, gone); err != nil {
				return err
			}
			fmt.Println("unregistered", gone)
		}
		decision, err := reg.Route(ctx, caio.Request{Capabilities: []string{"chat"}})
		if err != nil {
			return err
		}
		fmt.Println("decided", decision.DecisionID)
	}
}

// Whenever the process is killed, every registration and removal that was acknowledged is still so, and the traces that
// are there are whole; all but the latest are there.
func TestKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	there, decided := map[string]bool{}, []string{}
	for round := range 6 {
		uncertain := map[string]bool{}
		for _, line := range killedWork(t, path, round) {
			verb, id, _ := strings.Cut(line, " ")
			switch verb {
			case "registered":
				there[id] = true
			case "unregistering":
				uncertain[id] = true
			case "unregistered":
				delete(there, id)
			case "decided":
				decided = append(decided, id)
			case "fault":
				t.Fatal(line)
			}
		}
		store, err := boltstore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		reg, err := registry.New(&registry.Options{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		var held []string
		services, _ := reg.Services(t.Context(), caio.Filter{})
		for _, service := range services {
			held = append(held, service.ID)
		}
		for id := range there {
			if !slices.Contains(held, id) && !uncertain[id] {
				t.Errorf("round %d: %s was acknowledged and is lost", round, id)
			}
		}
		if extra := len(held) - len(there); extra > 1 { // at most the one under way at the kill
			t.Errorf("round %d: %d services that nobody knows of", round, extra)
		}
		clear(there) // what was under way at the kill is decided now
		for _, id := range held {
			there[id] = true
		}
		lost := 0
		for i, id := range decided[max(0, len(decided)-500):] {
			trace, err := reg.Trace(t.Context(), id)
			if err != nil {
				lost++
				continue
			}
			if err := registry.Verify(trace.Raw); i%20 == 0 && err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if lost > 10*(round+1) {
			t.Errorf("round %d: %d of %d traces are lost", round, lost, len(decided))
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d services, %d decisions", len(there), len(decided))
}

// killedWork starts the work, kills it some time after the first acknowledgement, and returns what it said.
func killedWork(t *testing.T, path string, round int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BOLTSTORE_TEST_FILE="+path, fmt.Sprint("BOLTSTORE_TEST_ROUND=", round))
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	scanner := bufio.NewScanner(output)
	for scanner.Scan() {
		if lines = append(lines, scanner.Text()); len(lines) == 1 {
			time.AfterFunc(time.Duration(1+rand.IntN(200))*time.Millisecond, func() { cmd.Process.Kill() })
		}
	}
	cmd.Wait() // it was killed
	if len(lines) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	return lines
}

func TestKit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kit.db")
	if err := storetest.Check(t.Context(), func() (registry.Store, error) { return boltstore.Open(path) }); err != nil {
		t.Error(err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "registry.db")
	store, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want the owner's only", info.Mode(), err)
	}
	if _, err := boltstore.Open(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	other := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(other, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.Open(other); err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("another file: %v", err)
	}
}
