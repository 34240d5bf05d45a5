package bridge

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// admit takes a place for the call. release gives it back and must be called once.
func (b *Bridge) admit(x *exchange) (release func(), err error) {
	admission, err := b.limiter.Admit(x.r.Context(), x.principal)
	setQuotaHeaders(x.w.Header(), admission.Quotas)
	if err != nil {
		if refusal, ok := errors.AsType[*limits.Refusal](err); ok {
			err = &Error{Code: CodeRateLimited, Detail: refusal.Detail, Clause: refusal.Clause, RetryAfter: refusal.RetryAfter}
		}
		b.telemetry.admitted(x.r.Context(), x.route, classify(err))
		return nil, err
	}
	b.telemetry.admitted(x.r.Context(), x.route, nil)
	b.inProgress.Add(1)
	return func() {
		admission.Release()
		b.inProgress.Add(-1)
	}, nil
}

func limitsOf(c *contract.Contract) limits.Limits {
	return limits.Limits{MaxConcurrentRequests: c.Constraints.MaxConcurrentRequests, RateLimit: c.Constraints.RateLimit}
}

func setQuotaHeaders(h http.Header, quotas []limits.Quota) {
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

func ceilSeconds(d time.Duration) int {
	return int((d + time.Second - 1) / time.Second)
}
