package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio/internal/etcdtest"
)

// Two registries on one etcd are one to their callers, whichever member dies, and after a restart.
func TestServeOnEtcd(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, 3)
	members := strings.Join(cluster.Endpoints(), ",")
	files := newTerminal(t, nil)
	one, stopOne := serving(t, "--etcd", members)
	other, stopOther := serving(t, "--etcd", members)
	apart, stopApart := serving(t, "--etcd", members, "--etcd-prefix", "/apart/")
	one.must(t, "register", files.contract)
	if output := one.must(t, "services"); !strings.Contains(output, "echo-001") {
		t.Errorf("services where it was registered: %s", output)
	}
	if status, _, stderr := other.run(t, "", "register", files.other); status != exitTaken {
		t.Errorf("another contract at the other registry: status %d, %s", status, stderr)
	}
	cluster.Leader(t).Kill()
	if output := other.must(t, "call", "echo", "--data", `{"a": 1}`); !strings.Contains(output, `{"a":1}`) {
		t.Errorf("called through the other registry: %s", output)
	}
	other.must(t, "unregister", "echo-001")
	other.must(t, "register", files.other)
	stopOne()
	one, stopOne = serving(t, "--etcd", members)
	if output := one.must(t, "service", "echo-001"); !strings.Contains(output, "2.0.0") {
		t.Errorf("after a restart: %s", output)
	}
	if output := apart.must(t, "services"); !strings.Contains(output, "No services.") {
		t.Errorf("under another prefix: %s", output)
	}
	stopOne()
	stopOther()
	stopApart()
}

func TestServeRefusesStorage(t *testing.T) {
	t.Parallel()
	term := newTerminal(t, nil)
	nothing := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(nothing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   string
		status int
		stderr string // part of it
	}{
		"two places":        {"--data x.db --etcd 127.0.0.1:1", exitUsage, "--data and --etcd exclude each other"},
		"no members":        {"--etcd-cacert " + nothing, exitUsage, "go with --etcd"},
		"no key":            {"--etcd https://127.0.0.1:1 --etcd-cert " + nothing, exitUsage, "go together"},
		"no certificate":    {"--etcd https://127.0.0.1:1 --etcd-cacert " + nothing, exitFailure, "no certificate in PEM"},
		"no port":           {"--etcd 127.0.0.1", exitFailure, "host:port"},
		"nobody answers":    {"--etcd 127.0.0.1:1", exitFailure, "connection refused"},
		"user has no colon": {"--etcd 127.0.0.1:1", exitUsage, "ETCD_USER is not NAME:PASSWORD"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term := &terminal{env: map[string]string{"CAIO_URL": term.env["CAIO_URL"]}}
			if name == "user has no colon" {
				term.env["ETCD_USER"] = "canary"
			}
			status, _, stderr := term.run(t, "", append([]string{"serve", "--addr", "127.0.0.1:0"}, strings.Fields(test.args)...)...)
			if status != test.status || !strings.Contains(stderr, test.stderr) || strings.Contains(stderr, "canary") {
				t.Errorf("status %d, %s, want %d with %q", status, stderr, test.status, test.stderr)
			}
		})
	}
}
