package access

import (
	"crypto/tls"
	"errors"
	"time"
)

// CertificateName returns the name of a verified client certificate: its URI, else its first DNS
// name, else its common name. It fails without one, and if the certificate has expired since the
// handshake.
func CertificateName(state *tls.ConnectionState) (string, error) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return "", errors.New("no verified client certificate")
	}
	leaf := state.VerifiedChains[0][0]
	switch {
	case time.Now().After(leaf.NotAfter): // a connection may outlive a certificate
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
