package bridge

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	httpaccess "github.com/smarthaus/caio-bridge-go/internal/access"
	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// BearerTokens returns a function for [Options.Authenticate] that accepts "Authorization: Bearer
// <token>" (RFC 6750). The map goes from principal, the name in logs and handlers, to token. Tokens
// are compared in constant time. An empty token is never accepted.
func BearerTokens(tokens map[string]string) func(*http.Request) (string, error) {
	var known httpaccess.Tokens[string]
	for _, principal := range slices.Sorted(maps.Keys(tokens)) { // a shared token names the same principal each time
		if token := tokens[principal]; token != "" {
			known.Add(token, principal)
		}
	}
	return func(r *http.Request) (string, error) {
		token, ok := httpaccess.BearerToken(r.Header.Get("Authorization"))
		if !ok {
			return "", errors.New("no bearer token")
		}
		principal, ok := known.Identify(token)
		if !ok {
			return "", errors.New("unknown bearer token")
		}
		return principal, nil
	}
}

// ClientCertificate is a function for [Options.Authenticate] that names the caller by its verified
// TLS certificate.
//
// The listener of [Bridge.Serve] must verify client certificates: its [crypto/tls.Config] has
// ClientCAs and, as ClientAuth, [crypto/tls.VerifyClientCertIfGiven], which leaves health checks
// open to probes without a certificate, or [crypto/tls.RequireAndVerifyClientCert]. Certificates
// that were not verified, and certificates in headers of a proxy, are ignored.
//
// The principal is the certificate's URI (as SPIFFE has it), else its first DNS name, else its
// common name. Every certificate that the ClientCAs signed is accepted. To accept fewer, check the
// name. ClientCertificate fails without a verified certificate, and if it has expired since the
// handshake or names no caller.
func ClientCertificate(r *http.Request) (principal string, err error) {
	return httpaccess.CertificateName(r.TLS)
}

// access decides which requests reach a route: by host, origin, and caller.
type access struct {
	hosts   httpaccess.Names // host names of the bridge besides localhost and loopback addresses
	origins []string
	verify  func(*http.Request) (string, error) // Options.Authenticate
	open    bool                                // Options.AllowUnauthenticated
}

func newAccess(opts *Options, baseURL string) *access {
	a := &access{origins: opts.AllowedOrigins, verify: opts.Authenticate, open: opts.AllowUnauthenticated}
	hosts := slices.Clone(opts.AllowedHosts)
	for _, raw := range []string{baseURL, opts.BaseURL} {
		if u, err := url.Parse(raw); err == nil {
			hosts = append(hosts, u.Hostname())
		}
	}
	a.hosts = httpaccess.NewNames(hosts...)
	return a
}

// validateAccess rejects hosts and origins that can never match a request.
func (o *Options) validateAccess() error {
	var errs []error
	for _, host := range o.AllowedHosts {
		if !httpaccess.IsHostname(host) {
			errs = append(errs, fmt.Errorf("bridge: Options.AllowedHosts: %q: write a host name without scheme, "+
				"port or wildcard, such as \"bridge.internal\"", host))
		}
	}
	for _, origin := range o.AllowedOrigins {
		if !httpaccess.IsSerializedOrigin(origin) {
			errs = append(errs, fmt.Errorf("bridge: Options.AllowedOrigins: %q: write an origin as browsers send it, "+
				"without a path or wildcard, such as \"https://app.example.com\"", origin))
		}
	}
	return errors.Join(errs...)
}

// checkHost refuses foreign Host headers on loopback. A web page whose name an attacker made
// resolve to 127.0.0.1 (DNS rebinding) sends its own name.
func (a *access) checkHost(r *http.Request) error {
	if !httpaccess.IsLoopback(httpaccess.LocalAddr(r)) || a.hosts.ContainsOrLoopback(r.Host) {
		return nil
	}
	return unknownHost(r)
}

func unknownHost(r *http.Request) error {
	return &Error{
		Code: CodeForbidden,
		Detail: "This bridge does not answer under that host name. " +
			"Use localhost or the host of base_url, or add the name to AllowedHosts.",
		Cause: fmt.Errorf("host %q is neither this machine's nor one of AllowedHosts or of base_url", text.Clip(r.Host)),
	}
}

