package upstream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	public := []string{
		"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1", "198.20.0.0", "223.255.255.255",
		"2606:4700:4700::1111", "2001:4860:4860::8888", "2a00::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
	}
	refused := []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
		"169.254.0.1", "169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "172.16.0.0", "172.31.255.255",
		"192.0.0.192", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1", "fdff::1", "fd00:ec2::254", "ff02::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "5f00::1",
		"::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1.1.1.1",
		"2002:a9fe:a9fe::", "2001:0:a9fe:a9fe::", "2001::80ff:fffe", "::169.254.169.254", "2606::5efe:169.254.169.254", "2606::5efe:127.0.0.1", "fd00:c1::a9fe:a9fe",
	}
	for _, ip := range public {
		if err := upstream.CheckAddr(upstream.Options{}, "api.test:443", netip.MustParseAddr(ip)); err != nil {
			t.Errorf("%s: %v, want it allowed", ip, err)
		}
	}
	for _, ip := range refused {
		err := upstream.CheckAddr(upstream.Options{}, "api.test:443", netip.MustParseAddr(ip))
		if e, ok := errors.AsType[*upstream.EgressError](err); !ok || e.Host != "api.test:443" || !e.Addr.IsValid() {
			t.Errorf("%s: %v, want an EgressError with host and address", ip, err)
		}
	}
}

func TestAllowances(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		hosts    []string
		prefixes []string
		addr, ip string
		allowed  bool
	}{
		{name: "host and port", hosts: []string{"gateway.corp:8443"}, addr: "gateway.corp:8443", ip: "10.1.2.3", allowed: true},
		{name: "capitals and a final dot", hosts: []string{"Gateway.corp.:8443"}, addr: "gateway.Corp:8443", ip: "10.1.2.3", allowed: true},
		{name: "URL with the usual port", hosts: []string{"https://gateway.corp/v1"}, addr: "gateway.corp:443", ip: "100.64.0.1", allowed: true},
		{name: "URL on loopback", hosts: []string{"http://localhost:11434/v1"}, addr: "localhost:11434", ip: "::1", allowed: true},
		{name: "address", hosts: []string{"http://[::1]:8080"}, addr: "[::1]:8080", ip: "::1", allowed: true},
		{name: "other port", hosts: []string{"gateway.corp:8443"}, addr: "gateway.corp:22", ip: "10.1.2.3"},
		{name: "other host", hosts: []string{"gateway.corp:8443"}, addr: "evil.test:8443", ip: "10.1.2.3"},
		{name: "name that leads to metadata", hosts: []string{"gateway.corp:80"}, addr: "gateway.corp:80", ip: "169.254.169.254"},
		{name: "name that leads to metadata in a private range", hosts: []string{"gateway.corp:80"}, addr: "gateway.corp:80", ip: "fd00:ec2::254"},
		{name: "name that leads to a neighbour", hosts: []string{"gateway.corp:80"}, addr: "gateway.corp:80", ip: "fe80::1"},
		{name: "name that leads to every interface", hosts: []string{"gateway.corp:80"}, addr: "gateway.corp:80", ip: "0.0.0.0"},
		{name: "metadata by address", hosts: []string{"169.254.169.254:80"}, addr: "169.254.169.254:80", ip: "169.254.169.254", allowed: true},
		{name: "prefix", prefixes: []string{"10.0.0.0/8"}, addr: "any.test:80", ip: "10.1.2.3", allowed: true},
		{name: "prefix, mapped address", prefixes: []string{"10.0.0.0/8"}, addr: "any.test:80", ip: "::ffff:10.1.2.3", allowed: true},
		{name: "mapped prefix", prefixes: []string{"::ffff:10.0.0.0/104"}, addr: "any.test:80", ip: "10.1.2.3", allowed: true},
		{name: "prefix with host bits", prefixes: []string{"10.9.9.9/8"}, addr: "any.test:80", ip: "10.1.2.3", allowed: true},
		{name: "other prefix", prefixes: []string{"10.0.0.0/8"}, addr: "any.test:80", ip: "192.168.0.1"},
		{name: "prefix that happens to hold metadata", prefixes: []string{"fd00::/8"}, addr: "any.test:80", ip: "fd00:ec2::254"},
		{name: "prefix that happens to hold metadata in 6to4", prefixes: []string{"2002::/16"}, addr: "any.test:80", ip: "2002:a9fe:a9fe::"},
		{name: "prefix that happens to hold loopback in 6to4", prefixes: []string{"2002::/16"}, addr: "any.test:80", ip: "2002:7f00:1::"},
		{name: "prefix that happens to hold metadata in NAT64", prefixes: []string{"64:ff9b:1::/48"}, addr: "any.test:80", ip: "64:ff9b:1::169.254.169.254"},
		{name: "prefix for NAT64", prefixes: []string{"64:ff9b:1::/48"}, addr: "any.test:80", ip: "64:ff9b:1::1.1.1.1", allowed: true},
		{name: "name that leads to loopback in 6to4", hosts: []string{"gateway.corp:80"}, addr: "gateway.corp:80", ip: "2002:7f00:1::"},
		{name: "prefix that means metadata", prefixes: []string{"fd00:ec2::254/128"}, addr: "any.test:80", ip: "fd00:ec2::254", allowed: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := upstream.Options{AllowHosts: tt.hosts}
			for _, p := range tt.prefixes {
				opts.AllowPrivate = append(opts.AllowPrivate, netip.MustParsePrefix(p))
			}
			if err := upstream.CheckAddr(opts, tt.addr, netip.MustParseAddr(tt.ip)); (err == nil) != tt.allowed {
				t.Errorf("%s at %s: %v, want allowed: %v", tt.addr, tt.ip, err, tt.allowed)
			}
		})
	}
}

