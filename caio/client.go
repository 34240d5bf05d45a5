// Package caio is a client of the orchestrator CAIO. It registers services by their contracts,
// keeps them registered, discovers services, asks for routing decisions and calls the chosen
// service.
//
// CAIO documents several paths for one operation, two forms of capabilities and two error
// envelopes. The client reads all forms, and probes for the paths unless [Options].Paths names
// them. Package registry is a server of the same API.
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

// A Client calls one CAIO, and the services in its decisions. It is safe for concurrent use.
//
// Requests to CAIO are idempotent. The client retries them, with growing and jittered pauses:
//   - after transport errors, and after 429, 500, 502, 503 and 504;
//   - at most [Options].MaxAttempts attempts in all;
//   - after Retry-After if that is up to 30 seconds. The caller finds a longer one in
//     [Error].RetryAfter.
//
// Methods return an [*Error] if CAIO refuses, and other errors without a usable answer. The client
// reads answers of up to 8 MiB. It follows redirects within the same scheme, host and port only.
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
	reports      *reports
	maxAttempts  int
}

// NewClient returns a client of the CAIO at baseURL, for example "http://localhost:8080". It does
// not connect. Its error lists all problems of baseURL and opts.
func NewClient(baseURL string, opts *Options) (*Client, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	base, err := parseBase(baseURL)
	if err == nil && (o.Token != nil || o.TokenFile != "") && !o.TokenInClear && isClear(base) {
		err = fmt.Errorf("a token would travel in clear to %s: use an https URL, or set TokenInClear", base.Host)
	}
	paths, pathsErr := newPaths(o.Paths)
	if err := errors.Join(err, pathsErr, o.setDefaults()); err != nil {
		return nil, fmt.Errorf("caio: %w", err)
	}

	sender := *o.HTTPClient
	sender.CheckRedirect = checkRedirect
	return &Client{
		base: base, http: &sender, paths: paths, log: o.Logger,
		token: o.Token, serviceToken: o.ServiceToken, tokenInClear: o.TokenInClear,
		timeout: o.Timeout, heartbeat: o.Heartbeat, reports: new(reports), maxAttempts: o.MaxAttempts,
	}, nil
}

// isClear reports whether requests to base leave this machine without encryption.
func isClear(base *url.URL) bool {
	return base.Scheme == "http" && !access.IsLoopbackName(base.Hostname())
}

// parseBase parses an absolute base URL. Its errors never contain credentials or a query.
func parseBase(baseURL string) (*url.URL, error) {
	base, err := url.Parse(baseURL)
	switch {
	case err != nil: // err contains the URL, and that may contain a password
		return nil, errors.New(`the base URL is not a URL: write one like "http://localhost:8080"`)
	case base.User != nil:
		return nil, errors.New("the base URL contains a user name or password: use Options.Token")
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		shown, _, _ := strings.Cut(baseURL, "?")
		return nil, fmt.Errorf(`the base URL %q is not an absolute http or https URL like "http://localhost:8080"`, shown)
	case base.RawQuery != "", base.Fragment != "":
		return nil, errors.New("the base URL has a query or a fragment: leave them out")
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), ""
	return base, nil
}

// checkRedirect allows a redirect only if it keeps origin and method. Another origin must not get
// token or contract, and a POST must not become a GET.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host:
		target := net.JoinHostPort(next.URL.Hostname(), next.URL.Port())
		return permanentError(fmt.Sprintf("redirected to another origin (%s %s): if that is CAIO, use it as base URL",
			next.URL.Scheme, strings.TrimSuffix(target, ":")))
	case next.Method != first.Method:
		return permanentError("redirected from " + first.Method + " to " + next.Method + ": check the base URL")
	case len(via) > 3:
		return permanentError("redirected more than 3 times: check the base URL")
	}
	return nil
}
