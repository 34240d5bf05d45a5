package caio_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// elsewhere returns the contract with another address.
func elsewhere(t *testing.T, ct *contract.Contract) *contract.Contract {
	t.Helper()
	ct, err := ct.WithBaseURL("http://other.example:8082")
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

// Announce waits while another contract has the id, and never changes that entry.
func TestAnnounceWaitsDuringAConflict(t *testing.T) {
	t.Parallel()
	ct, other := newContract(t, "mine", "1.0.0"), elsewhere(t, newContract(t, "mine", "2.0.0"))
	synctest.Test(t, func(t *testing.T) {
		s := newFakeCAIO(t)
		s.registry.Register(t.Context(), other, nil)
		a := startAnnounce(t, s, ct)
		pass(5 * time.Minute)
		if got := strings.Count(a.log.String(), "another contract has"); got != 1 {
			t.Errorf("logged the conflict %d times:\n%s", got, &a.log)
		}
		a.end(t)
		if service, err := s.registry.Service(t.Context(), "mine"); err != nil || service.Version != "2.0.0" {
			t.Errorf("the other's entry after the end: %+v, %v, want it untouched", service, err)
		}

		a = startAnnounce(t, s, ct)
		s.registry.Unregister(t.Context(), "mine")
		pass(time.Minute)
		if service, err := s.registry.Service(t.Context(), "mine"); err != nil || service.Version != "1.0.0" {
			t.Errorf("after the id was freed: %+v, %v, want our registration", service, err)
		}
		a.end(t)
	})
}

// Announce does not withdraw an entry that replaced its own, even after its last check.
func TestAnnounceLeavesAReplacementAlone(t *testing.T) {
	t.Parallel()
	ct, other := newContract(t, "mine", "1.0.0"), newContract(t, "mine", "2.0.0")
	for name, wait := range map[string]time.Duration{"noticed": 5 * time.Minute, "not noticed": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeCAIO(t)
				a := startAnnounce(t, s, ct)
				s.registry.Unregister(t.Context(), "mine")
				s.registry.Register(t.Context(), other, nil)
				pass(wait)
				a.end(t)
				if !s.has(t, "mine") {
					t.Error("the other's registration was withdrawn")
				}
			})
		})
	}
}

// Announce replaces the entry of a crashed run at the same address, and no other entry.
func TestAnnounceTakesOverItsOwnStaleEntry(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.1.0")
	other := elsewhere(t, newContract(t, "mine", "1.0.0"))
	public, err := newContract(t, "mine", "1.0.0").WithBaseURL("https://codex.example")
	if err != nil {
		t.Fatal(err)
	}
	nextPublic, err := ct.WithBaseURL("https://codex.example/")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		held, announced *contract.Contract
		caio            string
		taken           bool
	}{
		"same address":                        {newContract(t, "mine", "1.0.0"), ct, "http://localhost:8080", true},
		"newer one, rolled back":              {newContract(t, "mine", "2.0.0"), ct, "http://localhost:8080", true},
		"same public address":                 {public, nextPublic, "http://caio.example", true},
		"another address":                     {other, ct, "http://localhost:8080", false},
		"this machine, but CAIO is elsewhere": {newContract(t, "mine", "1.0.0"), ct, "http://caio.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &fakeCAIO{registry: newRegistry(t, &registry.Options{Hosts: []string{"*"}})}
				s.registry.Register(t.Context(), test.held, nil)
				a := startAnnounceAt(t, s, test.caio, test.announced)
				pass(time.Minute)
				service, err := s.registry.Service(t.Context(), "mine")
				if err != nil || service.Contract.Equal(test.announced) != test.taken {
					t.Errorf("the entry is %+v, %v, want ours: %t", service, err, test.taken)
				}
				a.end(t)
				if s.has(t, "mine") == test.taken {
					t.Errorf("there at the end: %t", !test.taken)
				}
			})
		})
	}
}

// Without contracts in CAIO's answers, Announce adopts an entry that looks like its own, and leaves
// it at the end.
func TestAnnounceWithoutContracts(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	for name, test := range map[string]struct {
		held  *contract.Contract
		state string
	}{
		"looks the same":  {elsewhere(t, ct), "registering registered"},
		"another version": {newContract(t, "mine", "1.0.1"), "registering conflict"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeCAIO(t)
				s.hideContracts = true
				s.registry.Register(t.Context(), test.held, nil)
				a := startAnnounce(t, s, ct)
				pass(5 * time.Minute)
				if got := strings.Join(a.states, " "); got != test.state {
					t.Errorf("states %q, want %q", got, test.state)
				}
				a.end(t)
				if service, err := s.registry.Service(t.Context(), "mine"); err != nil || !service.Contract.Equal(test.held) {
					t.Errorf("the other's entry afterwards: %+v, %v", service, err)
				}
			})
		})
	}
}
