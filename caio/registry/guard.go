package registry

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

const (
	minToken          = 16
	integrationPrefix = "/api/v1/integration/"
)

// A guard decides who may ask.
type guard struct {
	tokens           [][sha256.Size]byte // hashed, so that comparing takes the same time whatever the token's length
	closeIntegration bool
	hosts            []string // empty: this machine only
	allHosts         bool
	crossOrigin      *http.CrossOriginProtection
}

func newGuard(o *Options) *guard {
	g := &guard{
		closeIntegration: o.CloseIntegration,
		hosts:            slices.Clone(o.Hosts),
		allHosts:         slices.Contains(o.Hosts, "*") || len(o.Hosts) == 0 && len(o.Tokens) > 0,
		crossOrigin:      http.NewCrossOriginProtection(),
	}
	for _, token := range o.Tokens {
		g.tokens = append(g.tokens, sha256.Sum256([]byte(token)))
	}
	return g
}

// check returns nil if the request may pass.
func (g *guard) check(r *http.Request) error {
	if !g.knowsHost(r.Host) {
		return forbidden("requests for host " + wire.Clip(r.Host, 100) + " are not answered: only those that name this machine (or one of Options.Hosts)")
	}
	if g.crossOrigin.Check(r) != nil {
		return forbidden("requests by web pages of other origins are not answered")
	}
	if g.open(r.URL.Path) || g.authorized(r.Header.Get("Authorization")) {
		return nil
	}
	return &caio.Error{Status: http.StatusUnauthorized, Code: wire.SecurityViolation,
		Message: "a valid token is needed: send it as \"Authorization: Bearer <token>\""}
}

func forbidden(message string) error {
	return &caio.Error{Status: http.StatusForbidden, Code: wire.SecurityViolation, Message: message}
}

func (g *guard) knowsHost(hostport string) bool {
	if g.allHosts {
		return true
	}
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if len(g.hosts) == 0 {
		return wire.IsLoopback(host)
	}
	return slices.ContainsFunc(g.hosts, func(known string) bool { return strings.EqualFold(known, host) })
}

func (g *guard) open(path string) bool {
	return len(g.tokens) == 0 || path == "/health" || !g.closeIntegration && strings.HasPrefix(path, integrationPrefix)
}

func (g *guard) authorized(header string) bool {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	given, known := sha256.Sum256([]byte(strings.TrimSpace(token))), 0
	for i := range g.tokens {
		known |= subtle.ConstantTimeCompare(given[:], g.tokens[i][:])
	}
	return known == 1
}

type roleKey struct{}

// authenticationOf says how the caller is known: by a token on the way over HTTP, or because it calls from this process.
func authenticationOf(ctx context.Context) string {
	if known, ok := ctx.Value(roleKey{}).(string); ok {
		return known
	}
	return "it calls within the process"
}