// The address counts, not the name: whatever leads to loopback is refused before a connection is
// made.
func TestNothingIsDialledUnlessAllowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { reached.Add(1) })
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f.1", "017700000001"} {
		var seen attempts
		client := newClient(t, upstream.Options{Observe: seen.observe})
		_, _, err := send(client, newRequest(t, t.Context(), "GET", "http://"+host+port, ""))
		if err == nil || reached.Load() > 0 {
			t.Fatalf("%s was reached (error %v)", host, err)
		}
		if _, ok := errors.AsType[*upstream.EgressError](err); ok && len(seen.all()) != 1 {
			t.Errorf("%s: %d attempts, want no retry of what is not allowed", host, len(seen.all()))
		}
	}
	client := newClient(t, upstream.Options{}, srv.URL)
	if code, _, err := send(client, newRequest(t, t.Context(), "GET", srv.URL, "")); code != 200 {
		t.Errorf("the allowed host: %d (%v)", code, err)
	}
}

// A name whose answer changes between two look-ups is checked at the second, too.
func TestRebinding(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Error("a name that was rebound reached loopback") })
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	var asked atomic.Int32
	resolver := fakeResolver(func(name string) netip.Addr {
		asked.Add(1)
		if name == "private.example.com." {
			return netip.MustParseAddr("10.0.0.1")
		}
		return netip.MustParseAddr("127.0.0.1")
	})
	opts := upstream.Options{Proxy: http.ProxyURL(nil), AllowHosts: []string{"allowed.example.com:" + port}}
	client, err := upstream.NewResolving(opts, resolver)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	for name, want := range map[string]string{"private.example.com": "10.0.0.1", "loopback.example.com": "127.0.0.1"} {
		_, _, err := send(client, newRequest(t, t.Context(), "GET", "http://"+name+":"+port, ""))
		if e, ok := errors.AsType[*upstream.EgressError](err); !ok || e.Addr.String() != want {
			t.Errorf("%s: %v, want %s refused", name, err, want)
		}
	}
	if asked.Load() == 0 {
		t.Error("the resolver was not asked")
	}
}

