package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/smarthaus/caio-bridge-go/internal/netaddr"
)

// An EgressError says that a request was not sent, or a redirect not followed, because of its
// destination.
type EgressError struct {
	Host   string     // host and port
	Addr   netip.Addr // that was refused; invalid for redirects and hosts that are no proper name
	Reason string
}

// Error implements the error interface.
func (e *EgressError) Error() string {
	return fmt.Sprintf("upstream: %s refused: %s", e.Host, e.Reason)
}

func isEgress(err error) bool {
	_, ok := errors.AsType[*EgressError](err)
	return ok
}

// A guard allows and refuses addresses at the dial.
type guard struct {
	hosts    map[string]bool // as of normalHostPort
	prefixes []netip.Prefix
	dialer   net.Dialer
}

func newGuard(hosts []string, prefixes []netip.Prefix) (*guard, error) {
	g := &guard{hosts: make(map[string]bool, len(hosts)), dialer: net.Dialer{Timeout: dialTimeout}}
	var faults []error
	for i, entry := range hosts {
		host, ok := parseHost(entry)
		if !ok {
			// The error does not repeat the entry, which may hold a password.
			faults = append(faults, fmt.Errorf("AllowHosts[%d] is neither host:port nor an http or https URL", i))
		}
		g.hosts[host] = true
	}
	for i, p := range prefixes {
		if !p.IsValid() {
			faults = append(faults, fmt.Errorf("AllowPrivate[%d] is not a valid prefix", i))
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		g.prefixes = append(g.prefixes, p.Masked())
	}
	return g, errors.Join(faults...)
}

// parseHost reads an entry of AllowHosts.
func parseHost(entry string) (host string, ok bool) {
	if u, err := url.Parse(entry); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" {
		return hostPort(u), true
	}
	host, port, err := net.SplitHostPort(entry)
	if err != nil || host == "" {
		return "", false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return normalHostPort(host, port), err == nil
}

// dial connects to addr, host and port, if its address is allowed. The check comes after the name
// was resolved and before each connect, so that no answer of the DNS leads around it.
func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := g.dialer
	d.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		ip, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return fmt.Errorf("upstream: dialling %s: %w", addr, err)
		}
		return g.check(addr, ip.Addr())
	}
	return d.DialContext(ctx, network, addr)
}

// check returns an [*EgressError] if ip, to which the name in addr led, must not be dialled.
func (g *guard) check(addr string, ip netip.Addr) error {
	kind := netaddr.KindOf(ip)
	if kind == netaddr.Public {
		if own, err := netaddr.IsOwn(ip); own || err != nil {
			kind = netaddr.Own
		}
	}
	ip = netaddr.Canonical(ip)
	strict := kind == netaddr.Metadata || kind == netaddr.EmbeddedLoopback
	opens := func(p netip.Prefix) bool { return p.Contains(ip) && (!strict || p.IsSingleIP()) }
	if kind == netaddr.Public || slices.ContainsFunc(g.prefixes, opens) {
		return nil
	}
	host, port, _ := net.SplitHostPort(addr)
	if g.hosts[normalHostPort(host, port)] {
		literal, err := netip.ParseAddr(host)
		if err == nil && netaddr.Canonical(literal) == ip || opensByName(kind) {
			return nil
		}
	}
	reason := fmt.Sprintf("%s is a %s address, which AllowHosts or AllowPrivate do not allow", ip, kind)
	return &EgressError{Host: addr, Addr: ip, Reason: reason}
}

// opensByName reports if an entry of AllowHosts opens addresses of the kind under the entry's name.
func opensByName(kind netaddr.Kind) bool {
	switch kind {
	case netaddr.Loopback, netaddr.Private, netaddr.Shared, netaddr.Own:
		return true
	}
	return false
}

// checkName checks the host of a request through a proxy. The proxy resolves names itself. A host
// that ends in a number is an address in one of the old notations, such as 127.1 or 0x7f000001:
// many a resolver knows them.
func (g *guard) checkName(u *url.URL) error {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.check(hostPort(u), ip)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }):
		// net/http maps such names after this check, and digits and letters of other widths to plain
		// ones.
		return &EgressError{Host: hostPort(u), Reason: "through a proxy a name must be written in ASCII (xn--...)"}
	case last == "localhost":
		return g.check(hostPort(u), netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	case last != "" && last[0] >= '0' && last[0] <= '9':
		return &EgressError{Host: hostPort(u), Reason: "it is neither a name nor an address in the usual notation"}
	}
	return nil
}
