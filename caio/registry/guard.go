package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/internal/access"
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
	anybody       role = "anybody"  // any caller of a registry without tokens
	stranger      role = "stranger" // without a token, on a path that is open although there are tokens
	process       role = "process"  // that calls the registry's methods
)

// mayAct returns nil if a caller of the role may do what is for another; "" is for all.
func (have role) mayAct(need role) error {
	if need == "" || have == need || have == administrator || have == anybody || have == stranger {
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
	tokens               access.Tokens[role]
	openIntegration      bool
	allowUnauthenticated bool
	hosts                access.Names // empty: this machine only
	anyHost              bool         // Options.Hosts has "*"
	allHosts             bool         // anyHost, or no host is listed and tokens protect
	crossOrigin          *http.CrossOriginProtection
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
		openIntegration:      o.OpenIntegration,
		allowUnauthenticated: o.AllowUnauthenticated,
		hosts:                access.NewNames(o.Hosts...),
		anyHost:              slices.Contains(o.Hosts, "*"),
		crossOrigin:          http.NewCrossOriginProtection(),
	}
	g.allHosts = g.anyHost || len(o.Hosts) == 0 && o.hasTokens()
	for known, tokens := range map[role][]string{administrator: o.Tokens, forUsers: o.UserTokens, forServices: o.ServiceTokens} {
		for _, token := range tokens {
			g.tokens.Add(token, known)
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
	known := g.identify(r.Header.Get("Authorization"))
	switch {
	case g.tokens.Len() == 0:
		return anybody, g.checkMachine(r)
	case g.isOpen(r.URL.Path) && known == "":
		return stranger, g.checkPage(r)
	case g.isOpen(r.URL.Path) && known == forUsers: // the token must not take away an open path
		return stranger, nil
	case known != "":
		return known, nil
	}
	return "", &caio.Error{Status: http.StatusUnauthorized, Code: wire.SecurityViolation,
		Message: "a valid token is needed: send it as \"Authorization: Bearer <token>\""}
}

// checkMachine refuses callers on other machines in a registry without tokens. /health is open, as
// with tokens.
func (g *guard) checkMachine(r *http.Request) error {
	if g.allowUnauthenticated || r.URL.Path == "/health" || !access.IsExposed(access.LocalAddr(r)) {
		return nil
	}
	return forbidden("this registry has no tokens, so it answers callers on its own machine only: its operator can set Options.Tokens, " +
		"listen on 127.0.0.1, or set Options.AllowUnauthenticated if something in front authenticates")
}

// checkPage refuses web pages of an unknown host (DNS rebinding) on paths that need no token.
func (g *guard) checkPage(r *http.Request) error {
	origin := r.Header.Get("Origin")
	isPage := origin != "" || r.Header.Get("Sec-Fetch-Site") != ""
	if !isPage || g.anyHost || r.URL.Path == "/health" {
		return nil
	}
	host := r.Host
	if origin != "" {
		host = access.OriginHost(origin)
	}
	if g.hosts.ContainsOrLoopback(host) {
		return nil
	}
	return forbidden("requests by web pages without a token are answered only if the page's host is this machine or one of Options.Hosts")
}

func forbidden(message string) error {
	return &caio.Error{Status: http.StatusForbidden, Code: wire.SecurityViolation, Message: message}
}

func (g *guard) knowsHost(hostport string) bool {
	if g.allHosts {
		return true
	}
	if len(g.hosts) == 0 {
		return access.IsLoopbackName(access.Hostname(hostport))
	}
	return g.hosts.Contains(hostport)
}

func (g *guard) isOpen(path string) bool {
	return path == "/health" || g.openIntegration && strings.HasPrefix(path, integrationPrefix)
}

// identify returns the role of the token in the header, "" if it is not known.
func (g *guard) identify(header string) role {
	token, ok := access.BearerToken(header)
	if !ok {
		return ""
	}
	known, _ := g.tokens.Identify(token)
	return known
}
