package bridge

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
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
	for principal, token := range tokens {
		if token != "" {
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
