package upstream

import (
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/internal/retryafter"
)

// firstBackoff is the longest first pause; each further one may be twice as long. The actual pause
// is random between 0 and that ("full jitter"), so that callers that failed together do not come
// back together.
const firstBackoff = 500 * time.Millisecond

// The retry budget of a host, by the numbers that the AWS SDKs gave their standard retry mode: when
// every call fails, a host gets a hundred retries, and then one for every five calls that succeed.
const (
	budgetTokens = 500
	costRetry    = 5
	costTimeout  = 10
	refillFirst  = 1 // for a request without a retry; a successful retry refills its own cost
)

// A budget limits retries in proportion to success. It is safe for concurrent use.
type budget struct {
	mu     sync.Mutex
	tokens int
}

// take takes tokens. It reports false if there are too few.
func (b *budget) take(cost int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < cost {
		return false
	}
	b.tokens -= cost
	return true
}

func (b *budget) refill(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+n, budgetTokens)
}

// pause returns the wait before another attempt and its cost for the budget. It returns 0 if there
// must be none.
func (t *transport) pause(req *http.Request, at *origin, number int, o outcome) (wait time.Duration, cost int) {
	if number >= t.attempts || !o.transient() || !repeatable(req, o.sent) || at.breaker.isOpen() {
		return 0, 0
	}
	wait = 1 + rand.N(min(firstBackoff<<(number-1), t.maxBackoff))
	if o.res != nil {
		floor := retryafter.Parse(o.res.Header)
		if floor > t.maxBackoff {
			return 0, 0
		}
		wait += floor
	}
	if deadline, ok := req.Context().Deadline(); ok && time.Until(deadline) <= wait {
		return 0, 0 // the caller learns more from this outcome than from a deadline that passes in a pause
	}
	cost = costRetry
	if e, ok := errors.AsType[net.Error](o.err); ok && e.Timeout() {
		cost = costTimeout
	}
	if req.Context().Err() != nil || !at.budget.take(cost) {
		return 0, 0
	}
	return wait, cost
}

// answered reports if the host works, even if it refused the request.
func (o outcome) answered() bool {
	return o.err == nil && o.res.StatusCode < 500 && o.res.StatusCode != http.StatusTooManyRequests
}

// transient reports if another attempt may succeed.
func (o outcome) transient() bool {
	if o.err == nil {
		switch o.res.StatusCode {
		case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
			http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](o.err); ok {
		return false
	}
	if e, ok := errors.AsType[*net.DNSError](o.err); ok && e.IsNotFound {
		return false
	}
	return o.tried && !isEgress(o.err)
}

// repeatable reports if req may be sent once more.
func repeatable(req *http.Request, sent bool) bool {
	if hasBody(req) && req.GetBody == nil {
		return false
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return !sent || req.Header.Get("Idempotency-Key") != ""
}
