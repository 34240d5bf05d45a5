// Package access judges requests for every HTTP server of this module: if they come from this
// machine, if they name one of the server's hosts, and the owner of their bearer token.
package access

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// LocalAddr returns the local address of the request's connection, nil if the request has none.
func LocalAddr(r *http.Request) net.Addr {
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return addr
}

// IsLoopback reports if only this machine reaches addr: an IP address on loopback, or a Unix domain
// socket.
func IsLoopback(addr net.Addr) bool {
	switch a := addr.(type) {
	case nil:
		return false
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	host, _, err := net.SplitHostPort(addr.String())
	ip, ipErr := netip.ParseAddr(host)
	return err == nil && ipErr == nil && ip.IsLoopback()
}

// IsExposed reports if other machines may reach addr: it is an IP address or a wildcard, and not on
// loopback. A nil addr, and one of a network other than IP, is not exposed.
func IsExposed(addr net.Addr) bool {
	if addr == nil || IsLoopback(addr) {
		return false
	}
	if _, ok := addr.(*net.TCPAddr); ok {
		return true
	}
	host, _, err := net.SplitHostPort(addr.String())
	_, ipErr := netip.ParseAddr(host)
	return err == nil && (host == "" || ipErr == nil)
}

// IsLoopbackName reports if a host name or address, without port, is this machine by definition.
func IsLoopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// IsAddress reports if the host of a Host header is an IP address.
func IsAddress(hostport string) bool {
	_, err := netip.ParseAddr(Hostname(hostport))
	return err == nil
}

// Hostname returns the host of a Host header or of a URL's authority: without port, brackets and
// trailing dot, in lower case, and an IP address in its usual notation. It returns "" if hostport
// is malformed.
func Hostname(hostport string) string {
	host := hostport
	if h, port, err := net.SplitHostPort(hostport); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil && port != "" {
			return ""
		}
		host = h
		if strings.Contains(host, ":") != strings.HasPrefix(hostport, "[") { // [localhost]:80
			return ""
		}
	} else if inner, ok := strings.CutPrefix(hostport, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(host, ":") {
			return ""
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	if strings.ContainsAny(host, ":[]") {
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// IsHostname reports if host is one that [Names] can hold: a host name or IP address without port,
// brackets, path or wildcard.
func IsHostname(host string) bool {
	return host != "" && !strings.ContainsAny(host, "/*[] ") && Hostname(host) != "" && !hasPort(host)
}

func hasPort(host string) bool {
	_, _, err := net.SplitHostPort(host)
	return err == nil
}

// Names are the hosts that a server answers to, in the form of [Hostname].
type Names []string

// NewNames returns the names of hosts without port.
func NewNames(hosts ...string) Names {
	names := make(Names, 0, len(hosts))
	for _, host := range hosts {
		if name := Hostname(host); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Contains reports if a Host header, or a URL's authority, names one of the hosts.
func (n Names) Contains(hostport string) bool {
	host := Hostname(hostport)
	return host != "" && slices.Contains(n, host)
}

// ContainsOrLoopback is like Contains, and also accepts localhost and loopback addresses.
func (n Names) ContainsOrLoopback(hostport string) bool {
	return IsLoopbackName(Hostname(hostport)) || n.Contains(hostport)
}

// OriginHost returns the authority of an Origin header, "" if it has none, such as "null".
func OriginHost(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Host
}
