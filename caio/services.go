package caio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
}

// Register registers the service that ct describes. It succeeds if that very contract is registered already. Errors:
// [ErrInvalidContract], with the faults in [Error].Details; [ErrAlreadyRegistered] if another contract holds the id, which
// must then be unregistered first; [ErrUnauthorized].
func (c *Client) Register(ctx context.Context, ct *contract.Contract) (*Registration, error) {
	path := "/api/v1/services"
	if c.dialect == PublishedDialect {
		path = "/api/v1/register-service"
	}
	return c.submit(ctx, ct, call{op: opRegister, method: http.MethodPost, path: path, body: map[string]any{"contract": ct}})
}

// Lease registers ct like [Client.Register], but only for ttl, in whole seconds: the registration ends by itself unless it
// is renewed by registering again before. CAIO does not document leases; package registry grants them. See
// [Registration].TTLSeconds for what was granted.
func (c *Client) Lease(ctx context.Context, ct *contract.Contract, ttl time.Duration) (*Registration, error) {
	path := "/api/v1/services"
	if c.dialect == PublishedDialect {
		path = "/api/v1/register-service"
	}
	body := map[string]any{"contract": ct, "ttl_seconds": int(ttl / time.Second)}
	return c.submit(ctx, ct, call{op: opRegister, method: http.MethodPost, path: path, body: body})
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
	query := url.Values{}
	if q.Capability != "" {
		query.Set("capability", q.Capability)
	}
	if q.Status != "" {
		query.Set("status", q.Status)
	}
	var answer struct {
		Services *[]Service `json:"services"`
	}
	if err := c.do(ctx, call{op: opServices, method: http.MethodGet, path: "/api/v1/services", query: query}, &answer); err != nil {
		return nil, err
	}
	if answer.Services == nil {
		return nil, c.unexpected(opServices, `the answer has no "services"`)
	}
	return *answer.Services, nil
}

// Service reads one service. It answers [ErrNotFound] if CAIO does not have it.
func (c *Client) Service(ctx context.Context, serviceID string) (*Service, error) {
	path := "/api/v1/services/"
	if c.dialect == PublishedDialect {
		path = "/api/services/"
	}
	service := new(Service)
	if err := c.do(ctx, call{op: opService, method: http.MethodGet, path: path + url.PathEscape(serviceID)}, service); err != nil {
		return nil, err
	}
	if service.ID != serviceID || serviceID == "" {
		return nil, c.unexpected(opService, fmt.Sprintf("the answer is not about service %q", serviceID))
	}
	return service, nil
}
