package upstream_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// Whatever net/netip knows not to be public is refused, and no notation of an IPv4 address is
// judged unlike another.
func FuzzAddresses(f *testing.F) {
	for _, ip := range []string{"127.0.0.1", "8.8.8.8", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "fe80::1", "2606:4700::1111"} {
		b := netip.MustParseAddr(ip).As16()
		f.Add(b[:])
	}
	refused := func(ip netip.Addr) bool { return upstream.CheckAddr(upstream.Options{}, "api.test:443", ip) != nil }
	f.Fuzz(func(t *testing.T, data []byte) {
		var b [16]byte
		copy(b[:], data)
		ip := netip.AddrFrom16(b)
		plain := ip.Unmap()
		if notPublic := !plain.IsGlobalUnicast() || plain.IsPrivate(); notPublic && !refused(ip) {
			t.Errorf("%s is allowed", ip)
		}
		v4 := netip.AddrFrom4([4]byte(b[12:]))
		nat64 := [16]byte{0, 0x64, 0xff, 0x9b, 12: b[12], 13: b[13], 14: b[14], 15: b[15]}
		for _, form := range []netip.Addr{netip.AddrFrom16(v4.As16()), netip.AddrFrom16(nat64)} {
			if refused(form) != refused(v4) {
				t.Errorf("%s is refused: %v, but %s: %v", v4, refused(v4), form, refused(form))
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("4294967295", "")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, retryAfter, date string) {
		h := http.Header{"Retry-After": {retryAfter}, "Date": {date}}
		if got := upstream.RetryAfter(h); got < 0 {
			t.Errorf("Retry-After %q at %q means %v", retryAfter, date, got)
		}
	})
}
