// Package limits admits calls within limits that are never exceeded: concurrency, and rates in exact sliding windows.
package limits

import (
	"context"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// Limits bound calls. Zero means "not limited".
type Limits struct {
	MaxConcurrentRequests int
	RateLimit             contract.RateLimit
}

// A Limiter decides which calls are admitted. [Local] keeps limits within one process; replicas of a service that share a
// limiter of their operator's share the limits too. It is safe for concurrent use.
//
// A limiter with a method Change(Limits) is told the limits of the contract when a bridge is reloaded.
type Limiter interface {
	// Admit admits one call of caller, "" if nobody authenticates callers, or refuses it with an error, best a
	// [*Refusal]. It must return soon after ctx ends, which a bridge lets it do after five seconds. A refused call counts for no
	// limit at all. Any other error is answered with 503. Quotas of the admission are shown to the caller in both
	// cases; Release, unless it is nil, is called once, when an admitted call has ended.
	Admit(ctx context.Context, caller string) (Admission, error)
}

// An Admission is a place that one call holds.
type Admission struct {
	Release func()
	Quotas  []Quota
}

// A Quota says how much is left of one limit, for the headers RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers-10).
type Quota struct {
	Name      string        // such as "per_minute"; ASCII without quotes and backslashes
	Limit     int           // calls per window
	Window    time.Duration // whole seconds
	Remaining int           // calls that may still be admitted now
	Reset     time.Duration // until more may be
}

// A Refusal says why a call was not admitted.
type Refusal struct {
	Detail     string        // a sentence for the caller: which limit, and when to try again
	Clause     string        // of the contract, such as "constraints.rate_limit.per_minute"; "" if the limit is the operator's
	RetryAfter time.Duration // until a call may be admitted; 0 means not known
}

// Error returns the detail.
func (r *Refusal) Error() string { return r.Detail }
