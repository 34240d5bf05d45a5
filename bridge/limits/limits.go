// Package limits admits calls within exact limits: of concurrency, and of rates in sliding windows.
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

// A Limiter admits calls. [Local] keeps limits within one process. Replicas of a service share
// limits by a Limiter of their operator. It is safe for concurrent use. It may also implement
// [Changer].
type Limiter interface {
	// Admit admits one call of caller, or returns an error. A [*Refusal] becomes 429, and any other
	// error 503. caller is "" without authentication. A refused call counts for no limit.
	//
	// Admit must return soon after ctx ends. A bridge ends ctx after five seconds. The caller sees the
	// quotas of the admission in both cases.
	Admit(ctx context.Context, caller string) (Admission, error)
}

// A Changer is a [Limiter] with limits that can change. A bridge calls Change with the limits of
// the new contract when it is reloaded. Default: the limits stay.
type Changer interface {
	Change(Limits)
}

// An Admission is the slot of one call.
type Admission struct {
	Release func() // called once at the end of an admitted call; may be nil
	Quotas  []Quota
}

// A Quota is the rest of one limit, for the headers RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers-10).
type Quota struct {
	Name      string        // such as "per_minute"; ASCII without quotes and backslashes
	Limit     int           // calls per window
	Window    time.Duration // whole seconds
	Remaining int           // calls that may still be admitted now
	Reset     time.Duration // time until Remaining grows
}

// A Refusal is the reason why a call was not admitted.
type Refusal struct {
	Detail     string        // a sentence for the caller: the limit, and the time to try again
	Clause     string        // clause of the contract, such as "constraints.rate_limit.per_minute"; may be ""
	RetryAfter time.Duration // time until a call may be admitted; 0 if unknown
}

// Error returns the detail.
func (r *Refusal) Error() string { return r.Detail }
