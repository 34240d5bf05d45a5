package etcdstore_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/etcdtest"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/etcdstore"
	"github.com/smarthaus/caio-bridge-go/caio/registry/storetest"
)

const password = "canary-of-a-password"

// closed makes a cluster ask for passwords. The user caio may use keys with the prefix /mine/.
func closed(t *testing.T) (cluster *etcdtest.Cluster, root *clientv3.Client) {
	t.Helper()
	cluster = etcdtest.Start(t, 1)
	client := cluster.Client(t)
	ctx := t.Context()
	var faults []error
	did := func(_ any, err error) { faults = append(faults, err) }
	did(client.UserAdd(ctx, "root", password))
	did(client.RoleAdd(ctx, "root"))
	did(client.UserGrantRole(ctx, "root", "root"))
	did(client.RoleAdd(ctx, "caio"))
	did(client.RoleGrantPermission(ctx, "caio", "/mine/", clientv3.GetPrefixRangeEnd("/mine/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	did(client.UserAdd(ctx, "caio", password))
	did(client.UserGrantRole(ctx, "caio", "caio"))
	did(client.AuthEnable(ctx))
	root, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Username: "root", Password: password})
	if err := errors.Join(append(faults, err)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return cluster, root
}

// Who is not let in is told by whom and why; no password is told.
func TestUsers(t *testing.T) {
	t.Parallel()
	cluster, root := closed(t)
	as := func(user, password, prefix string) etcdstore.Options {
		return etcdstore.Options{Endpoints: cluster.Endpoints(), Prefix: prefix, Username: user, Password: password, Timeout: 4 * time.Second}
	}
	for name, opts := range map[string]etcdstore.Options{
		"nobody":             as("", "", "/mine/"),
		"wrong password":     as("caio", "canary-of-another", "/mine/"),
		"somebody else's":    as("caio", password, "/theirs/"),
		"unknown to cluster": as("mallory", password, "/mine/"),
	} {
		store, err := etcdstore.Open(opts)
		if err == nil {
			_, err = registry.New(&registry.Options{Store: store})
			store.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "refuses the user") || !strings.Contains(err.Error(), opts.Prefix) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := storetest.Check(t.Context(), func() (registry.Store, error) { return etcdstore.Open(as("caio", password, "/mine/kit/")) }); err != nil {
		t.Errorf("with the right password: %v", err)
	}

	var log bytes.Buffer
	reg, err := registry.New(&registry.Options{Store: open(t, as("caio", password, "/mine/")), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- reg.Run(ctx) }()
	ct := newContract(t, "a", "1.0.0")
	if _, err := reg.Register(t.Context(), ct, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := root.UserChangePassword(t.Context(), "caio", "another"); err != nil {
		t.Fatal(err)
	}
	var refusal *caio.Error
	if _, err := reg.Register(t.Context(), ct, nil); !errors.As(err, &refusal) || refusal.Status != 503 || !strings.Contains(err.Error(), "refuses the user") {
		t.Errorf("after the password was changed: %v", err)
	}
	if _, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"chat"}}); err != nil {
		t.Errorf("after the password was changed it does not route: %v", err)
	}
	if _, err := root.UserChangePassword(t.Context(), "caio", password); err != nil {
		t.Fatal(err)
	}
	await(t, "it registers with the old password again", func() bool { _, err := reg.Register(t.Context(), ct, nil); return err == nil })
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if text := log.String(); !strings.Contains(text, "refuses the user") || strings.Contains(text, "canary") {
		t.Errorf("the log says:\n%s", text)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cluster, authorities := etcdtest.StartTLS(t)
	opts := etcdstore.Options{Endpoints: cluster.Endpoints(), TLS: &tls.Config{RootCAs: authorities}, Timeout: 2 * time.Second}
	reg, err := registry.New(&registry.Options{Store: open(t, opts)})
	if err != nil {
		t.Fatal(err)
	}
	if services, err := reg.Services(t.Context(), caio.Filter{}); len(services) != 0 || err != nil {
		t.Errorf("%v, %v", services, err)
	}
	opts.TLS = nil
	if _, err := registry.New(&registry.Options{Store: open(t, opts)}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with an unknown authority: %v", err)
	}
	opts.Endpoints = []string{strings.TrimPrefix(cluster.Endpoints()[0], "https://")}
	if _, err := registry.New(&registry.Options{Store: open(t, opts)}); err == nil || !strings.Contains(err.Error(), "http or https") {
		t.Errorf("in plain text: %v", err)
	}
}
