package registry

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
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

// A role is what a caller may do, as CAIO names it.
type role string

const (
	administrator role = "admin"
	forUsers      role = "user"
	forServices   role = "service"
	anybody       role = "anybody" // who needs no token
	process       role = "process" // that calls the registry's methods
)

// mayAct returns nil if a caller of the role may do what is for another; "" is for all.
func (have role) mayAct(need role) error {
	if need == "" || have == need || have == administrator || have == anybody {
		return nil
	}
	return forbidden(fmt.Sprintf("this needs a token with the role %s or admin, not %s", need, have))
}

type roleKey struct{}

func roleOf(ctx context.Context) role {
	if known, ok := ctx.Value(roleKey{}).(role); ok {
		return known
	}
	return process
}

// authenticationOf says how the caller is known.
func authenticationOf(ctx context.Context) string {
	switch known := roleOf(ctx); known {
	case process:
		return "it calls within the process"
	case anybody:
		return "no token is asked for"
	default:
		return "by a token with the role " + string(known)
	}
}

// A guard decides who may ask.
type guard struct {
	tokens          []knownToken
	openIntegration bool
	hosts           []string // empty: this machine only
	allHosts        bool
	crossOrigin     *http.CrossOriginProtection
}

// A knownToken is hashed, so that comparing takes the same time whatever the token's length.
type knownToken struct {
	hash [sha256.Size]byte
	role role
}

func (o *Options) checkTokens() error {
	var faults []error
	seen := map[string]bool{}
	for _, list := range []struct {
		name   string
		tokens []string
	}{{"Tokens", o.Tokens}, {"UserTokens", o.UserTokens}, {"ServiceTokens", o.ServiceTokens}} {
		for i, token := range list.tokens {
			if len(token) < minToken {
				faults = append(faults, fmt.Errorf("token %d of %s is shorter than %d characters", i+1, list.name, minToken))
			}
			if seen[token] {
				faults = append(faults, fmt.Errorf("token %d of %s is there twice", i+1, list.name))
			}
			seen[token] = true
		}
	}
	return errors.Join(faults...)
}

func (o *Options) hasTokens() bool {
	return len(o.Tokens)+len(o.UserTokens)+len(o.ServiceTokens) > 0
}

func newGuard(o *Options) *guard {
	g := &guard{
		openIntegration: o.OpenIntegration,
		hosts:           slices.Clone(o.Hosts),
		allHosts:        slices.Contains(o.Hosts, "*") || len(o.Hosts) == 0 && o.hasTokens(),
		crossOrigin:     http.NewCrossOriginProtection(),
	}
	for known, tokens := range map[role][]string{administrator: o.Tokens, forUsers: o.UserTokens, forServices: o.ServiceTokens} {
		for _, token := range tokens {
			g.tokens = append(g.tokens, knownToken{sha256.Sum256([]byte(token)), known})
		}
	}
	return g
}

// check returns who asks, or why the request may not pass.
func (g *guard) check(r *http.Request) (role, error) {
	if !g.knowsHost(r.Host) {
		return "", forbidden("requests for host " + wire.Clip(r.Host, 100) + " are not answered: only those that name this machine (or one of Options.Hosts)")
	}
	if g.crossOrigin.Check(r) != nil {
		return "", forbidden("requests by web pages of other origins are not answered")
	}
	if g.open(r.URL.Path) {
		return anybody, nil
	}
	if known := g.identify(r.Header.Get("Authorization")); known != "" {
		return known, nil
	}
	return "", &caio.Error{Status: http.StatusUnauthorized, Code: wire.SecurityViolation,
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
	return len(g.tokens) == 0 || path == "/health" || g.openIntegration && strings.HasPrefix(path, integrationPrefix)
}

// identify returns the role of the token in the header, "" if it is not known.
func (g *guard) identify(header string) (known role) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	for i := range g.tokens {
		if subtle.ConstantTimeCompare(given[:], g.tokens[i].hash[:]) == 1 {
			known = g.tokens[i].role
		}
	}
	return known
}
