package caio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// RegisterOptions configure one call of [Client.Register]. Nil means the defaults.
type RegisterOptions struct {
	// TTL asks for a lease: CAIO removes the service after TTL unless the client registers it again before.
	// A fraction of a second counts as a whole one. Default: 0, no lease.
	// CAIO does not document leases. Package registry grants 1 s to 24 h. See [Registration].TTLSeconds for the grant.
	TTL time.Duration
}

// A Registration confirms that a service is registered.
type Registration struct {
	ServiceID string `json:"service_id"`
	Status    string `json:"status"` // "registered"
	Message   string `json:"message"`

	TTLSeconds    int `json:"ttl_seconds,omitempty"`     // after which it ends unless it is renewed; 0 for never
	MaxTTLSeconds int `json:"max_ttl_seconds,omitempty"` // the longest that may be asked for; 0 if CAIO grants no leases
}

// Register registers the service of ct. It succeeds if CAIO already holds an equal contract.
//
// Errors:
//   - [ErrInvalidContract]: [Error].Details lists the problems.
//   - [ErrAlreadyRegistered]: another contract holds the id. Unregister it first.
//   - [ErrUnauthorized]: CAIO refuses the token.
func (c *Client) Register(ctx context.Context, ct *contract.Contract, opts *RegisterOptions) (*Registration, error) {
	path, err := c.registerPath(ctx)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"contract": ct}
	if opts != nil && opts.TTL != 0 {
		body["ttl_seconds"] = int(math.Ceil(opts.TTL.Seconds()))
	}
	registration := new(Registration)
	err = c.do(ctx, call{op: opRegister, method: http.MethodPost, path: path, body: body}, registration)
	switch {
	case errors.Is(err, ErrAlreadyRegistered) && c.holds(ctx, ct):
		return &Registration{ServiceID: ct.ID, Status: "registered", Message: "Service " + ct.ID + " is registered already"}, nil
	case isNotOffered(err): // it was there, or seemed to be; this registration is not sent again
		c.paths.forget(path)
	}
	if err != nil {
		return nil, err
	}
	if registration.ServiceID != ct.ID {
		return nil, c.unexpected(opRegister, fmt.Sprintf("the answer does not confirm service %q", ct.ID))
	}
	return registration, nil
}

// holds reports whether CAIO holds a contract that equals ct. A 409 then follows from an earlier attempt with a lost answer,
// or from an earlier run.
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

// Validate asks CAIO whether it would accept ct, and returns what it finds wrong: nothing if it would.
func (c *Client) Validate(ctx context.Context, ct *contract.Contract) (faults []string, err error) {
	var answer struct {
		Valid  *bool `json:"is_valid"`
		Errors []any `json:"errors"`
	}
	r := call{op: opValidate, method: http.MethodPost, path: "/api/v1/integration/validate-contract", body: map[string]any{"contract": ct}}
	if err := c.do(ctx, r, &answer); err != nil {
		return nil, err
	}
	for _, fault := range answer.Errors {
		text, isText := fault.(string)
		if !isText {
			data, _ := json.Marshal(fault) // it was JSON a moment ago
			text = string(data)
		}
		faults = append(faults, wire.Clip(text, 1000))
	}
	switch {
	case answer.Valid == nil:
		return nil, c.unexpected(opValidate, `the answer has no "is_valid"`)
	case *answer.Valid:
		return nil, nil
	case len(faults) == 0:
		return []string{"the contract is invalid; CAIO does not say why"}, nil
	}
	return faults, nil
}