// fakeResolver answers questions for IPv4 addresses (RFC 1035) by lookup.
func fakeResolver(lookup func(name string) netip.Addr) *net.Resolver {
	answer := func(conn net.Conn) {
		defer conn.Close()
		for {
			var size [2]byte
			if _, err := io.ReadFull(conn, size[:]); err != nil {
				return
			}
			q := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, q); err != nil {
				return
			}
			end := 12
			var name strings.Builder
			for q[end] != 0 {
				name.Write(q[end+1 : end+1+int(q[end])])
				name.WriteByte('.')
				end += 1 + int(q[end])
			}
			isA := binary.BigEndian.Uint16(q[end+1:]) == 1
			msg := append([]byte(nil), q[:end+5]...)
			msg[2], msg[3] = 0x81, 0x80
			copy(msg[6:], []byte{0, 0, 0, 0, 0, 0})
			if isA {
				ip := lookup(name.String()).As4()
				msg[7] = 1
				msg = append(msg, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ip[0], ip[1], ip[2], ip[3])
			}
			_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
		}
	}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answer(server)
		return client, nil
	}}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var stolen atomic.Int32
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { stolen.Add(1) })
	tests := map[string]struct {
		location string
		want     string // body; "" if the redirect is refused
	}{
		"same origin":     {"/there", "POST key"},
		"other port":      {other.URL, ""},
		"other scheme":    {"https://{host}:{port}/there", ""},
		"other name":      {"http://localhost:{port}/there", ""},
		"metadata":        {"http://169.254.169.254/latest/meta-data/", ""},
		"round and round": {"/", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/there" {
					_, _ = io.WriteString(w, r.Method+" "+r.Header.Get("X-Api-Key"))
					return
				}
				host, port, _ := net.SplitHostPort(r.Host)
				http.Redirect(w, r, strings.NewReplacer("{host}", host, "{port}", port).Replace(tt.location), http.StatusTemporaryRedirect)
			})
			client := newClient(t, upstream.Options{}, srv.URL, other.URL)

			_, body, err := send(client, newRequest(t, t.Context(), "POST", srv.URL, "secret prompt", "Authorization", "Bearer key", "X-Api-Key", "key"))

			if body != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q (%v), want %q", body, err, tt.want)
			}
			if _, ok := errors.AsType[*upstream.EgressError](err); name != "round and round" && tt.want == "" && !ok {
				t.Errorf("error %v, want an EgressError", err)
			}
		})
	}
	t.Cleanup(func() {
		if stolen.Load() > 0 {
			t.Error("another origin got the request")
		}
	})
}

// The operator's proxy is dialled wherever it is, but hosts that are plainly not public are not
// asked of it.
func TestProxy(t *testing.T) {
	t.Parallel()
	var asked atomic.Pointer[string]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.URL.String() + r.Host
		if r.Method == "CONNECT" {
			target = "CONNECT " + r.Host
		}
		asked.Store(&target)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(proxy.Close)
	proxyURL, _ := url.Parse(proxy.URL)
	client := newClient(t, upstream.Options{Attempts: 1, Proxy: http.ProxyURL(proxyURL), AllowPrivate: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}})
	for target, allowed := range map[string]bool{
		"http://api.example.com/v1":       true,
		"https://api.example.com/v1":      true,
		"http://1.1.1.1/":                 true,
		"http://192.168.7.1/":             true,
		"http://192.168.8.1/":             false,
		"http://[::ffff:127.0.0.1]/":      false,
		"http://169.254.169.254/latest":   false,
		"https://169.254.169.254/latest":  false,
		"http://localhost/":               false,
		"http://anything.localhost./":     false,
		"http://127.1/":                   false,
		"http://0x7f000001/":              false,
		"http://2130706433/":              false,
		"http://0251.0376.0251.0376./any": false,
		"https://169.254.169.２５４/":        false, // which net/http asks for in plain digits
		"https://①⑥⑨.254.169.②54/":        false,
		"https://ｌocalhost/":              false,
		"https://xn--bcher-kva.example/":  true,
	} {
		asked.Store(nil)
		_, _, err := send(client, newRequest(t, t.Context(), "GET", target, ""))
		if got := asked.Load() != nil; got != allowed {
			t.Errorf("%s: the proxy was asked: %v (%v), want %v", target, got, err, allowed)
		}
		if _, refused := errors.AsType[*upstream.EgressError](err); refused == allowed {
			t.Errorf("%s: error %v, want an EgressError: %v", target, err, !allowed)
		}
	}
}

// A Proxy function that names a proxy once and none when asked again must not open a way around
// guard and proxy.
func TestFickleProxy(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Error("the server was reached without a proxy") })
	var calls atomic.Int32
	opts := upstream.Options{Attempts: 1, Proxy: func(*http.Request) (*url.URL, error) {
		if calls.Add(1)%2 == 1 {
			return url.Parse("http://proxy.test")
		}
		return nil, nil
	}}
	client := newClient(t, opts, srv.URL)
	if _, _, err := send(client, newRequest(t, t.Context(), "GET", srv.URL, "")); err == nil {
		t.Error("no error")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := upstream.New(&upstream.Options{
		AllowHosts:      []string{"localhost", "ftp://files.test:21", "http://user:hunter2@[bad", "::1", "localhost:http"},
		AllowPrivate:    []netip.Prefix{{}},
		HeaderTimeout:   -1,
		MaxConnsPerHost: -1,
		Attempts:        11,
		BreakAfter:      -1,
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"AllowHosts[0]", "AllowHosts[1]", "AllowHosts[2]", "AllowHosts[3]", "AllowHosts[4]", "AllowPrivate[0]", "HeaderTimeout",
		"MaxConnsPerHost is -1", "Attempts is 11, but must be between 1 and 10", "BreakAfter",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error tells a password: %v", err)
	}
}
