package bridge

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// BearerTokens returns a function for [Options.Authenticate] that accepts "Authorization: Bearer <token>" (RFC 6750).
// The map goes from principal, the name that logs and handlers see, to token. Tokens are compared in constant time; an
// empty token is never accepted.
func BearerTokens(tokens map[string]string) func(*http.Request) (string, error) {
	type entry struct {
		principal string
		digest    [sha256.Size]byte
	}
	var entries []entry
	for _, principal := range slices.Sorted(maps.Keys(tokens)) { // whoever shares a token is always taken for the same one
		if token := tokens[principal]; token != "" {
			entries = append(entries, entry{principal, sha256.Sum256([]byte(token))})
		}
	}
	return func(r *http.Request) (string, error) {
		scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			return "", errors.New("no bearer token")
		}
		digest := sha256.Sum256([]byte(strings.TrimSpace(token)))
		var principal string
		found := 0
		for _, e := range entries { // all of them, so that time tells nothing
			if subtle.ConstantTimeCompare(digest[:], e.digest[:]) == 1 {
				principal, found = e.principal, 1
			}
		}
		if found == 0 {
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
