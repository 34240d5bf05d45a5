package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/internal/access"
)

// guard decides who may talk to the bridge at all. It stands before every route.
type guard struct {
	hosts        access.Names // the bridge's own, besides localhost and loopback addresses
	origins      []string
	authenticate func(*http.Request) (string, error)
	open         bool // without authentication to callers on other machines, too
}

func newGuard(opts *Options, baseURL string) *guard {
	g := &guard{origins: opts.AllowedOrigins, authenticate: opts.Authenticate, open: opts.AllowUnauthenticated}
	hosts := slices.Clone(opts.AllowedHosts)
	for _, raw := range []string{baseURL, opts.BaseURL} {
		if u, err := url.Parse(raw); err == nil {
			hosts = append(hosts, u.Hostname())
		}
	}
	g.hosts = access.NewNames(hosts...)
	return g
}

// checkNames refuses hosts and origins that no request names in that form, which would be refused one by one.
func (o *Options) checkNames() error {
	var errs []error
	for _, host := range o.AllowedHosts {
		if !access.IsHostname(host) {
			errs = append(errs, fmt.Errorf("bridge: Options.AllowedHosts: %q: write a host name without scheme, port or wildcard, such as \"bridge.internal\"", host))
		}
	}
	for _, origin := range o.AllowedOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || origin != strings.ToLower(u.Scheme+"://"+u.Host) || strings.Contains(origin, "*") || !isAsSent(u) {
			errs = append(errs, fmt.Errorf("bridge: Options.AllowedOrigins: %q: write an origin as browsers send it, without a path or wildcard, such as \"https://app.example.com\"", origin))
		}
	}
	return errors.Join(errs...)
}

// isAsSent reports whether a browser writes host and port so: in ASCII, and without a port that goes without saying.
func isAsSent(origin *url.URL) bool {
	if strings.ContainsFunc(origin.Host, func(r rune) bool { return r > '~' }) || strings.HasSuffix(origin.Host, ":") {
		return false
	}
	port := origin.Port()
	return port == "" || port != map[string]string{"http": "80", "https": "443"}[origin.Scheme]
}

// checkHost refuses, on loopback, names that are not the bridge's: a web page whose name was made to resolve to
// 127.0.0.1 (DNS rebinding) gives itself away by its Host header.
func (g *guard) checkHost(r *http.Request) error {
	if !access.IsLoopback(access.LocalAddr(r)) || g.hosts.ContainsOrLoopback(r.Host) {
		return nil
	}
	return unknownHost(r)
}

func unknownHost(r *http.Request) error {
	return &Error{
		Code:   CodeForbidden,
		Detail: "This bridge does not answer under that host name. Use localhost or the host of base_url, or add the name to AllowedHosts.",
		Cause:  fmt.Errorf("host %q is neither this machine's nor one of AllowedHosts or of base_url", shorten(r.Host)),
	}
}

// checkOrigin refuses web pages of other origins and answers CORS (https://fetch.spec.whatwg.org/#http-cors-protocol)
// for those that are allowed. It reports whether the request was a preflight, which needs no more answer than headers.
func (g *guard) checkOrigin(h http.Header, r *http.Request) (preflight bool, err error) {
	origin := r.Header.Get("Origin")
	if len(g.origins) > 0 {
		h.Add("Vary", "Origin")
	}
	if origin == "" {
		return false, nil
	}
	if slices.Contains(g.origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, Location, Preference-Applied, Idempotency-Replayed")
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			return false, nil
		}
		h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, Accept, X-Request-Id, Prefer, Idempotency-Key, Last-Event-ID, traceparent, tracestate")
		h.Set("Access-Control-Max-Age", "600")
		return true, nil
	}
	if g.ownsOrigin(r, access.OriginHost(origin)) {
		return false, nil
	}
	return false, &Error{
		Code:   CodeForbidden,
		Detail: "Web pages of this origin may not call this bridge. Its operator can add the origin to AllowedOrigins.",
		Cause:  fmt.Errorf("origin %q is not allowed", shorten(origin)),
	}
}

// ownsOrigin reports if pages of a host, with port, are the bridge's own. Off loopback and without
// authentication the Host header proves nothing: an attacker can make a page's name resolve to the
// bridge (DNS rebinding), and browsers then send that name.
func (g *guard) ownsOrigin(r *http.Request, host string) bool {
	if g.authenticate == nil && !access.IsLoopback(access.LocalAddr(r)) {
		return g.hosts.ContainsOrLoopback(host)
	}
	return host != "" && strings.EqualFold(host, r.Host)
}

// checkCaller names the caller.
func (g *guard) checkCaller(r *http.Request) (principal string, err error) {
	if g.authenticate == nil {
		return "", g.checkMachine(r)
	}
	principal, err = g.authenticate(r)
	err = settled(err)
	if err == nil && principal == "" { // whose jobs would be everybody's of that kind
		err = errors.New("Options.Authenticate gave the caller no name")
	}
	if err == nil {
		return principal, nil
	}
	if e, ok := asError(err); ok {
		return "", e
	}
	return "", &Error{Code: CodeUnauthenticated, Detail: "This bridge does not know the caller: send the credentials that its operator gave you, mostly as Authorization: Bearer TOKEN.", Cause: err}
}

// checkMachine judges callers without authentication. It fails closed in the handler of another
// server: see checkExposure.
func (g *guard) checkMachine(r *http.Request) error {
	local := access.LocalAddr(r)
	switch {
	case !access.IsExposed(local):
		return nil
	case !g.open:
		return &Error{Code: CodeForbidden, Detail: "This bridge is not open to other machines. Its operator finds what to do in the log.", Cause: exposed(local)}
	case mayHideOrigin(r) && !access.IsAddress(r.Host) && !g.hosts.ContainsOrLoopback(r.Host):
		return unknownHost(r)
	}
	return nil
}

// mayHideOrigin reports if a request without Origin may come from a web page: browsers send none
// with GET and HEAD to the page's own host.
func mayHideOrigin(r *http.Request) bool {
	fetched := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Header.Get("Sec-Fetch-Site") != ""
	return fetched && r.Header.Get("Origin") == ""
}

// checkFetch refuses pages of other sites that have a browser call what needs no Origin, such as GET for an image: they learn
// nothing, but the call would be made (https://www.w3.org/TR/fetch-metadata/).
func (g *guard) checkFetch(r *http.Request) error {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Header.Get("Origin") != "" || site != "cross-site" && site != "same-site" {
		return nil
	}
	return &Error{Code: CodeForbidden, Detail: "Web pages of other sites may not call this bridge.", Cause: fmt.Errorf("Sec-Fetch-Site is %s", site)}
}

// checkExposure fails closed: without authentication the bridge is for this machine only.
func (g *guard) checkExposure(addr net.Addr, allowed bool) error {
	if g.authenticate != nil || allowed || access.IsLoopback(addr) {
		return nil
	}
	return exposed(addr)
}

func exposed(addr net.Addr) error {
	return fmt.Errorf("bridge: %s can be reached from other machines, but nothing authenticates callers: "+
		"set Options.Authenticate, listen on 127.0.0.1, or set Options.AllowUnauthenticated if something in front authenticates", addr)
}
