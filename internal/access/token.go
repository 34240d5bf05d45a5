package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// Tokens tell bearer tokens (RFC 6750) apart. They hold hashes, so that a comparison takes the same
// time for all tokens and lengths. The zero value knows no token. Identify may be called
// concurrently, Add may not.
type Tokens[Owner any] struct {
	known []knownToken[Owner]
}

type knownToken[Owner any] struct {
	hash  [sha256.Size]byte
	owner Owner
}

// Add makes a token known. An owner that is added later takes over the token.
func (t *Tokens[Owner]) Add(token string, owner Owner) {
	t.known = append(t.known, knownToken[Owner]{sha256.Sum256([]byte(token)), owner})
}

// Len returns the number of tokens.
func (t *Tokens[Owner]) Len() int { return len(t.known) }

// Identify returns the owner of a token.
func (t *Tokens[Owner]) Identify(token string) (owner Owner, ok bool) {
	hash := sha256.Sum256([]byte(token))
	for i := range t.known { // all of them, so that the time tells nothing
		if subtle.ConstantTimeCompare(hash[:], t.known[i].hash[:]) == 1 {
			owner, ok = t.known[i].owner, true
		}
	}
	return owner, ok
}

// BearerToken returns the token of an Authorization header. It reports false for another scheme.
func BearerToken(authorization string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}
