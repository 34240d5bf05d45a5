// Package caio is a client of the orchestrator CAIO: it registers services by their contracts and keeps them registered,
// discovers services, and asks for routing decisions.
//
// CAIO documents two sets of paths, two forms of capabilities and two error envelopes. The client reads all forms; which
// paths it calls is chosen by [Dialect]. The sub-package registry is a server of the same API.
package caio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

// A Client talks to one CAIO, and to the services that CAIO decides on. It is safe for concurrent use.
//
// Every question to CAIO is idempotent and therefore sent again, with growing and jittered pauses, when it found no CAIO or a
// temporary failure (429, 500, 502, 503, 504), at most [Options].Attempts times in all; a Retry-After of up to 30 seconds
// is honoured, a longer one is left to the caller in [Error].RetryAfter. Answers are read up to 8 MiB. Redirects are
// followed within the same scheme, host and port only.
type Client struct {
	base         *url.URL
	http         *http.Client
	dialect      Dialect
	token        func(context.Context) (string, error)
	serviceToken func(ctx context.Context, baseURL string) (string, error)
	tokenInClear bool
	log          *slog.Logger
	timeout      time.Duration
	heartbeat    time.Duration
	announced    func(serviceID, state string, err error)
	attempts     int
}

// Options configure a [Client]. Nil and zero values mean the defaults.
type Options struct {
	// Token returns the bearer token and is asked before every attempt, so that tokens may rotate. It must be safe for
	// concurrent use. White space around the token is ignored; "" sends none. Nil: no token is sent. See [StaticToken].
	Token func(context.Context) (string, error)

	// ServiceToken returns the bearer token for the service at baseURL that [Client.Call] and [Client.Stream] call, ""
	// for none. It must be safe for concurrent use. Nil: no token is sent to services; CAIO's own never is.
	ServiceToken func(ctx context.Context, baseURL string) (string, error)

	// TokenInClear allows sending tokens over plain HTTP to hosts other than this machine. Default: refused.
	TokenInClear bool

	// Dialect chooses CAIO's paths. Default: [ServicesDialect].
	Dialect Dialect

	// HTTPClient sends the requests, to CAIO and to services; its CheckRedirect is replaced. Default: a client of its
	// own, with the proxy that the environment names.
	HTTPClient *http.Client

	// Logger receives what [Client.Announce] has to say. Default: nothing is logged.
	Logger *slog.Logger

	// Timeout bounds each attempt of a call, the reading of the answer included. Default: 10 s; at most 5 min.
	Timeout time.Duration

	// Attempts bounds how often a call is sent in all. Default: 3; at most 10; 1 means no retry.
	Attempts int

	// Announced is told how an announcement stands, once for each change: "registered", "taken" (another contract holds
	// the id), "unauthorized", "refused", "unavailable", "lost" (CAIO forgot or replaced the service) or "withdrawn", with
	// the error if there is one. It is called by [Client.Announce], must return soon, and suits readiness and metrics.
	// Default: nobody is told.
	Announced func(serviceID, state string, err error)

	// Heartbeat is how often [Client.Announce] checks that the registration is still there, give or take a fifth.
	// Default: 30 s; between 1 s and 1 h.
	Heartbeat time.Duration
}

// A Dialect is one of the two sets of paths that CAIO documents. They differ in registration and reading one service.
type Dialect int

const (
	ServicesDialect  Dialect = iota // POST /api/v1/services, GET /api/v1/services/{id}
	PublishedDialect                // POST /api/v1/register-service, GET /api/services/{id}
)

// StaticToken returns an [Options].Token that always gives the same token, and nil for an empty one.
func StaticToken(token string) func(context.Context) (string, error) {
	if token = strings.TrimSpace(token); token == "" {
		return nil
	}
	return func(context.Context) (string, error) { return token, nil }
}

// NewClient returns a client of the CAIO at baseURL, for example "http://localhost:8080". It does not connect. All faults
// of baseURL and opts are reported together.
func NewClient(baseURL string, opts *Options) (*Client, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	base, err := parseBase(baseURL)
	if err == nil && base.Scheme == "http" && o.Token != nil && !o.TokenInClear && !wire.IsLoopback(base.Hostname()) {
		err = fmt.Errorf("a token would travel in clear to %s: use an https URL, or set TokenInClear", base.Host)
	}
	if err := errors.Join(err, o.setDefaults()); err != nil {
		return nil, fmt.Errorf("caio: %w", err)
	}

	sender := *o.HTTPClient
	sender.CheckRedirect = refuseForeignRedirect
	return &Client{
		base: base, http: &sender, dialect: o.Dialect, log: o.Logger,
		token: o.Token, serviceToken: o.ServiceToken, tokenInClear: o.TokenInClear,
		timeout: o.Timeout, heartbeat: o.Heartbeat, announced: o.Announced, attempts: o.Attempts,
	}, nil
}

func (o *Options) setDefaults() error {
	if o.HTTPClient == nil {
		transport := &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
		}
		o.HTTPClient = &http.Client{Transport: transport}
	}
	if o.Announced == nil {
		o.Announced = func(string, string, error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var dialect error
	if o.Dialect != ServicesDialect && o.Dialect != PublishedDialect {
		dialect = fmt.Errorf("unknown Dialect %d", o.Dialect)
	}
	return errors.Join(dialect,
		setDefault("Timeout", &o.Timeout, 10*time.Second, time.Millisecond, 5*time.Minute),
		setDefault("Heartbeat", &o.Heartbeat, 30*time.Second, time.Second, time.Hour),
		setDefault("Attempts", &o.Attempts, 3, 1, 10),
	)
}

// setDefault gives the option its default if it is zero and checks its range otherwise.
func setDefault[T int | time.Duration](name string, option *T, preset, low, high T) error {
	if *option == 0 {
		*option = preset
	}
	if *option < low || *option > high {
		return fmt.Errorf("%s is %v, not within %v and %v", name, *option, low, high)
	}
	return nil
}

func parseBase(baseURL string) (*url.URL, error) {
	base, err := url.Parse(baseURL)
	switch {
	case err != nil: // not repeated: the text may hold a password
		return nil, errors.New(`the base URL is not a URL: write one like "http://localhost:8080"`)
	case base.User != nil:
		return nil, errors.New("the base URL holds a user name or password: use Options.Token")
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, fmt.Errorf("the base URL %q is not an absolute http or https URL like \"http://localhost:8080\"", baseURL)
	case base.RawQuery != "", base.Fragment != "":
		return nil, errors.New("the base URL has a query or a fragment: leave them out")
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), ""
	return base, nil
}

// refuseForeignRedirect lets a redirect pass only if it keeps the origin, so that neither token nor contract goes
// elsewhere, and the method, so that a POST does not turn into a GET.
func refuseForeignRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host:
		target := net.JoinHostPort(next.URL.Hostname(), next.URL.Port())
		return permanentFault(fmt.Sprintf("redirected to another origin (%s %s), which is not followed: if that is CAIO, use it as the base URL",
			next.URL.Scheme, strings.TrimSuffix(target, ":")))
	case next.Method != first.Method:
		return permanentFault("redirected from " + first.Method + " to " + next.Method + ": check the base URL")
	case len(via) > 3:
		return permanentFault("redirected more than 3 times: check the base URL")
	}
	return nil
}
