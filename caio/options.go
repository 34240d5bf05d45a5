package caio

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/smarthaus/caio-bridge-go/internal/option"
)

// Options configure a [Client]. Nil and zero values mean the defaults. All functions must be safe
// for concurrent use.
type Options struct {
	// Token returns the bearer token for CAIO. The client calls it before every attempt, so tokens
	// may rotate. It ignores white space around the token, and sends no header for "". Default:
	// nil, no token. See [StaticToken].
	Token func(context.Context) (string, error)

	// TokenFile names a file with the bearer token. The client reads it before every attempt, so an
	// operator may replace it, as for mounted secrets. Default: none. It excludes Token.
	TokenFile string

	// ServiceToken returns the bearer token for the service at baseURL, "" for none. [Client.Call]
	// and [Client.Stream] use it. Default: nil, no token. Services never get CAIO's token.
	ServiceToken func(ctx context.Context, baseURL string) (string, error)

	// TokenInClear allows tokens over plain HTTP to other machines. Default: refused.
	TokenInClear bool

	// Paths names the path for registering:
	//   - "services": POST /api/v1/services;
	//   - "published": POST /api/v1/register-service;
	//   - "integration": POST /api/v1/integration/register-service, open to callers without a
	//     token.
	// Default: "", one of the first two. The client probes with a GET before the first
	// registration, and again if the path has gone.
	Paths string

	// HTTPClient sends the requests to CAIO and to services. The client replaces its CheckRedirect.
	// Default: a client of its own with the proxy of the environment.
	HTTPClient *http.Client

	// Logger receives the log lines of [Client.Announce]. Default: none are written.
	Logger *slog.Logger

	// Timeout bounds each attempt, including the reading of the answer. Default: 10 s; 1 ms to 5
	// min.
	Timeout time.Duration

	// MaxAttempts bounds the attempts for one request, the first included. 1 means no retry.
	// Default: 3; 1 to 10.
	MaxAttempts int

	// Heartbeat is the interval of [Client.Announce]'s checks, give or take a fifth. Default: 30 s;
	// 1 s to 1 h.
	Heartbeat time.Duration
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
	var tokenErr error
	switch {
	case o.TokenFile != "" && o.Token != nil:
		tokenErr = errors.New("both Token and TokenFile are given: give one")
	case o.TokenFile != "":
		o.Token = fileToken(o.TokenFile)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(tokenErr,
		option.Default("Timeout", &o.Timeout, 10*time.Second, time.Millisecond, 5*time.Minute),
		option.Default("Heartbeat", &o.Heartbeat, 30*time.Second, time.Second, time.Hour),
		option.Default("MaxAttempts", &o.MaxAttempts, 3, 1, 10),
	)
}
