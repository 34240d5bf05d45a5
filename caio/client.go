// Package caio is a client of the orchestrator CAIO: it registers services by their contracts and keeps them registered,
// discovers services, and asks for routing decisions.
//
// CAIO documents several paths for the same, two forms of capabilities and two error envelopes. The client reads all forms,
// and finds out which paths there are unless [Options].Paths says it. The sub-package registry is a server of the same API.
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

	"github.com/smarthaus/caio-bridge-go/internal/access"
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
	paths        *paths
	token        func(context.Context) (string, error)
	serviceToken func(ctx context.Context, baseURL string) (string, error)
	tokenInClear bool
	log          *slog.Logger
	timeout      time.Duration
	heartbeat    time.Duration
	announced    func(serviceID, state string, err error)
	states       *states
	attempts     int
}

// Options configure a [Client]. Nil and zero values mean the defaults.
type Options struct {
	// Token returns the bearer token and is asked before every attempt, so that tokens may rotate. It must be safe for
	// concurrent use. White space around the token is ignored; "" sends none. Nil: no token is sent. See [StaticToken].
	Token func(context.Context) (string, error)

	// TokenFile names a file that holds the bearer token. It is read before every attempt, so that it may be replaced, as
	// mounted secrets are. Default: none. Give this or Token.
	TokenFile string

	// ServiceToken returns the bearer token for the service at baseURL that [Client.Call] and [Client.Stream] call, ""
	// for none. It must be safe for concurrent use. Nil: no token is sent to services; CAIO's own never is.
	ServiceToken func(ctx context.Context, baseURL string) (string, error)

	// TokenInClear allows sending tokens over plain HTTP to hosts other than this machine. Default: refused.
	TokenInClear bool

	// Paths chooses where services are registered: "services" (POST /api/v1/services), "published" (POST
	// /api/v1/register-service) or "integration" (POST /api/v1/integration/register-service, which CAIO opens to callers
	// without a token). Default: one of the first two, found out by a GET before the first registration, and again when the
	// path is gone.
	Paths string

	// HTTPClient sends the requests, to CAIO and to services; its CheckRedirect is replaced. Default: a client of its
	// own, with the proxy that the environment names.
	HTTPClient *http.Client

	// Logger receives what [Client.Announce] has to say. Default: nothing is logged.
	Logger *slog.Logger

	// Timeout bounds each attempt of a call, the reading of the answer included. Default: 10 s; at most 5 min.
	Timeout time.Duration

	// Attempts bounds how often a call is sent in all. Default: 3; at most 10; 1 means no retry.
	Attempts int

	// Announced is told how an announcement stands, once for each change, in the words of [Client.Announcement], with the
	// error if there is one. It is called by [Client.Announce] and must return soon. Default: nobody is told.
	Announced func(serviceID, state string, err error)

	// Heartbeat is how often [Client.Announce] checks that the registration is still there, give or take a fifth.
	// Default: 30 s; between 1 s and 1 h.
	Heartbeat time.Duration
}

// NewClient returns a client of the CAIO at baseURL, for example "http://localhost:8080". It does not connect. All faults
// of baseURL and opts are reported together.
func NewClient(baseURL string, opts *Options) (*Client, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	base, err := parseBase(baseURL)
	if err == nil && base.Scheme == "http" && (o.Token != nil || o.TokenFile != "") && !o.TokenInClear && !access.IsLoopbackName(base.Hostname()) {
		err = fmt.Errorf("a token would travel in clear to %s: use an https URL, or set TokenInClear", base.Host)
	}
	paths, unknown := newPaths(o.Paths)
	if err := errors.Join(err, unknown, o.setDefaults()); err != nil {
		return nil, fmt.Errorf("caio: %w", err)
	}

	sender := *o.HTTPClient
	sender.CheckRedirect = refuseForeignRedirect
	return &Client{
		base: base, http: &sender, paths: paths, log: o.Logger,
		token: o.Token, serviceToken: o.ServiceToken, tokenInClear: o.TokenInClear,
		timeout: o.Timeout, heartbeat: o.Heartbeat, announced: o.Announced, states: new(states), attempts: o.Attempts,
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
	var token error
	switch {
	case o.TokenFile != "" && o.Token != nil:
		token = errors.New("both Token and TokenFile are given: give one")
	case o.TokenFile != "":
		o.Token = fileToken(o.TokenFile)
	}
	if o.Announced == nil {
		o.Announced = func(string, string, error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(token,
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

func beforeQuery(text string) string {
	text, _, _ = strings.Cut(text, "?")
	return text
}

func parseBase(baseURL string) (*url.URL, error) {
	base, err := url.Parse(baseURL)
	switch {
	case err != nil: // not repeated: the text may hold a password
		return nil, errors.New(`the base URL is not a URL: write one like "http://localhost:8080"`)
	case base.User != nil:
		return nil, errors.New("the base URL holds a user name or password: use Options.Token")
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, fmt.Errorf("the base URL %q is not an absolute http or https URL like \"http://localhost:8080\"", beforeQuery(baseURL))
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
