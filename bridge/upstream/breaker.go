package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/metric"
)

const (
	maxOrigins = 256
	patience   = 10 * time.Second // less than that says nothing about a host that did not answer
)

// An OpenError says that a request was not sent because its host kept failing
// ([Options.BreakAfter]).
type OpenError struct {
	Host       string        // and port, as in the URL
	RetryAfter time.Duration // until the host is tried again, or, if that is happening now, once more
}

// Error implements the error interface.
func (e *OpenError) Error() string {
	rest := e.RetryAfter.Round(time.Millisecond)
	return fmt.Sprintf("upstream: %s keeps failing and is left alone for another %v", e.Host, rest)
}

// origins are the hosts that a client has called, with their breakers and budgets.
type origins struct {
	breakAfter int
	breakFor   time.Duration

	mu    sync.Mutex
	known map[originKey]*origin
}

type originKey struct{ scheme, host string }

type origin struct {
	breaker *breaker
	budget  budget
	server  metric.RecordOption // attributes of measurements
}

func newOrigins(breakAfter int, breakFor time.Duration) *origins {
	return &origins{breakAfter: breakAfter, breakFor: breakFor, known: make(map[originKey]*origin)}
}

// of returns the origin of u. When too many are known, any of them is forgotten.
func (os *origins) of(u *url.URL) *origin {
	var key originKey
	if u != nil {
		key = originKey{u.Scheme, strings.ToLower(u.Host)}
	}
	os.mu.Lock()
	defer os.mu.Unlock()
	if o, ok := os.known[key]; ok {
		return o
	}
	for old := range os.known {
		if len(os.known) < maxOrigins {
			break
		}
		delete(os.known, old)
	}
	o := &origin{
		breaker: newBreaker(key.host, os.breakAfter, os.breakFor),
		budget:  budget{tokens: budgetTokens},
		server:  serverOption(u),
	}
	os.known[key] = o
	return o
}

// A breaker is a circuit breaker that knows how long it stays open.
type breaker struct {
	host     string
	rest     time.Duration
	circuit  *gobreaker.TwoStepCircuitBreaker[struct{}]
	openTill atomic.Pointer[time.Time]
	answered atomic.Bool // a late attempt had a good answer since the host is tried again
}

// Verdicts of an attempt on its host. Nil means that the host works.
var (
	errFailed    = errors.New("the attempt failed")
	errUncounted = errors.New("the attempt says nothing about the host")
)

func newBreaker(host string, after int, rest time.Duration) *breaker {
	b := &breaker{host: host, rest: rest}
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     rest,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(after) },
		IsExcluded:  func(err error) bool { return err == errUncounted },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			b.answered.Store(false)
			if to == gobreaker.StateOpen {
				till := time.Now().Add(rest)
				b.openTill.Store(&till)
			}
		},
	})
	return b
}

// isDeadline reports if ctx ended by a deadline, or by a cancel with that cause.
func isDeadline(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// allow returns a function for the attempt's verdict, or an [*OpenError].
func (b *breaker) allow() (done func(verdict error), err error) {
	done, err = b.circuit.Allow()
	if err == nil {
		return b.bounded(done), nil
	}
	e := &OpenError{Host: b.host, RetryAfter: b.rest}
	if till := b.openTill.Load(); errors.Is(err, gobreaker.ErrOpenState) && till != nil {
		e.RetryAfter = max(time.Until(*till), time.Millisecond)
	}
	return nil, e
}

// bounded keeps a request that tries a host again from holding up all others for as long as its
// answer takes: after a rest another one may try. The first good answer counts, whenever it comes.
func (b *breaker) bounded(done func(error)) func(verdict error) {
	if b.circuit.State() != gobreaker.StateHalfOpen {
		return done
	}
	var once sync.Once
	judge := func(verdict error) (first bool) {
		once.Do(func() { first = true; done(verdict) })
		return first
	}
	late := time.AfterFunc(b.rest, func() {
		verdict := errUncounted
		if b.answered.Load() {
			verdict = nil
		}
		judge(verdict)
	})
	return func(verdict error) {
		late.Stop()
		if judge(verdict) || verdict != nil {
			return
		}
		if done, err := b.circuit.Allow(); err == nil {
			done(nil)
			return
		}
		b.answered.Store(true) // for the one that tries now
	}
}

func (b *breaker) isOpen() bool { return b.circuit.State() == gobreaker.StateOpen }

// verdict judges the host by the outcome. A 4xx is an answer, even 429. The wait for a connection
// is not the host's time.
func (o outcome) verdict(ctx context.Context) error {
	switch {
	case o.err == nil && o.res.StatusCode < 500:
		return nil
	case o.err == nil:
		return errFailed
	case !o.tried || isEgress(o.err):
		return errUncounted
	case isDeadline(ctx) && o.sent && o.lasted-o.queued >= patience:
		return errFailed
	case ctx.Err() != nil:
		return errUncounted
	}
	return errFailed
}
