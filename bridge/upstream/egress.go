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
)

// An EgressError says that a request was not sent, or a redirect not followed, because of where it leads.
type EgressError struct {
	Host   string     // and port
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

// A guard decides which addresses may be dialled.
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
			faults = append(faults, fmt.Errorf("AllowHosts[%d] is neither host:port nor an http or https URL", i)) // not repeated: it may hold a password
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

// dial connects to addr, host and port, if its address is allowed. The check comes after the name was resolved and before
// each connect, so that no answer of the DNS leads around it.
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
	ip = canonical(ip)
	kind := kindOf(ip)
	if kind == "" || slices.ContainsFunc(g.prefixes, func(p netip.Prefix) bool { return p.Contains(ip) && (kind != metadata || p.IsSingleIP()) }) {
		return nil
	}
	host, port, _ := net.SplitHostPort(addr)
	if g.hosts[normalHostPort(host, port)] {
		literal, err := netip.ParseAddr(host)
		if err == nil && canonical(literal) == ip || kind == loopback || kind == private || kind == shared {
			return nil
		}
	}
	return &EgressError{Host: addr, Addr: ip, Reason: fmt.Sprintf("%s is a %s address, which AllowHosts or AllowPrivate do not allow", ip, kind)}
}

// checkName checks what is requested through a proxy, which resolves names itself. A host that ends in a number is an
// address in one of the old notations, such as 127.1 or 0x7f000001: many a resolver knows them.
func (g *guard) checkName(u *url.URL) error {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.check(hostPort(u), ip)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }):
		// net/http maps such names after this check, and digits and letters of other widths to plain ones.
		return &EgressError{Host: hostPort(u), Reason: "through a proxy a name must be written in ASCII (xn--...)"}
	case last == "localhost":
		return g.check(hostPort(u), netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	case last != "" && last[0] >= '0' && last[0] <= '9':
		return &EgressError{Host: hostPort(u), Reason: "it is neither a name nor an address in the usual notation"}
	}
	return nil
}

// Kinds of addresses that are not public.
const (
	private   = "private"
	loopback  = "loopback"
	shared    = "shared (carrier-grade NAT)"
	linkLocal = "link-local"
	multicast = "multicast"
	metadata  = "cloud metadata"
	reserved  = "reserved"
)

// special are the ranges that the IANA registries of special-purpose addresses (RFC 6890) do not call globally reachable,
// and the addresses where clouds hand out credentials. The first that contains an address decides.
var special = []struct {
	prefix netip.Prefix
	kind   string
}{
	{netip.MustParsePrefix("169.254.169.254/32"), metadata}, // most clouds
	{netip.MustParsePrefix("169.254.170.2/32"), metadata},   // AWS, containers
	{netip.MustParsePrefix("169.254.170.23/32"), metadata},  // AWS, pods
	{netip.MustParsePrefix("100.100.100.200/32"), metadata}, // Alibaba Cloud
	{netip.MustParsePrefix("168.63.129.16/32"), metadata},   // Azure
	{netip.MustParsePrefix("192.0.0.192/32"), metadata},     // Oracle Cloud
	{netip.MustParsePrefix("fd00:ec2::254/128"), metadata},  // AWS
	{netip.MustParsePrefix("fd00:ec2::23/128"), metadata},   // AWS, pods
	{netip.MustParsePrefix("fd20:ce::254/128"), metadata},   // Google Cloud

	{netip.MustParsePrefix("0.0.0.0/8"), reserved}, // of which 0.0.0.0 reaches this machine
	{netip.MustParsePrefix("10.0.0.0/8"), private},
	{netip.MustParsePrefix("100.64.0.0/10"), shared},
	{netip.MustParsePrefix("127.0.0.0/8"), loopback},
	{netip.MustParsePrefix("169.254.0.0/16"), linkLocal},
	{netip.MustParsePrefix("172.16.0.0/12"), private},
	{netip.MustParsePrefix("192.0.0.0/24"), reserved},
	{netip.MustParsePrefix("192.0.2.0/24"), reserved},
	{netip.MustParsePrefix("192.88.99.0/24"), reserved},
	{netip.MustParsePrefix("192.168.0.0/16"), private},
	{netip.MustParsePrefix("198.18.0.0/15"), reserved},
	{netip.MustParsePrefix("198.51.100.0/24"), reserved},
	{netip.MustParsePrefix("203.0.113.0/24"), reserved},
	{netip.MustParsePrefix("224.0.0.0/4"), multicast},
	{netip.MustParsePrefix("240.0.0.0/4"), reserved}, // and broadcast

	{netip.MustParsePrefix("::1/128"), loopback},
	{netip.MustParsePrefix("fc00::/7"), private},
	{netip.MustParsePrefix("fe80::/10"), linkLocal},
	{netip.MustParsePrefix("ff00::/8"), multicast},
	{netip.MustParsePrefix("2001::/23"), reserved}, // Teredo, which holds an IPv4 address, and others
	{netip.MustParsePrefix("2001:db8::/32"), reserved},
	{netip.MustParsePrefix("2002::/16"), reserved}, // 6to4, which holds an IPv4 address
	{netip.MustParsePrefix("3fff::/20"), reserved},
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")     // all that is public in IPv6
	nat64         = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
)

// kindOf returns "" for public addresses. It expects a canonical address.
func kindOf(ip netip.Addr) string {
	for _, s := range special {
		if s.prefix.Contains(ip) {
			return s.kind
		}
	}
	if ip.Is6() && !globalUnicast.Contains(ip) {
		return reserved
	}
	return ""
}

// canonical returns the IPv4 address that an IPv6 one stands for, and takes off the zone, which would match no prefix.
func canonical(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return ip
}
