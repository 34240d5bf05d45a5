package upstream

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/smarthaus/caio-bridge-go/internal/retryafter"
)

// NewOver returns a client whose connections to servers come from dial.
func NewOver(opts Options, dial dialFunc) (*http.Client, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	g, err := newGuard(opts.AllowHosts, opts.AllowPrivate)
	if err != nil {
		return nil, err
	}
	return newClient(&opts, g, dial)
}

// NewResolving returns a client that asks r for addresses.
func NewResolving(opts Options, r *net.Resolver) (*http.Client, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	g, err := newGuard(opts.AllowHosts, opts.AllowPrivate)
	if err != nil {
		return nil, err
	}
	g.dialer.Resolver = r
	return newClient(&opts, g, g.dial)
}

// CheckAddr asks the guard that opts describe whether addr, host and port, may be dialled at ip.
func CheckAddr(opts Options, addr string, ip netip.Addr) error {
	g, err := newGuard(opts.AllowHosts, opts.AllowPrivate)
	if err != nil {
		return err
	}
	return g.check(addr, ip)
}

// KnownOrigins returns how many hosts the client remembers.
func KnownOrigins(c *http.Client) int {
	os := c.Transport.(*transport).origins
	os.mu.Lock()
	defer os.mu.Unlock()
	return len(os.known)
}

// RetryAfter reads the header of that name.
func RetryAfter(h http.Header) time.Duration { return retryafter.Parse(h) }
