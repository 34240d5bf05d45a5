//go:build unix && !race

package bridge_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
)

// An answer of the wrapped service costs no more to refuse than to send, however large and wrong it is.
func TestCostOfWrongResults(t *testing.T) {
	wide := make([]int, 2_000_000)
	names := make(map[string]int, 200_000)
	for i := range 200_000 {
		names[fmt.Sprint("name", i)] = i
	}
	var enum strings.Builder
	for i := range 2_500 {
		fmt.Fprintf(&enum, `"choice %d",`, i)
	}
	for name, c := range map[string]struct {
		schema string
		result any
	}{
		"wrong items":      {`{"type":"object","properties":{"list":{"items":{"type":"string"}}}}`, map[string]any{"list": wide}},
		"enum":             {`{"properties":{"list":{"items":{"enum":[` + strings.TrimSuffix(enum.String(), ",") + `]}}}}`, map[string]any{"list": wide}},
		"contains":         {`{"properties":{"list":{"contains":{"const":1}}}}`, map[string]any{"list": wide}},
		"unknown members":  {`{"properties":{"list":{"additionalProperties":false}}}`, map[string]any{"list": names}},
		"unevaluated ones": {`{"properties":{"list":{"unevaluatedProperties":false}}}`, map[string]any{"list": names}},
	} {
		t.Run(name, func(t *testing.T) {
			handler := bridge.HandlerFunc[map[string]any, any](func(context.Context, map[string]any) (any, error) { return c.result, nil })
			b := newBridge(t, schemaContract(t, `{}`, c.schema), routes{echoRoute(handler)}, nil)
			const bytes = 4 << 20
			limit := costtest.Cost{CPU: 150*time.Millisecond + 100*bytes, Allocated: 16<<20 + 20*bytes}
			cost := costtest.AtMost(t, limit, func() {
				request := httptest.NewRequest(http.MethodPost, "http://localhost/shout", strings.NewReader(`{}`))
				request.Header.Set("Content-Type", "application/json")
				answer := httptest.NewRecorder()
				b.ServeHTTP(answer, request)
				if answer.Code != http.StatusBadGateway {
					t.Errorf("got status %d, want 502: %.300s", answer.Code, answer.Body)
				}
			})
			t.Logf("%v, %d KiB", cost.CPU, cost.Allocated>>10)
		})
	}
}
