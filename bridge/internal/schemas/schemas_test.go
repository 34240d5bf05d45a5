package schemas

import (
	"context"
	"errors"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/telemetry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A caller who leaves while costly checks of others run does not wait for them, and its own check is not made.
func TestSchemaCheckWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	c, err := contract.Parse("contract.yaml", []byte(`
service_id: x
name: X
version: 1.0.0
capabilities: [x]
api:
  protocol: http
  base_url: http://localhost:1
  endpoints:
    - {path: /x, method: POST, input_schema: {contains: {const: 1}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := telemetry.New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	checker := NewChecker(recorder)
	for range cap(checker.slots) {
		checker.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	schema := c.API.Endpoints[0].InputSchema
	if err := checker.Request(ctx, "/x", schema, []byte(`[1]`)); !errors.Is(err, context.Canceled) {
		t.Errorf("Request = %v, want context.Canceled", err)
	}
	<-checker.slots
	if err := checker.Result(t.Context(), "/x", schema, []byte(`[1]`)); err != nil {
		t.Errorf("Result = %v after a slot is free, want nil", err)
	}
}
