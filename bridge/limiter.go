package bridge

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Limiter decides which calls are admitted. The default one keeps the contract's limits, and those of
// [Options.CallerLimits], within one process. Replicas of a service that share a limiter of their operator's share the
// limits too. It is safe for concurrent use.
type Limiter interface {
	// Admit admits one call of caller (see [Principal]), or refuses it with an error, best an [*Error] with
	// [CodeRateLimited], RetryAfter and Clause. A refused call counts for no limit at all. Quotas of the admission are
	// shown to the caller in both cases; Release is called once, when an admitted call has ended.
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

// CallerLimits bound what each caller may take of what the contract allows altogether. Zero means "not limited".
type CallerLimits struct {
	MaxConcurrentRequests int
	RateLimit             contract.RateLimit
}

func setQuotaHeaders(h http.Header, quotas []Quota) {
	if len(quotas) == 0 {
		return
	}
	var policy, state strings.Builder
	for i, q := range quotas {
		separator := ", "
		if i == 0 {
			separator = ""
		}
		fmt.Fprintf(&policy, "%s%q;q=%d;w=%d", separator, q.Name, q.Limit, ceilSeconds(q.Window))
		fmt.Fprintf(&state, "%s%q;r=%d;t=%d", separator, q.Name, q.Remaining, ceilSeconds(q.Reset))
	}
	h.Set("RateLimit-Policy", policy.String())
	h.Set("RateLimit", state.String())
}
