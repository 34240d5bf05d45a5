package caio

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Service is an entry of CAIO's registry.
type Service struct {
	ID           string         `json:"service_id"`
	Name         string         `json:"service_name"`
	Version      string         `json:"version"`
	Capabilities []string       `json:"capabilities"` // types, whichever form CAIO gave them in
	Guarantees   map[string]any `json:"guarantees"`   // as CAIO states them, by name
	Status       string         `json:"status"`       // "active" for a service that may be routed to

	// Contract is the service's contract if CAIO gave it (it does, if at all, for one service, not in lists) and it is
	// one that this package can read; else nil.
	Contract *contract.Contract `json:"contract,omitempty"`
}

// UnmarshalJSON implements [json.Unmarshaler]. It reads all forms that CAIO documents.
func (s *Service) UnmarshalJSON(data []byte) error {
	type plain Service // without this method
	answer := struct {
		*plain
		Capabilities []wire.Capability `json:"capabilities"`
		Contract     json.RawMessage   `json:"contract"`
	}{plain: (*plain)(s)}
	if err := json.Unmarshal(data, &answer); err != nil {
		return err
	}
	s.Capabilities = wire.Names(answer.Capabilities)
	s.Contract = nil
	if len(answer.Contract) > 0 && answer.Contract[0] == '{' {
		s.Contract, _ = contract.Parse("contract of "+wire.Clip(s.ID, 100), answer.Contract)
	}
	return nil
}

// A Query narrows a list of services. The zero value asks for all.
type Query struct {
	Capability string // type that the service must have; "" for any
	Status     string // for example "active"; "" for any

	Guarantees  map[string]contract.Bound // that it must promise, as in [Request]
	Constraints map[string]any            // that it must meet, as in [Request]
}

// Services lists the registered services that q asks for, in CAIO's order.
func (c *Client) Services(ctx context.Context, q Query) ([]Service, error) {
	if len(q.Guarantees)+len(q.Constraints) > 0 {
		return c.discover(ctx, q)
	}
	query := url.Values{}
	if q.Capability != "" {
		query.Set("capability", q.Capability)
	}
	if q.Status != "" {
		query.Set("status", q.Status)
	}
	return c.list(ctx, call{op: opServices, method: http.MethodGet, path: "/api/v1/services", query: query})
}

// discover asks the other way that CAIO has, which takes bounds, but no status.
func (c *Client) discover(ctx context.Context, q Query) ([]Service, error) {
	step := Step{Capabilities: []string{}, Guarantees: q.Guarantees, Constraints: q.Constraints}
	if q.Capability != "" {
		step.Capabilities = []string{q.Capability}
	}
	services, err := c.list(ctx, call{op: opServices, method: http.MethodPost, path: "/api/v1/integration/discover-services", body: step.body()})
	if q.Status != "" {
		services = slices.DeleteFunc(services, func(s Service) bool { return s.Status != q.Status })
	}
	return services, err
}

func (c *Client) list(ctx context.Context, r call) ([]Service, error) {
	var answer struct {
		Services *[]Service `json:"services"`
	}
	if err := c.do(ctx, r, &answer); err != nil {
		return nil, err
	}
	if answer.Services == nil {
		return nil, c.unexpected(r.op, `the answer has no "services"`)
	}
	return *answer.Services, nil
}
