package caio

import (
	"context"
	"net/http"
)

// Health is CAIO's report on its own health.
type Health struct {
	Status        string         `json:"status"` // "healthy"
	Version       string         `json:"version"`
	UptimeSeconds float64        `json:"uptime_seconds"`
	Components    map[string]any `json:"components"` // state by name, usually "ok"
}

// Health reads CAIO's health. It fails like every method of [Client], and if the status is missing.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	health := new(Health)
	if err := c.do(ctx, call{op: opHealth, method: http.MethodGet, path: "/health"}, health); err != nil {
		return nil, err
	}
	if health.Status == "" {
		return nil, c.unexpected(opHealth, `the answer has no "status"`)
	}
	return health, nil
}

// Metrics reads CAIO's metrics as text, usually in the format of Prometheus. It fails like every
// method of [Client].
func (c *Client) Metrics(ctx context.Context) (string, error) {
	var text string
	err := c.do(ctx, call{op: opMetrics, method: http.MethodGet, path: "/metrics"}, &text)
	return text, err
}
