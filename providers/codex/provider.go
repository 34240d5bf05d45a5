// Package codex bridges OpenAI Codex: code generation and code review by a model behind the Responses API of OpenAI, or
// of any server that speaks it. [New] makes the provider, [Contract] the contract to go with it; an operator may write
// another contract for the same endpoints and capabilities.
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

// DefaultModel is asked if [Options.Model] names none. It is the model that Codex itself runs by default (2026-11); of
// those whose names contain "codex" nearly all have been shut down. Models retire, so watch OpenAI's list.
const DefaultModel = "gpt-6.1-sol"

const (
	defaultBaseURL = "https://api.openai.com/v1"
	defaultEffort  = "low" // of DefaultModel, as Codex sets it; more would not go with the contract's latency

	headerTimeout = 5 * time.Minute // an answer that is not streamed begins when it is complete
)

// Options adjust a [Provider]. Nothing is read from the environment, apart from the proxy settings that net/http honours.
type Options struct {
	// APIKey is sent as bearer token. It is required for OpenAI's own API; other servers may need none.
	APIKey string `json:"-"`

	// BaseURL is where the Responses API is, up to but without "/responses". Default: https://api.openai.com/v1.
	BaseURL string

	// Model is asked. Default: [DefaultModel].
	Model string

	// ReasoningEffort is passed on as it is; which values there are depends on the model. Default: "low" for
	// [DefaultModel], and left to the server for any other model.
	ReasoningEffort string

	// HTTPClient sends the requests. Its Timeout should be 0, for a stream may last; calls are bounded by their context.
	// Default: a client of package upstream, which keeps connections, breaks the circuit to a server that is down and
	// reaches no private address but BaseURL's; with 5 minutes for an answer to begin.
	HTTPClient *http.Client

	// MaxConnsPerHost bounds the default client's connections to the server over HTTP/1.1, streams
	// included: see [transport.Options]. It does not go with HTTPClient. Default: no bound, for the
	// contract's max_concurrent_requests bounds calls.
	MaxConnsPerHost int

	// MeterProvider receives how long the default client's requests waited for a connection, as
	// http.client.request.time_in_queue, if MaxConnsPerHost is set. Default: not measured.
	MeterProvider metric.MeterProvider
}

// Format prints the options without the key, whatever the verb.
func (o Options) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "{BaseURL:%s Model:%s ReasoningEffort:%s}", o.BaseURL, o.Model, o.ReasoningEffort)
}

// A Provider serves POST /generate, which also streams, and POST /review. It is safe for concurrent use.
//
// It asks the model once per call: the call is billed and has no idempotency key, so whether to try again is the caller's
// to decide, who is told by the error's retryable and Retry-After. Only what was certainly not sent, because no connection
// came about, is tried again by itself.
type Provider struct {
	upstream *upstream
	close    func()
}

// New checks the options. It calls nobody.
func New(opts *Options) (*Provider, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := errors.Join(o.check()...); err != nil {
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

// Name is "codex-bridge".
func (p *Provider) Name() string { return "codex-bridge" }

// Routes returns the provider's two operations.
func (p *Provider) Routes() []bridge.Route {
	return []bridge.Route{
		bridge.Streaming("POST /generate", bridge.TransformStream(generation{}, p.upstream, generation{}), bridge.Serves("code_generation")),
		bridge.Unary("POST /review", bridge.Transform(review{}, p.upstream, review{}), bridge.Serves("code_review")),
	}
}

// CountTokens estimates the tokens of a request, everything that is sent to the model included: one per three bytes of
// UTF-8, rounded up. Program text and prose come to about one per four bytes, so this errs on the large side for them;
// random text such as keys and hashes can cost more than it says.
func (p *Provider) CountTokens(req any) int {
	var asked prompt
	var err error
	switch req := req.(type) {
	case generateRequest:
		asked, err = generation{}.TransformRequest(req)
	case reviewRequest:
		asked, err = review{}.TransformRequest(req)
	}
	if err != nil {
		return 0 // the handler will answer with the error
	}
	return asked.tokens()
}

// Close releases idle connections. A client given in [Options] is left alone.
func (p *Provider) Close() error {
	p.close()
	return nil
}

func (o *Options) check() (faults []error) {
	if o.APIKey == "" && o.BaseURL == "" {
		faults = append(faults, errors.New("OpenAI's API needs a key: set Options.APIKey, or Options.BaseURL for another server"))
	}
	if strings.ContainsFunc(o.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults = append(faults, errors.New("Options.APIKey contains a space, a line break or another character that no key has: was it cut from a file whole?"))
	}
	if err := checkBaseURL(o.BaseURL); err != nil {
		faults = append(faults, err)
	}
	if strings.ContainsFunc(o.Model, func(r rune) bool { return r <= ' ' }) || len(o.Model) > 256 {
		faults = append(faults, fmt.Errorf("Options.Model %.60q is not the name of a model, such as %q", o.Model, DefaultModel))
	}
	if o.HTTPClient != nil && o.MaxConnsPerHost != 0 {
		faults = append(faults, errors.New("Options.MaxConnsPerHost does not go with Options.HTTPClient: bound that client's own connections"))
	}
	return faults
}

// checkBaseURL never repeats the URL, which may hold a password.
func checkBaseURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("Options.BaseURL is not an absolute http or https URL, such as http://localhost:11434/v1")
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return errors.New("Options.BaseURL must have no user, query or fragment: put the key into Options.APIKey")
	}
	return nil
}
