// Package netaddr classifies IP addresses: special ranges, cloud metadata services, and this
// machine's own addresses. It is the only such table of the module.
package netaddr

import (
	"fmt"
	"net"
	"net/netip"
)

// A Kind is the reason to treat an address as special, in words for a message.
type Kind string

// The kinds of addresses. Public, the zero value, is for all others.
const (
	Public    Kind = ""
	Private   Kind = "private"
	Loopback  Kind = "loopback"
	Shared    Kind = "shared (carrier-grade NAT)"
	LinkLocal Kind = "link-local"
	Multicast Kind = "multicast"
	Metadata  Kind = "cloud metadata"
	Reserved  Kind = "reserved"

	// Own is a public address of one of this machine's interfaces. KindOf does not return it: see
	// IsOwn.
	Own Kind = "machine-local"

	// EmbeddedLoopback is a loopback IPv4 address inside an IPv6 address, other than the mapped form.
	EmbeddedLoopback Kind = "embedded loopback"
)

// special are the ranges that the IANA registries of special-purpose addresses (RFC 6890) do not
// call globally reachable, and the addresses of the clouds' metadata services. The first range that
// contains an address decides.
var special = []struct {
	prefix netip.Prefix
	kind   Kind
}{
	{netip.MustParsePrefix("169.254.169.254/32"), Metadata},     // most clouds
	{netip.MustParsePrefix("169.254.170.2/32"), Metadata},       // AWS, containers
	{netip.MustParsePrefix("169.254.170.23/32"), Metadata},      // AWS, pods
	{netip.MustParsePrefix("169.254.0.23/32"), Metadata},        // Tencent Cloud
	{netip.MustParsePrefix("169.254.42.42/32"), Metadata},       // Scaleway
	{netip.MustParsePrefix("100.100.100.200/32"), Metadata},     // Alibaba Cloud
	{netip.MustParsePrefix("168.63.129.16/32"), Metadata},       // Azure
	{netip.MustParsePrefix("192.0.0.192/32"), Metadata},         // Oracle Cloud
	{netip.MustParsePrefix("fd00:ec2::254/128"), Metadata},      // AWS
	{netip.MustParsePrefix("fd00:ec2::23/128"), Metadata},       // AWS, pods
	{netip.MustParsePrefix("fd20:ce::254/128"), Metadata},       // Google Cloud
	{netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), Metadata}, // Oracle Cloud
	{netip.MustParsePrefix("fd00:a9fe:a9fe::1/128"), Metadata},  // Akamai
	{netip.MustParsePrefix("fd00:42::42/128"), Metadata},        // Scaleway
	{netip.MustParsePrefix("fe80::a9fe:a9fe/128"), Metadata},    // OpenStack

	{netip.MustParsePrefix("0.0.0.0/8"), Reserved}, // 0.0.0.0 reaches this machine
	{netip.MustParsePrefix("10.0.0.0/8"), Private},
	{netip.MustParsePrefix("100.64.0.0/10"), Shared},
	{netip.MustParsePrefix("127.0.0.0/8"), Loopback},
	{netip.MustParsePrefix("169.254.0.0/16"), LinkLocal},
	{netip.MustParsePrefix("172.16.0.0/12"), Private},
	{netip.MustParsePrefix("192.0.0.0/24"), Reserved},
	{netip.MustParsePrefix("192.0.2.0/24"), Reserved},
	{netip.MustParsePrefix("192.88.99.0/24"), Reserved},
	{netip.MustParsePrefix("192.168.0.0/16"), Private},
	{netip.MustParsePrefix("198.18.0.0/15"), Reserved},
	{netip.MustParsePrefix("198.51.100.0/24"), Reserved},
	{netip.MustParsePrefix("203.0.113.0/24"), Reserved},
	{netip.MustParsePrefix("224.0.0.0/4"), Multicast},
	{netip.MustParsePrefix("240.0.0.0/4"), Reserved}, // and broadcast

	{netip.MustParsePrefix("::1/128"), Loopback},
	{netip.MustParsePrefix("fc00::/7"), Private},
	{netip.MustParsePrefix("fe80::/10"), LinkLocal},
	{netip.MustParsePrefix("ff00::/8"), Multicast},
	{netip.MustParsePrefix("2001::/23"), Reserved}, // Teredo and others
	{netip.MustParsePrefix("2001:db8::/32"), Reserved},
	{netip.MustParsePrefix("2002::/16"), Reserved}, // 6to4
	{netip.MustParsePrefix("3fff::/20"), Reserved},
}

// globalUnicast holds all public IPv6 addresses.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// IPv6 ranges of addresses that hold an IPv4 address.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291 section 2.5.5.1
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 7915
)

// Canonical returns ip without zone, and the IPv4 address in place of its mapped (::ffff:a.b.c.d)
// and NAT64 (64:ff9b::/96) forms.
func Canonical(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return ip
}

// KindOf returns the kind of ip in any form. An IPv6 address that holds the IPv4 address of a
// metadata service is Metadata; one that holds a loopback address is EmbeddedLoopback.
func KindOf(ip netip.Addr) Kind {
	kind := plainKind(Canonical(ip))
	if kind == Metadata {
		return kind
	}
	for _, inner := range embedded(ip) {
		switch plainKind(inner) {
		case Metadata:
			return Metadata
		case Loopback:
			kind = EmbeddedLoopback
		}
	}
	return kind
}

// IsOwn reports if ip reaches this machine: loopback and unspecified addresses, the addresses of
// its network interfaces at the time of the call, and IPv6 addresses that hold one of these. It
// cannot know addresses that a router translates to this machine's. It fails if the interfaces
// cannot be listed.
func IsOwn(ip netip.Addr) (bool, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("listing this machine's addresses: %w", err)
	}
	own := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		if prefix, ok := a.(*net.IPNet); ok {
			if known, ok := netip.AddrFromSlice(prefix.IP); ok {
				own[known.Unmap()] = true
			}
		}
	}
	for _, form := range append(embedded(ip), Canonical(ip)) {
		if form.IsLoopback() || form.IsUnspecified() || own[form] {
			return true, nil
		}
	}
	return false, nil
}

func plainKind(ip netip.Addr) Kind {
	for _, s := range special {
		if s.prefix.Contains(ip) {
			return s.kind
		}
	}
	if ip.Is6() && !globalUnicast.Contains(ip) {
		return Reserved
	}
	return Public
}

// embedded returns the IPv4 addresses that an IPv6 address may hold. It leaves out the mapped form:
// the system dials its IPv4 address. Of 64:ff9b:1::/48 the operator chooses the prefix length, and
// with it the position.
func embedded(ip netip.Addr) []netip.Addr {
	ip = ip.WithZone("")
	if !ip.Is6() || ip.Is4In6() || ip == netip.IPv6Unspecified() || ip == netip.IPv6Loopback() {
		return nil
	}
	b := ip.As16()
	at := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	last := at(12, 13, 14, 15)
	switch {
	case nat64.Contains(ip), compatible.Contains(ip), translated.Contains(ip):
		return []netip.Addr{last}
	case localNAT64.Contains(ip): // RFC 6052 section 2.2
		return []netip.Addr{at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12), last}
	case sixToFour.Contains(ip):
		return []netip.Addr{at(2, 3, 4, 5)}
	case teredo.Contains(ip): // the server, and the client with its bits inverted
		return []netip.Addr{at(4, 5, 6, 7), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP, RFC 5214
		return []netip.Addr{last}
	}
	return nil
}
