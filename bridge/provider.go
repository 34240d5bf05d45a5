package bridge

import (
	"context"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Provider wraps one external service. Its routes are bound to the contract's endpoints once, by [New].
//
// A provider may also implement
//
//   - [Namer]: the name that GET /health reports; default: the contract's id;
//   - [HealthChecker]: whether it can work; default: always healthy;
//   - [TokenCounter]: needed if the contract limits context_length;
//   - [io.Closer]: called once, after the last call has ended; default: nothing to close.
type Provider interface {
	Routes() []Route
}

// A Namer has a name for GET /health, such as "codex-bridge".
type Namer interface{ Name() string }

// A HealthChecker says whether the provider can work, for /health and /readyz. The text of its error is logged, not sent.
// If it is an [*Error], callers who are authenticated see its Detail at /readyz?verbose. CheckHealth must be quick and
// must not call a billed API. It is asked by one caller at a time, at most once a second, and has failed after two seconds.
type HealthChecker interface {
	CheckHealth(ctx context.Context) error
}

// A TokenCounter counts the tokens of a request, so that the contract's context_length.max_tokens can be enforced before
// the wrapped service is called. req is the decoded request of one of the provider's routes. If it cannot know, it
// should err on the large side.
type TokenCounter interface {
	CountTokens(req any) int
}

// An Announcer keeps a service announced to an orchestrator until ctx ends, then withdraws it and returns nil. It retries
// what may pass and returns an error only for what cannot. *caio.Client is one.
//
// An announcer may also have a method Announcement(serviceID string) string that says in one word how that stands, such as
// "registered", and "" if there is nothing to say. It must be quick. The word is shown at /readyz and /health and measured;
// a bridge that its orchestrator does not know, or cannot be asked about, is ready all the same.
type Announcer interface {
	Announce(ctx context.Context, c *contract.Contract) error
}

// announcement returns how the announcement stands, "" if there is none or nothing is known.
func (b *Bridge) announcement() string {
	if teller, ok := b.opts.Announcer.(interface{ Announcement(serviceID string) string }); ok {
		return teller.Announcement(b.service.Load().contract.ID)
	}
	return ""
}
