package registry

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
)

// Contracts choose the addresses of health checks, so some are refused. The two answers are without
// and with tokens.
func TestMayProbe(t *testing.T) {
	t.Parallel()
	var (
		always    = [2]bool{true, true}
		untrusted = [2]bool{true, false}
		never     = [2]bool{false, false}
	)
	for address, want := range map[string][2]bool{
		"8.8.8.8": always, "10.0.0.1": always, "172.16.255.1": always, "192.168.255.1": always, "100.64.255.1": always,
		"2606:4700:4700::1111": always, "fd00:1:2:3::4": always, "::ffff:8.8.8.8": always, "64:ff9b::8.8.8.8": always,

		"127.0.0.1": untrusted, "127.255.255.254": untrusted, "::1": untrusted, "::ffff:127.0.0.1": untrusted,

		"169.254.169.254": never, "169.254.170.2": never, "169.254.170.23": never, "100.100.100.200": never, "168.63.129.16": never, "192.0.0.192": never,
		"fd00:ec2::254": never, "fd00:ec2::23": never, "fd20:ce::254": never, "fd00:c1::a9fe:a9fe": never, "fd00:42::42": never,
		"::ffff:169.254.169.254": never, "::ffff:100.100.100.200": never, "64:ff9b::a9fe:a9fe": never, "64:ff9b:1::a9fe:a9fe": never, "64:ff9b::a83f:8110": never,
		"2002:a9fe:a9fe::": never, "2001:0:a9fe:a9fe::": never, "2001::5601:5601": never, "::169.254.169.254": never, "2606::5efe:a9fe:a9fe": never,

		"64:ff9b::7f00:1": never, "64:ff9b:1::7f00:1": never, "2002:7f00:1::": never, "2001::80ff:fffe": never, "::127.0.0.1": never, "2606::5efe:7f00:1": never,

		"0.0.0.0": never, "0.0.0.1": never, "::": never, "::ffff:0.0.0.0": never, "192.0.2.1": never, "198.18.0.1": never, "240.0.0.1": never, "255.255.255.255": never,
		"169.254.0.1": never, "224.0.0.1": never, "fe80::1": never, "fe80::1%eth0": never, "fec0::1": never, "ff02::1": never, "2001:db8::1": never, "2002:808:808::": never,
	} {
		to := netip.MustParseAddr(address)
		if got := [2]bool{mayProbe(to, true), mayProbe(to, false)}; got != want {
			t.Errorf("mayProbe(%s) = %v, want %v", address, got, want)
		}
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range interfaces {
		own, _ := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if mayProbe(own, false) || mayProbe(own, true) && !own.Unmap().IsLoopback() {
			t.Errorf("%s is this machine's, and probed", own)
		}
	}
}

// Every notation of an address, and every name, is judged by the address that is dialled.
func TestProbesAreJudgedWhenTheyConnect(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	client := newProbeClient(false)
	for _, host := range []string{"127.0.0.1", "localhost", "127.1", "0x7f000001", "017700000001", "2130706433", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"} {
		if response, err := client.Get("http://" + host + ":" + port + "/health"); err == nil {
			response.Body.Close()
			t.Errorf("%s was reached", host)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// The registry follows no redirect.
func TestProbesFollowNoRedirect(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/", http.StatusFound))
	defer server.Close()
	response, err := newProbeClient(true).Get(server.URL)
	if err != nil || response.StatusCode != http.StatusFound {
		t.Fatalf("%v, %v, want the redirect not to be followed", response, err)
	}
	response.Body.Close()
	if _, err := newProbeClient(false).Get(server.URL); err == nil || !strings.Contains(err.Error(), "do not go to 127.0.0.1") {
		t.Errorf("with tokens: %v", err)
	}
}

// Only a path that says by its name that it is harmless is asked, or one that the operator names.
func TestProbeTarget(t *testing.T) {
	t.Parallel()
	p := newProber(&Options{ProbeInterval: time.Second, ProbePaths: []string{"/v1/health", "/status"}})
	for name, test := range map[string]struct{ base, method, path, want string }{
		"health":                    {"http://h:80", "GET", "/health", "http://h:80/health"},
		"healthz":                   {"http://h", "GET", "/healthz", "http://h/healthz"},
		"readyz":                    {"https://h/", "GET", "/readyz", "https://h/readyz"},
		"livez":                     {"http://[fd00::5]:80", "GET", "/livez", "http://[fd00::5]:80/livez"},
		"listed":                    {"http://h", "GET", "/status", "http://h/status"},
		"listed, base with a path":  {"http://h/v1", "GET", "/health", "http://h/v1/health"},
		"listed, in one":            {"http://h", "GET", "/v1/health", "http://h/v1/health"},
		"other path":                {"http://h", "GET", "/generate", ""},
		"below another path":        {"http://h", "GET", "/admin/delete-all/health", ""},
		"base with a path":          {"http://h/admin/delete-all", "GET", "/health", ""},
		"base with a path, escaped": {"http://h/%61dmin", "GET", "/health", ""},
		"other case":                {"http://h", "GET", "/Health", ""},
		"longer":                    {"http://h", "GET", "/health/all", ""},
		"parameter":                 {"http://h", "GET", "/{health}", ""},
		"other method":              {"http://h", "POST", "/health", ""},
	} {
		endpoints := []caio.Endpoint{{Method: "GET", Path: "/things"}, {Method: test.method, Path: test.path}}
		if got := p.target(test.base, endpoints); got != test.want {
			t.Errorf("%s: target is %q, want %q", name, got, test.want)
		}
	}
	_, err := New(&Options{ProbePaths: []string{"health", "/a/../b", "/a?b", "/{id}", "/a/"}})
	for _, want := range []string{`"health"`, `"/a/../b"`, `"/a?b"`, `"/{id}"`, `"/a/"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v, want %s refused", err, want)
		}
	}
}
