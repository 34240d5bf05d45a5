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
	// TTL asks for a lease: CAIO removes the service after TTL, unless the client registers it
	// again before. The client rounds up to whole seconds. Default: 0, no lease.
	//
	// CAIO does not document leases. Package registry grants 1 s to 24 h. [Registration].TTLSeconds
	// is the granted lease.
	TTL time.Duration
}

// A Registration is CAIO's answer to [Client.Register].
type Registration struct {
	ServiceID string `json:"service_id"`
	Status    string `json:"status"` // "registered"
	Message   string `json:"message"`

	TTLSeconds    int `json:"ttl_seconds,omitempty"`     // granted lease; 0 for none
	MaxTTLSeconds int `json:"max_ttl_seconds,omitempty"` // longest lease; 0 if CAIO grants none
}

// Register registers the service of ct. It succeeds if CAIO already has an equal contract.
//
// Errors:
//   - [ErrInvalidContract]: [Error].Details lists the problems.
//   - [ErrAlreadyRegistered]: another contract has the id. Unregister it first.
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
	case errors.Is(err, ErrAlreadyRegistered) && c.hasEqual(ctx, ct):
		message := "Service " + ct.ID + " is registered already"
		return &Registration{ServiceID: ct.ID, Status: "registered", Message: message}, nil
	case isNoSuchRoute(err): // the path has gone; a retry elsewhere could register twice
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

// hasEqual reports whether CAIO has a contract equal to ct. A 409 then comes from an earlier run,
// or from an earlier attempt with a lost answer.
func (c *Client) hasEqual(ctx context.Context, ct *contract.Contract) bool {
	service, err := c.Service(ctx, ct.ID)
	return err == nil && service.Contract != nil && service.Contract.Equal(ct)
}

// Unregister removes a service. The error is [ErrNotFound] if CAIO does not have it. After a retry
// that may mean that an earlier attempt, with a lost answer, removed it.
func (c *Client) Unregister(ctx context.Context, serviceID string) error {
	path := "/api/v1/services/" + url.PathEscape(serviceID)
	return c.do(ctx, call{op: opUnregister, method: http.MethodDelete, path: path}, nil)
}

// Validate asks CAIO to check ct. It returns CAIO's list of problems, nil for a valid contract.
// Problems are no error: that means that CAIO did not check ct.
func (c *Client) Validate(ctx context.Context, ct *contract.Contract) (problems []string, err error) {
	var answer struct {
		Valid  *bool `json:"is_valid"`
		Errors []any `json:"errors"`
	}
	path := "/api/v1/integration/validate-contract"
	r := call{op: opValidate, method: http.MethodPost, path: path, body: map[string]any{"contract": ct}}
	if err := c.do(ctx, r, &answer); err != nil {
		return nil, err
	}
	for _, problem := range answer.Errors {
		text, isText := problem.(string)
		if !isText {
			data, _ := json.Marshal(problem) // decoded JSON always encodes
			text = string(data)
		}
		problems = append(problems, wire.Clip(text, 1000))
	}
	switch {
	case answer.Valid == nil:
		return nil, c.unexpected(opValidate, `the answer has no "is_valid"`)
	case *answer.Valid:
		return nil, nil
	case len(problems) == 0:
		return []string{"the contract is invalid; CAIO gives no reason"}, nil
	}
	return problems, nil
}