// checkOrigin refuses web pages of other origins and sets the CORS headers for allowed ones
// (https://fetch.spec.whatwg.org/#http-cors-protocol). It reports if the request is a preflight,
// which is answered by headers alone.
func (a *access) checkOrigin(h http.Header, r *http.Request) (preflight bool, err error) {
	origin := r.Header.Get("Origin")
	if len(a.origins) > 0 {
		h.Add("Vary", "Origin")
	}
	if origin == "" {
		return false, nil
	}
	if slices.Contains(a.origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers",
			"X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, Location, Preference-Applied, Idempotency-Replayed")
		if !httpaccess.IsPreflight(r) {
			return false, nil
		}
		h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, Accept, X-Request-Id, "+
			"Prefer, Idempotency-Key, Last-Event-ID, traceparent, tracestate")
		h.Set("Access-Control-Max-Age", "600")
		return true, nil
	}
	if a.ownsOrigin(r, httpaccess.OriginHost(origin)) {
		return false, nil
	}
	return false, &Error{
		Code:   CodeForbidden,
		Detail: "Web pages of this origin may not call this bridge. Its operator can add the origin to AllowedOrigins.",
		Cause:  fmt.Errorf("origin %q is not allowed", text.Clip(origin)),
	}
}

// ownsOrigin reports if pages of a host, with port, are the bridge's own. Off loopback and without
// authentication the Host header proves nothing: an attacker can make a page's name resolve to the
// bridge (DNS rebinding), and browsers then send that name.
func (a *access) ownsOrigin(r *http.Request, host string) bool {
	if a.verify == nil && !httpaccess.IsLoopback(httpaccess.LocalAddr(r)) {
		return a.hosts.ContainsOrLoopback(host)
	}
	return host != "" && strings.EqualFold(host, r.Host)
}

// authenticate sets the exchange's principal, or returns an error.
func (a *access) authenticate(x *exchange) (err error) {
	x.principal, err = a.checkCaller(x.r)
	return err
}

func (a *access) checkCaller(r *http.Request) (principal string, err error) {
	if a.verify == nil {
		return "", a.checkLocalAddr(r)
	}
	principal, err = a.verify(r)
	if err == nil && principal == "" { // callers without a name would share their jobs
		err = errors.New("Options.Authenticate gave the caller no name")
	}
	if err == nil {
		return principal, nil
	}
	if e, ok := asError(err); ok {
		return "", e
	}
	return "", &Error{
		Code: CodeUnauthenticated,
		Detail: "This bridge does not know the caller: send the credentials that its operator gave you, " +
			"mostly as Authorization: Bearer TOKEN.",
		Cause: err,
	}
}

// checkLocalAddr refuses callers from other machines without authentication. It also protects a
// bridge that is the handler of another server: see checkListenAddr.
func (a *access) checkLocalAddr(r *http.Request) error {
	local := httpaccess.LocalAddr(r)
	switch {
	case !httpaccess.IsExposed(local):
		return nil
	case !a.open:
		return &Error{
			Code:   CodeForbidden,
			Detail: "This bridge is not open to other machines. Its operator finds what to do in the log.",
			Cause:  exposedError(local),
		}
	case httpaccess.MayHideOrigin(r) && !httpaccess.IsAddress(r.Host) && !a.hosts.ContainsOrLoopback(r.Host):
		return unknownHost(r)
	}
	return nil
}

// checkFetchMetadata refuses requests that pages of other sites make without an Origin, such as GET
// for an image. The page would learn nothing, but the call would run
// (https://www.w3.org/TR/fetch-metadata/).
func checkFetchMetadata(r *http.Request) error {
	if !httpaccess.IsCrossSiteFetch(r) {
		return nil
	}
	return &Error{
		Code:   CodeForbidden,
		Detail: "Web pages of other sites may not call this bridge.",
		Cause:  fmt.Errorf("Sec-Fetch-Site is %s", r.Header.Get("Sec-Fetch-Site")),
	}
}

// checkListenAddr refuses to listen off loopback without authentication.
func (a *access) checkListenAddr(addr net.Addr) error {
	if a.verify != nil || a.open || httpaccess.IsLoopback(addr) {
		return nil
	}
	return exposedError(addr)
}

func exposedError(addr net.Addr) error {
	return fmt.Errorf("bridge: %s can be reached from other machines, but nothing authenticates callers: set "+
		"Options.Authenticate, listen on 127.0.0.1, or set Options.AllowUnauthenticated if something in front "+
		"authenticates", addr)
}
