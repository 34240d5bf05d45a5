package bridge

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// admitTimeout is what [limits.Limiter] promises limiters of the operator's.
const admitTimeout = 5 * time.Second

// admit takes a place for the call. release gives it back and must be called once.
func (b *Bridge) admit(x *exchange) (release func(), err error) {
	ctx := x.r.Context()
	if b.opts.Limiter != nil { // it may ask others
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, admitTimeout)
		defer cancel()
	}
	admission, err := b.limiter.Admit(ctx, x.principal)
	setQuotaHeaders(x.w.Header(), admission.Quotas)
	if err != nil {
		err = refusalOf(x.r.Context(), err)
		b.telemetry.admitted(x.r.Context(), x.route, classify(err))
		return nil, err
	}
	b.inProgress.Add(1)
	release = func() {
		defer b.inProgress.Add(-1)
		b.giveBack(x, admission)
	}
	counted := false
	defer func() {
		if !counted { // the meter, which is the operator's, panics
			release()
		}
	}()
	b.telemetry.admitted(x.r.Context(), x.route, nil)
	counted = true
	return release, nil
}

// giveBack lets no fault of a limiter of the operator's become one of the call, or of the process.
func (b *Bridge) giveBack(x *exchange, admission limits.Admission) {
	if admission.Release == nil {
		return
	}
	if _, err := guarded(func() (any, error) { admission.Release(); return nil, nil }); err != nil {
		b.log.LogAttrs(context.Background(), slog.LevelError, "the limiter did not take a place back", append(classify(err).attrs(), slog.String("request_id", x.id))...)
	}
}

// refusalOf words why a limiter did not admit a call. One that fails, or takes too long, lets none through: nobody knows whether
// the call is within the limits.
func refusalOf(ctx context.Context, err error) error {
	if refusal, ok := errors.AsType[*limits.Refusal](err); ok {
		return &Error{Code: CodeRateLimited, Detail: refusal.Detail, Clause: refusal.Clause, RetryAfter: refusal.RetryAfter}
	}
	if _, ok := asError(err); ok {
		return err
	}
	if ctx.Err() != nil { // the caller left meanwhile
		return blame(ctx, err)
	}
	return &Error{Code: CodeUnavailable, Detail: "Whether the call is within the limits could not be found out. Try again.", RetryAfter: time.Second, Cause: err}
}

func limitsOf(c *contract.Contract) limits.Limits {
	return limits.Limits{MaxConcurrentRequests: c.Constraints.MaxConcurrentRequests, RateLimit: c.Constraints.RateLimit}
}

func setQuotaHeaders(h http.Header, quotas []limits.Quota) {
	if len(quotas) == 0 {
		return
	}
	text := make([]byte, 0, 256) // of both headers
	for i, q := range quotas {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = appendItem(text, q.Name, ";q=", q.Limit, ";w=", ceilSeconds(q.Window))
	}
	policy := len(text)
	for i, q := range quotas {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = appendItem(text, q.Name, ";r=", q.Remaining, ";t=", ceilSeconds(q.Reset))
	}
	both := string(text)
	h["Ratelimit-Policy"] = []string{both[:policy]} // as Set would write the names
	h["Ratelimit"] = []string{both[policy:]}
}

// appendItem appends a string with two integer parameters, as structured fields have them (RFC 9651).
func appendItem(b []byte, name, p string, m int, q string, n int) []byte {
	b = strconv.AppendInt(append(strconv.AppendQuote(b, name), p...), int64(m), 10)
	return strconv.AppendInt(append(b, q...), int64(n), 10)
}

func ceilSeconds(d time.Duration) int {
	seconds := d / time.Second
	if d%time.Second > 0 {
		seconds++
	}
	return int(seconds)
}
