package caio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Registration confirms that a service is registered.
type Registration struct {
	ServiceID string `json:"service_id"`
	Status    string `json:"status"` // "registered"
	Message   string `json:"message"`

	TTLSeconds    int `json:"ttl_seconds,omitempty"`     // after which it ends unless it is renewed; 0 for never
	MaxTTLSeconds int `json:"max_ttl_seconds,omitempty"` // the longest that may be asked for; 0 if CAIO grants no leases
}

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

// Register registers the service that ct describes. It succeeds if that very contract is registered already. Errors:
// [ErrInvalidContract], with the faults in [Error].Details; [ErrAlreadyRegistered] if another contract holds the id, which
// must then be unregistered first; [ErrUnauthorized].
func (c *Client) Register(ctx context.Context, ct *contract.Contract) (*Registration, error) {
	return c.register(ctx, ct, map[string]any{"contract": ct})
}

// RegisterYAML registers the service that text, a contract in YAML, describes by sending the text as it is, comments and
// all. It succeeds and fails like [Client.Register].
func (c *Client) RegisterYAML(ctx context.Context, text []byte) (*Registration, error) {
	ct, err := contract.Parse("contract", text)
	if err != nil {
		return nil, fmt.Errorf("caio: %s: %w: %w", opRegister, ErrInvalidContract, err)
	}
	return c.register(ctx, ct, document{"application/yaml", text})
}

// Lease registers ct like [Client.Register], but only for ttl, in whole seconds: the registration ends by itself unless it
// is renewed by registering again before. CAIO does not document leases; package registry grants them. See
// [Registration].TTLSeconds for what was granted.
func (c *Client) Lease(ctx context.Context, ct *contract.Contract, ttl time.Duration) (*Registration, error) {
	return c.register(ctx, ct, map[string]any{"contract": ct, "ttl_seconds": int(ttl / time.Second)})
}

// register registers ct, of which body is one of the forms that CAIO reads.
func (c *Client) register(ctx context.Context, ct *contract.Contract, body any) (*Registration, error) {
	path, err := c.registerPath(ctx)
	if err != nil {
		return nil, err
	}
	registration, err := c.submit(ctx, ct, call{op: opRegister, method: http.MethodPost, path: path, body: body})
	if isNotOffered(err) { // it was there, or seemed to be; this registration is not sent again
		c.paths.forget(path)
	}
	return registration, err
}

// submit sends ct as r has it.
func (c *Client) submit(ctx context.Context, ct *contract.Contract, r call) (*Registration, error) {
	registration := new(Registration)
	err := c.do(ctx, r, registration)
	if errors.Is(err, ErrAlreadyRegistered) && c.holds(ctx, ct) {
		return &Registration{ServiceID: ct.ID, Status: "registered", Message: "Service " + ct.ID + " is registered already"}, nil
	}
	if err != nil {
		return nil, err
	}
	if registration.ServiceID != ct.ID {
		return nil, c.unexpected(r.op, fmt.Sprintf("the answer does not confirm service %q", ct.ID))
	}
	return registration, nil
}

// holds reports whether CAIO shows this very contract under its id: then a 409 is the echo of an earlier attempt whose
// answer was lost, or of an earlier run.
func (c *Client) holds(ctx context.Context, ct *contract.Contract) bool {
	service, err := c.Service(ctx, ct.ID)
	return err == nil && service.Contract != nil && service.Contract.Equal(ct)
}

// Unregister removes a service. It answers [ErrNotFound] if CAIO does not have it; that may be the work of an earlier
// attempt of the same call, whose answer was lost.
func (c *Client) Unregister(ctx context.Context, serviceID string) error {
	path := "/api/v1/services/" + url.PathEscape(serviceID)
	return c.do(ctx, call{op: opUnregister, method: http.MethodDelete, path: path}, nil)
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
