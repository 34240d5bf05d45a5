package bridge

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// A schemaChecker checks bodies and results against schemas. A check that needs more than one reading of the bytes may
// take 150 ms and 16 MiB, so at most GOMAXPROCS of these run at the same time.
type schemaChecker struct {
	slots     chan struct{}
	telemetry *telemetry
}

func newSchemaChecker(t *telemetry) *schemaChecker {
	return &schemaChecker{slots: make(chan struct{}, runtime.GOMAXPROCS(0)), telemetry: t}
}

// request checks a request's body. The error is that of [contract.Schema.ValidateRequest], or the context's if ctx ends
// first.
func (c *schemaChecker) request(ctx context.Context, route string, schema *contract.Schema, body []byte) error {
	if schema == nil || schema.CheapValid(body) {
		return nil
	}
	return c.costly(ctx, route, func() error { return schema.ValidateRequest(body) })
}

// result checks a result. The error is that of [contract.Schema.Validate], or the context's if ctx ends first.
func (c *schemaChecker) result(ctx context.Context, route string, schema *contract.Schema, body []byte) error {
	if schema == nil || schema.CheapValid(body) {
		return nil
	}
	return c.costly(ctx, route, func() error { return schema.Validate(body) })
}

func (c *schemaChecker) costly(ctx context.Context, route string, check func() error) error {
	start := time.Now()
	c.telemetry.schemaChecks.Add(ctx, 1)
	defer c.telemetry.schemaChecks.Add(context.WithoutCancel(ctx), -1)
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := check()
	c.telemetry.schemaChecked(ctx, route, outcomeOfCheck(err), time.Since(start))
	return err
}

func outcomeOfCheck(err error) string {
	if err == nil {
		return "valid"
	}
	if _, ok := errors.AsType[*contract.CostError](err); ok {
		return "unchecked"
	}
	return "refused"
}

// withMaxValues returns the schema with the limit of the options, nil for nil.
func withMaxValues(schema *contract.Schema, opts *Options) *contract.Schema {
	if schema == nil {
		return nil
	}
	return schema.WithMaxValues(opts.MaxSchemaValues)
}
