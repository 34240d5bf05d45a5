// Package codex bridges OpenAI Codex: code generation and code review over HTTP.
//
// The model runs behind OpenAI's Responses API or any server that implements it. [New] returns the
// provider, [Contract] its contract. Operators may write their own contract for the same endpoints
// and capabilities.
package codex

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/smarthaus/caio-bridge-go/bridge"
	transport "github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// DefaultModel is the default of [Options.Model].
//
// Codex itself runs this model by default (2026-11). OpenAI has shut down nearly all models with
// "codex" in their names. Models retire, so watch OpenAI's list.
const DefaultModel = "gpt-6.1-sol"

const (
	defaultBaseURL = "https://api.openai.com/v1"
	defaultEffort  = "low" // Codex's own default for DefaultModel; more would exceed the contract's latency

	headerTimeout = 5 * time.Minute // without streaming, the response starts when it is complete
)

// Options configure a [Provider]. The package reads no environment variables, except net/http's
// proxy settings.
type Options struct {
	// APIKey is the bearer token for the model's server. OpenAI requires one; other servers may not.
	APIKey string `json:"-"`

	// BaseURL is the URL of the Responses API, without "/responses".
	// Default: https://api.openai.com/v1.
	BaseURL string

	// Model is the name of the model. Default: [DefaultModel].
	Model string

	// ReasoningEffort is sent unchanged. The valid values depend on the model.
	// Default: "low" for [DefaultModel], the server's default for any other model.
	ReasoningEffort string

	// HTTPClient sends the requests. Set its Timeout to 0: contexts bound the calls, and streams may
	// last longer. Default: a client of package upstream with connection reuse, a circuit breaker, a
	// limit of 5 minutes for response headers, and no access to private addresses except BaseURL's.
	HTTPClient *http.Client

	// MaxConnsPerHost bounds the default client's HTTP/1.1 connections to the server, streams
	// included: see [transport.Options]. New rejects it together with HTTPClient.
	// Default: no bound, because the contract's max_concurrent_requests bounds calls.
	MaxConnsPerHost int

	// MeterProvider records the time in seconds that requests wait for a connection, as
	// http.client.request.time_in_queue. It needs MaxConnsPerHost. Default: no measurements.
	MeterProvider metric.MeterProvider
}

// Format prints the options without the key, for every verb.
func (o Options) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "{BaseURL:%s Model:%s ReasoningEffort:%s}", o.BaseURL, o.Model, o.ReasoningEffort)
}

// A Provider serves POST /generate, plain or streamed, and POST /review. It is safe for concurrent
// use.
//
// A call sends one request to the model. It does not retry: the request is billed and has no
// idempotency key. Callers decide by the error's retryable and Retry-After. Only failed connection
// attempts are retried, since they sent nothing.
type Provider struct {
	upstream *upstream
	close    func()
}

// New returns a provider, or one error with all problems of the options. It does no I/O.
func New(opts *Options) (*Provider, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("codex: %w", err)
	}
	if o.ReasoningEffort == "" && (o.Model == "" || o.Model == DefaultModel) {
		o.ReasoningEffort = defaultEffort
	}
	if o.BaseURL == "" {
		o.BaseURL = defaultBaseURL
	}
	if o.Model == "" {
		o.Model = DefaultModel
	}
	p := &Provider{close: func() {}}
	if o.HTTPClient == nil {
		client, err := transport.New(&transport.Options{
			AllowHosts: []string{o.BaseURL}, HeaderTimeout: headerTimeout,
			MaxConnsPerHost: o.MaxConnsPerHost, MeterProvider: o.MeterProvider,
		})
		if err != nil {
			return nil, fmt.Errorf("codex: %w", err)
		}
		p.close = client.CloseIdleConnections
		o.HTTPClient = client
	}
	upstream, err := newUpstream(&o)
	if err != nil {
		return nil, fmt.Errorf("codex: %w", err)
	}
	p.upstream = upstream
	return p, nil
}

// Name returns "codex-bridge".
func (p *Provider) Name() string { return "codex-bridge" }

// Routes returns the provider's two operations.
func (p *Provider) Routes() []bridge.Route {
	return []bridge.Route{
		bridge.Streaming("POST /generate",
			bridge.TransformStream(generation{}, p.upstream, generation{}), bridge.Serves("code_generation")),
		bridge.Unary("POST /review",
			bridge.Transform(review{}, p.upstream, review{}), bridge.Serves("code_review")),
	}
}

// CountTokens estimates a request's input tokens, instructions and schema included.
//
// It counts one token per three bytes of UTF-8, rounded up. Code and prose take about one per four
// bytes, so the estimate is high for them. It can be low for random text, such as keys and hashes.
func (*Provider) CountTokens(req any) int {
	var p prompt
	var err error
	switch req := req.(type) {
	case generateRequest:
		p, err = generation{}.TransformRequest(req)
	case reviewRequest:
		p, err = review{}.TransformRequest(req)
	}
	if err != nil {
		return 0 // the handler returns the error
	}
	return p.tokens()
}

// Close closes idle connections of the default client. It does not touch [Options.HTTPClient].
func (p *Provider) Close() error {
	p.close()
	return nil
}

// check returns all problems of the options as one error.
func (o *Options) check() error {
	var problems []error
	if o.APIKey == "" && o.BaseURL == "" {
		problems = append(problems, errors.New(
			"OpenAI's API needs a key: set Options.APIKey, or Options.BaseURL for another server"))
	}
	if strings.ContainsFunc(o.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		problems = append(problems, errors.New(
			"Options.APIKey contains a space, line break or other invalid character: trim it if it comes from a file"))
	}
	if err := checkBaseURL(o.BaseURL); err != nil {
		problems = append(problems, err)
	}
	if strings.ContainsFunc(o.Model, func(r rune) bool { return r <= ' ' }) || len(o.Model) > 256 {
		problems = append(problems, fmt.Errorf("Options.Model %.60q is not a model name, such as %q", o.Model, DefaultModel))
	}
	if o.HTTPClient != nil && o.MaxConnsPerHost != 0 {
		problems = append(problems, errors.New(
			"Options.MaxConnsPerHost has no effect on Options.HTTPClient: set the limit in that client's transport"))
	}
	return errors.Join(problems...)
}

// checkBaseURL validates a base URL. Its errors omit the URL, since it may contain a password.
func checkBaseURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("Options.BaseURL is not an absolute http or https URL, such as http://localhost:11434/v1")
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return errors.New("Options.BaseURL must not contain a user, query or fragment: set the key in Options.APIKey")
	}
	return nil
}
