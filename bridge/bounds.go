package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// bounds are what one call of a binding may take. The contract decides where it says something, then the route, then the
// options.
type bounds struct {
	total       time.Duration // of the whole call
	deadline    *deadline     // that total sets
	firstEvent  time.Duration // of a route that streams, until its first event or its answer; 0: like total
	idle        time.Duration // of a route that streams, between events, and from the last one to the answer
	maxRequest  int64         // bytes of a body, decompressed
	maxResponse int64         // bytes of a result or an event

	requestClause, responseClause string // of the contract, that set them; "" if the options did
}

// A deadline is why the context of a call ended that took too long.
type deadline struct {
	clause string // of the contract, that set it; "" if it was somebody else
}

func (*deadline) Error() string { return "the call took longer than its route allows" }

// contractBounds are members of a contract's constraints that [bounds] enforce, with the largest value of each.
var contractBounds = map[string]int64{
	"timeout_ms":         24 * 60 * 60 * 1000,
	"max_request_bytes":  1 << 30,
	"max_response_bytes": 1 << 30,
}

func newBounds(c *contract.Contract, r *Route, opts *Options) bounds {
	state := func(name string) int64 { n, _ := integer(c.Constraints.Other[name]); return n }
	clause := func(name string) string {
		if state(name) == 0 {
			return ""
		}
		return "constraints." + name
	}
	return bounds{
		total:       cmp.Or(time.Duration(state("timeout_ms"))*time.Millisecond, r.timeout),
		deadline:    &deadline{clause("timeout_ms")},
		firstEvent:  opts.FirstEventTimeout,
		idle:        opts.IdleTimeout,
		maxRequest:  cmp.Or(state("max_request_bytes"), opts.MaxBodyBytes),
		maxResponse: cmp.Or(state("max_response_bytes"), opts.MaxResponseBytes),

		requestClause:  clause("max_request_bytes"),
		responseClause: clause("max_response_bytes"),
	}
}

// checkBound refuses a bound that would not be kept as it is written.
func checkBound(name string, value any, faults *faults) {
	if n, ok := integer(value); !ok || n < 1 || n > contractBounds[name] {
		faults.addf("constraints.%s is %v: write an integer from 1 to %d", name, value, contractBounds[name])
	}
}

// integer reads a number as contracts hold them.
func integer(value any) (int64, bool) {
	switch n := value.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), n == float64(int64(n))
	}
	return 0, false
}

// sends reports whether the handler shall send events: a route that can do without does, if nobody listens.
func (bound *binding) sends(to answer) bool { return bound.streams && (!bound.once || to.listens()) }

// watch returns what a handler sends events with. It ends a call with errSilent when nothing is sent for too long, for then
// the wrapped service has stalled. While an event is on its way to the caller, who has Options.WriteTimeout, the clock stands.
func (bound *binding) watch(ctx context.Context, to answer, end context.CancelCauseFunc) (send func(any) error, stop func() bool) {
	allowed := cmp.Or(bound.firstEvent, math.MaxInt64)
	clock := time.AfterFunc(allowed, func() { end(fmt.Errorf("%w for %v", errSilent, allowed)) })
	return func(event any) error {
		if !clock.Stop() {
			return errors.New("the call has ended")
		}
		err := to.send(ctx, event)
		if errors.Is(err, errClientGone) {
			end(err) // nobody reads: the wrapped service need not go on
		}
		allowed = bound.idle
		clock.Reset(allowed)
		return err
	}, clock.Stop
}
