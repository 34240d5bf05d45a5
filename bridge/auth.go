package bridge

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/smarthaus/caio-bridge-go/internal/access"
)

// BearerTokens returns a function for [Options.Authenticate] that accepts "Authorization: Bearer <token>" (RFC 6750).
// The map goes from principal, the name that logs and handlers see, to token. Tokens are compared in constant time; an
// empty token is never accepted.
func BearerTokens(tokens map[string]string) func(*http.Request) (string, error) {
	var known access.Tokens[string]
	for _, principal := range slices.Sorted(maps.Keys(tokens)) { // so that a shared token always names the same caller
		if token := tokens[principal]; token != "" {
			known.Add(token, principal)
		}
	}
	return func(r *http.Request) (string, error) {
		token, ok := access.BearerToken(r.Header.Get("Authorization"))
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

// ClientCertificate is a function for [Options.Authenticate] that names the caller by the certificate that it proved to have
// in the TLS handshake. The listener given to [Bridge.Serve] must verify client certificates: its [crypto/tls.Config] has
// ClientCAs and, as ClientAuth, [crypto/tls.VerifyClientCertIfGiven], which leaves health checks open to probes without a
// certificate, or [crypto/tls.RequireAndVerifyClientCert]. Certificates that were not verified, and headers in which a proxy
// passes one on, count for nothing.
//
// The principal is the certificate's URI (as SPIFFE has it), else its first DNS name, else its common name. Every caller
// whose certificate the ClientCAs signed is accepted: to accept some of them only, look at the name.
func ClientCertificate(r *http.Request) (principal string, err error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return "", errors.New("no verified client certificate")
	}
	leaf := r.TLS.VerifiedChains[0][0]
	switch {
	case time.Now().After(leaf.NotAfter): // connections may last longer than certificates
		return "", errors.New("the client certificate has expired since the connection began")
	case len(leaf.URIs) > 1:
		return "", errors.New("the client certificate has several URIs: which of them names the caller is not clear")
	case len(leaf.URIs) == 1:
		return leaf.URIs[0].String(), nil
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0], nil
	case leaf.Subject.CommonName != "":
		return leaf.Subject.CommonName, nil
	}
	return "", errors.New("the client certificate has no URI, DNS name or common name")
}
