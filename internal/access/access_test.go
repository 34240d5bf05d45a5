package access_test

import (
	"net"
	"testing"

	"github.com/smarthaus/caio-bridge-go/internal/access"
)

func TestHostname(t *testing.T) {
	t.Parallel()
	for hostport, want := range map[string]string{
		"localhost": "localhost", "localhost:80": "localhost", "LocalHost.:80": "localhost", "localhost:": "localhost",
		"bridge.internal.": "bridge.internal", "127.0.0.1:80": "127.0.0.1", "::1": "::1", "[::1]": "::1", "[::1]:80": "::1",
		"[0:0:0:0:0:0:0:1]:80": "::1", "[::ffff:127.0.0.1]": "127.0.0.1", "[fe80::1%eth0]:1": "fe80::1%eth0",
		"127.1": "127.1", "2130706433": "2130706433", "a..": "a.",
		"": "", ":80": "", "[localhost]": "", "[localhost]:80": "", "localhost:http": "", "localhost:99999": "", "localhost:80:80": "", "[::1": "", "::1]": "", "[]": "",
	} {
		if got := access.Hostname(hostport); got != want {
			t.Errorf("Hostname(%q) = %q, want %q", hostport, got, want)
		}
	}
}

func TestIsLoopbackName(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.8.8.8": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.": false, "localhost.example": false, "0.0.0.0": false, "127.0.0.1.example": false, "10.0.0.1": false,
		"127.1": false, "2130706433": false, "0x7f000001": false, "64:ff9b::7f00:1": false,
	} {
		if got := access.IsLoopbackName(host); got != want {
			t.Errorf("IsLoopbackName(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	names := access.NewNames("Bridge.internal", "fd00::0:5", "")
	for hostport, want := range map[string][2]bool{ // listed; listed or loopback
		"bridge.INTERNAL:80": {true, true}, "bridge.internal.": {true, true}, "[fd00::5]:80": {true, true},
		"localhost:80": {false, true}, "localhost.:80": {false, true}, "[::1]": {false, true},
		"localhost.bridge.internal": {false, false}, "bridge.internal.evil.example": {false, false}, "": {false, false}, "[localhost]": {false, false},
	} {
		if got := [2]bool{names.Contains(hostport), names.ContainsOrLoopback(hostport)}; got != want {
			t.Errorf("%q: %v, want %v", hostport, got, want)
		}
	}
	for host, want := range map[string]bool{
		"bridge.internal": true, "bridge.internal.": true, "192.0.2.1": true, "fd00::5": true,
		"": false, "*": false, "*.internal": false, "bridge.internal:80": false, "[fd00::5]": false, "http://bridge.internal": false, "a b": false,
	} {
		if got := access.IsHostname(host); got != want {
			t.Errorf("IsHostname(%q) = %v, want %v", host, got, want)
		}
	}
}

// An otherAddr is an address of a type that package net does not know, such as a tunnel's.
type otherAddr string

func (otherAddr) Network() string  { return "other" }
func (a otherAddr) String() string { return string(a) }

func TestAddresses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		addr              net.Addr
		loopback, exposed bool
	}{
		"none":               {nil, false, false},
		"IPv4 loopback":      {&net.TCPAddr{IP: net.IPv4(127, 1, 2, 3)}, true, false},
		"IPv6 loopback":      {&net.TCPAddr{IP: net.IPv6loopback}, true, false},
		"IPv4":               {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, false, true},
		"IPv6, with a zone":  {&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, false, true},
		"wildcard":           {&net.TCPAddr{Port: 80}, false, true},
		"QUIC":               {&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}, false, true},
		"QUIC on loopback":   {&net.UDPAddr{IP: net.IPv6loopback, Port: 443}, true, false},
		"Unix domain socket": {&net.UnixAddr{Name: "/run/bridge", Net: "unix"}, true, false},
		"wrapped":            {otherAddr("192.0.2.1:80"), false, true},
		"wrapped loopback":   {otherAddr("[::1]:80"), true, false},
		"in memory":          {otherAddr("pipe"), false, false},
	} {
		if loopback, exposed := access.IsLoopback(test.addr), access.IsExposed(test.addr); loopback != test.loopback || exposed != test.exposed {
			t.Errorf("%s: loopback %v, exposed %v, want %v, %v", name, loopback, exposed, test.loopback, test.exposed)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	var tokens access.Tokens[string]
	if owner, ok := tokens.Identify(""); ok {
		t.Errorf("no token is known, and an empty one is that of %q", owner)
	}
	tokens.Add("first", "ann")
	tokens.Add("second", "bob")
	tokens.Add("first", "eve")
	for header, want := range map[string]string{
		"Bearer first": "eve", "bearer  second ": "bob",
		"": "", "first": "", "Bearer": "", "Bearer ": "", "Bearer third": "", "Basic first": "", "Bearer firs": "", "Bearer first x": "",
	} {
		owner := ""
		if token, ok := access.BearerToken(header); ok {
			owner, _ = tokens.Identify(token)
		}
		if owner != want {
			t.Errorf("%q is of %q, want %q", header, owner, want)
		}
	}
}
