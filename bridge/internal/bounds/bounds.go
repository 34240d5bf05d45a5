// Package bounds reads the bounds of one call from a contract.
package bounds

import (
	"cmp"
	"fmt"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/jsonvalue"
)

// Bounds bound one call of an operation.
type Bounds struct {
	Total       time.Duration // time of the whole call
	Deadline    *Deadline     // cause of a call that takes longer than Total
	FirstEvent  time.Duration // time to the first event or the answer of a stream; 0 means Total
	Idle        time.Duration // time between events of a stream, and from the last one to the answer
	MaxRequest  int64         // bytes of a decompressed body
	MaxResponse int64         // bytes of a result or an event

	RequestClause, ResponseClause string // clauses of MaxRequest and MaxResponse; "" if not of the contract
}

// A Deadline is the cause of the end of a call that took too long.
type Deadline struct {
	Clause string // clause of the contract, "" if a route, an option or the caller set the time
}

// Error implements error.
func (*Deadline) Error() string { return "the call took longer than its route allows" }

// maxOf lists each constraint that the bridge enforces as a bound, with its largest value. New of
// package bridge refuses other names. Loading a contract does not check these numbers.
var maxOf = map[string]int64{
	"timeout_ms":         24 * 60 * 60 * 1000,
	"max_request_bytes":  1 << 30,
	"max_response_bytes": 1 << 30,
}

// New returns the bounds of an operation. The contract has precedence over the defaults.
func New(c *contract.Contract, defaults Bounds) Bounds {
	value := func(name string) int64 {
		n, _ := integer(c.Constraints.Other[name])
		return n
	}
	clause := func(name string) string {
		if value(name) == 0 {
			return ""
		}
		return "constraints." + name
	}
	b := defaults
	b.Total = cmp.Or(time.Duration(value("timeout_ms"))*time.Millisecond, b.Total)
	b.Deadline = &Deadline{clause("timeout_ms")}
	b.MaxRequest = cmp.Or(value("max_request_bytes"), b.MaxRequest)
	b.MaxResponse = cmp.Or(value("max_response_bytes"), b.MaxResponse)
	b.RequestClause, b.ResponseClause = clause("max_request_bytes"), clause("max_response_bytes")
	return b
}

// WithTotal returns the bounds with another time, which is not the contract's.
func (b Bounds) WithTotal(d time.Duration) Bounds {
	b.Total, b.Deadline = d, &Deadline{}
	return b
}

// Check returns an error for a bound that could not be enforced as written. It reports false for
// another constraint.
func Check(name string, value any) (known bool, err error) {
	limit, known := maxOf[name]
	if n, ok := integer(value); known && (!ok || n < 1 || n > limit) {
		return true, fmt.Errorf("constraints.%s is %v: write an integer from 1 to %d", name, value, limit)
	}
	return known, nil
}

// integer returns a number of a contract as an integer.
func integer(value any) (int64, bool) {
	f, ok := jsonvalue.Float(value)
	return int64(f), ok && f == float64(int64(f))
}
