// Package schemas bounds how many costly checks against schemas run at the same time.
package schemas

import (
	"context"
	"errors"
	"runtime"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/telemetry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Checker checks bodies and results against schemas. A check that reads the bytes more than once
// may take 150 ms and 16 MiB, so at most GOMAXPROCS of these run at the same time. It is safe for
// concurrent use.
type Checker struct {
	slots     chan struct{}
	telemetry *telemetry.Recorder
}

// NewChecker returns a Checker.
func NewChecker(t *telemetry.Recorder) *Checker {
	return &Checker{slots: make(chan struct{}, runtime.GOMAXPROCS(0)), telemetry: t}
}

// Request checks a request's body. The error is that of [contract.Schema.ValidateRequest], or that
// of ctx if ctx ends first. A nil schema allows every value.
func (c *Checker) Request(ctx context.Context, route string, schema *contract.Schema, body []byte) error {
	if schema == nil || schema.CheapValid(body) {
		return nil
	}
	return c.costly(ctx, route, func() error { return schema.ValidateRequest(body) })
}

// Result checks a result. The error is that of [contract.Schema.Validate], or that of ctx if ctx
// ends first. A nil schema allows every value.
func (c *Checker) Result(ctx context.Context, route string, schema *contract.Schema, body []byte) error {
	if schema == nil || schema.CheapValid(body) {
		return nil
	}
	return c.costly(ctx, route, func() error { return schema.Validate(body) })
}

func (c *Checker) costly(ctx context.Context, route string, check func() error) error {
	outcome := ""
	ended := c.telemetry.SchemaCheck(ctx, route)
	defer func() { ended(outcome) }()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := check()
	outcome = outcomeOf(err)
	return err
}

func outcomeOf(err error) string {
	if err == nil {
		return "valid"
	}
	if _, ok := errors.AsType[*contract.CostError](err); ok {
		return "unchecked"
	}
	return "refused"
}
