package netaddr_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/smarthaus/caio-bridge-go/internal/netaddr"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	for kind, addrs := range map[netaddr.Kind][]string{
		netaddr.Public:    {"1.1.1.1", "100.128.0.0", "172.32.0.0", "2606:4700:4700::1111", "2001:4860:4860::8888", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2606::5efe:101:101"},
		netaddr.Private:   {"10.0.0.1", "172.16.0.1", "192.168.0.1", "fd00::2", "::ffff:10.0.0.1", "64:ff9b::a00:1"},
		netaddr.Loopback:  {"127.0.0.1", "127.8.8.8", "::1", "::1%lo", "::ffff:127.0.0.1"},
		netaddr.Shared:    {"100.64.0.1", "100.127.255.255"},
		netaddr.LinkLocal: {"169.254.0.1", "fe80::1", "fe80::1%eth0"},
		netaddr.Multicast: {"224.0.0.1", "239.255.255.255", "ff02::1"},
		netaddr.Reserved: {"0.0.0.0", "0.0.0.1", "192.0.2.2", "198.18.0.1", "240.0.0.1", "255.255.255.255", "::", "::2", "::10.0.0.1", "fec0::1", "100::1",
			"2001:db8::1", "2002:a00:1::", "64:ff9b:1::1.1.1.1", "3fff::1", "5f00::1"},
		netaddr.Metadata: {
			"169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192",
			"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fe80::a9fe:a9fe%eth0",
			"::ffff:169.254.169.254", "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b::6464:64c8",
			"64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1::a9:fea9:fe00:0",
			"2002:a9fe:a9fe::", "2002:a83f:8110::1", "2001:0:a9fe:a9fe::", "2001::5601:5601", "2606::5efe:a9fe:a9fe", "2606::200:5efe:a9fe:a9fe",
		},
		netaddr.EmbeddedLoopback: {"::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2001:0:7f00:1::", "2001::80ff:fffe", "2606::5efe:7f00:1"},
	} {
		for _, addr := range addrs {
			if got := netaddr.KindOf(netip.MustParseAddr(addr)); got != kind {
				t.Errorf("KindOf(%s) = %q, want %q", addr, got, kind)
			}
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"1.2.3.4": "1.2.3.4", "::ffff:1.2.3.4": "1.2.3.4", "64:ff9b::1.2.3.4": "1.2.3.4",
		"fe80::1%eth0": "fe80::1", "64:ff9b:1::1.2.3.4": "64:ff9b:1::102:304", "::1": "::1",
	} {
		if got := netaddr.Canonical(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("Canonical(%s) = %s, want %s", addr, got, want)
		}
	}
}

func TestIsOwn(t *testing.T) {
	t.Parallel()
	own := []string{"127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range interfaces {
		ip := a.(*net.IPNet).IP
		own = append(own, ip.String())
		if v4 := ip.To4(); v4 != nil { // also as 6to4 and NAT64
			b := [16]byte{0x20, 0x02, v4[0], v4[1], v4[2], v4[3]}
			n := [16]byte{0, 0x64, 0xff, 0x9b, 12: v4[0], 13: v4[1], 14: v4[2], 15: v4[3]}
			own = append(own, "::ffff:"+v4.String(), netip.AddrFrom16(b).String(), netip.AddrFrom16(n).String())
		}
	}
	for _, addr := range own {
		if got, err := netaddr.IsOwn(netip.MustParseAddr(addr)); !got || err != nil {
			t.Errorf("IsOwn(%s) = %v, %v, want true", addr, got, err)
		}
	}
	for _, addr := range []string{"192.0.2.255", "2001:db8::ffff", "::ffff:192.0.2.255", "2002:c000:2ff::"} {
		if got, err := netaddr.IsOwn(netip.MustParseAddr(addr)); got || err != nil {
			t.Errorf("IsOwn(%s) = %v, %v, want false", addr, got, err)
		}
	}
}
