// Package etcdtest runs real etcd clusters for tests, with one process for each member.
package etcdtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// A Cluster is a running etcd cluster. Its processes end with the test, or with the test process.
type Cluster struct {
	Members []*Member
}

// A Member is one etcd process. After Kill it keeps its data and addresses for Restart.
type Member struct {
	name, dir            string
	scheme, client, peer string // URL scheme, and the addresses for clients and peers
	args                 []string
	cmd                  *exec.Cmd
	exited               chan struct{}
}

// Start starts a cluster, or skips the test if there is no etcd.
func Start(t testing.TB, members int) *Cluster { return begin(t, members, nil) }

// StartTLS starts a cluster of one member with TLS only. The pool contains its self-signed
// certificate.
func StartTLS(t testing.TB) (*Cluster, *x509.CertPool) {
	server := httptest.NewTLSServer(nil) // has a certificate for 127.0.0.1
	defer server.Close()
	authorities := x509.NewCertPool()
	authorities.AddCert(server.Certificate())
	return begin(t, 1, &server.TLS.Certificates[0]), authorities
}

func begin(t testing.TB, members int, certificate *tls.Certificate) *Cluster {
	t.Helper()
	program := find(t)
	dir, err := os.MkdirTemp("", "etcdtest-")
	if err != nil {
		t.Fatal(err)
	}
	sweep := sweeper(t, dir)
	t.Cleanup(sweep)
	for try := 1; ; try++ {
		c, err := start(program, filepath.Join(dir, fmt.Sprint(try)), members, certificate)
		if err == nil {
			t.Cleanup(c.close)
			return c
		}
		if try == 5 { // another process may take the ports meanwhile
			t.Fatal(err)
		}
		t.Log("starting etcd once more: ", err)
	}
}

// find returns the path of etcd: from PATH, or from the folder that .ci/run installs it in.
func find(t testing.TB) string {
	t.Helper()
	if program, err := exec.LookPath("etcd"); err == nil {
		return program
	}
	for dir, _ := os.Getwd(); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		program := filepath.Join(dir, ".ci", "tools", "bin", "etcd")
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() {
			return program
		}
	}
	const message = "etcd is not installed: put it in PATH, or run .ci/run, to test the registry on a cluster"
	if os.Getenv("CI") != "" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// sweeper starts a shell that removes the folder after the call of sweep, or at the end of this
// process.
func sweeper(t testing.TB, dir string) (sweep func()) {
	t.Helper()
	const script = `cat >/dev/null; i=0; while ! rm -rf -- "$0" && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done`
	cmd := exec.Command("sh", "-c", script, dir)
	cmd.SysProcAttr = detached()
	end, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		t.Fatal(err)
	}
	return func() {
		end.Close()
		cmd.Wait()
	}
}

func start(program, dir string, members int, certificate *tls.Certificate) (*Cluster, error) {
	c := new(Cluster)
	var cluster, secured []string
	scheme := "http://"
	if certificate != nil {
		scheme = "https://"
		secured = []string{"--cert-file", filepath.Join(dir, "cert"), "--key-file", filepath.Join(dir, "key")}
		if err := write(dir, certificate); err != nil {
			return nil, err
		}
	}
	for i := range members {
		m := &Member{scheme: scheme, name: fmt.Sprintf("m%d", i), dir: filepath.Join(dir, fmt.Sprint(i))}
		var err [2]error
		m.client, err[0] = freeAddress()
		m.peer, err[1] = freeAddress()
		if err := errors.Join(err[:]...); err != nil {
			return nil, err
		}
		cluster = append(cluster, m.name+"=http://"+m.peer)
		c.Members = append(c.Members, m)
	}
	for _, m := range c.Members {
		if err := os.MkdirAll(m.dir, 0o700); err != nil {
			return nil, err
		}
		m.args = []string{program, "--name", m.name, "--data-dir", filepath.Join(m.dir, "data"),
			"--listen-client-urls", scheme + m.client, "--advertise-client-urls", scheme + m.client,
			"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.peer,
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-token", dir,
			"--heartbeat-interval", "50", "--election-timeout", "500",
			// Tests kill processes, not machines, so they need no fsync.
			"--unsafe-no-fsync", "--bcrypt-cost", "4", "--log-level", "warn"}
		m.args = append(m.args, secured...)
		if err := m.start(); err != nil {
			c.close()
			return nil, err
		}
	}
	for _, m := range c.Members {
		if err := m.ready(15 * time.Second); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// Endpoints returns the URLs of the members.
func (c *Cluster) Endpoints() []string {
	var endpoints []string
	for _, m := range c.Members {
		endpoints = append(endpoints, m.scheme+m.client)
	}
	return endpoints
}

// Links returns a new proxy for each member. Tests cut them to cut off a client.
func (c *Cluster) Links(t testing.TB) Links {
	t.Helper()
	var links Links
	for _, m := range c.Members {
		link, err := newLink(m.client)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(link.close)
		links = append(links, link)
	}
	return links
}

// Client returns a client of the cluster.
func (c *Cluster) Client(t testing.TB) *clientv3.Client {
	t.Helper()
	client, err := newClient(c.Endpoints())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// newClient returns a client for the endpoints. It does not check their certificates.
func newClient(endpoints []string) (*clientv3.Client, error) {
	config := clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()}
	if strings.HasPrefix(endpoints[0], "https") {
		config.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	return clientv3.New(config)
}

// Leader returns the leader.
func (c *Cluster) Leader(t testing.TB) *Member {
	t.Helper()
	client := c.Client(t)
	for range 100 {
		for _, m := range c.Members {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			status, err := client.Status(ctx, m.scheme+m.client)
			cancel()
			if err == nil && status.Leader != 0 && status.Leader == status.Header.MemberId {
				return m
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	t.Fatal("the cluster has no leader")
	return nil
}

// Kill kills the member, like a crash.
func (m *Member) Kill() {
	m.cmd.Process.Kill()
	<-m.exited
}

// Restart starts a killed member, and waits until it is ready.
func (m *Member) Restart(t testing.TB) {
	t.Helper()
	var err error
	for range 5 { // another process may hold its port for a moment
		if err = m.start(); err == nil {
			if err = m.ready(15 * time.Second); err == nil {
				return
			}
			m.Kill()
		}
	}
	t.Error("restarting etcd: ", err)
}

func (m *Member) start() error {
	log, err := os.OpenFile(filepath.Join(m.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(m.args[0], m.args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, endingWithParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	m.cmd, m.exited = cmd, exited
	return nil
}

// ready waits until the member answers a linearizable read.
func (m *Member) ready(within time.Duration) error {
	client, err := newClient([]string{m.scheme + m.client})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	go func() {
		select {
		case <-m.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		attempt, stop := context.WithTimeout(ctx, time.Second)
		_, err := client.Get(attempt, "ready")
		stop()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(filepath.Join(m.dir, "log"))
			return fmt.Errorf("member %s is not ready: %w\n%s", m.name, err, log[max(0, len(log)-2000):])
		}
	}
}

// write writes the certificate and its key to dir.
func write(dir string, certificate *tls.Certificate) error {
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	return errors.Join(
		os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "cert"), certPEM, 0o600),
		os.WriteFile(filepath.Join(dir, "key"), keyPEM, 0o600),
	)
}

func (c *Cluster) close() {
	for _, m := range c.Members {
		if m.cmd != nil {
			m.Kill()
		}
	}
}

// freeAddress returns an address without a listener.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
