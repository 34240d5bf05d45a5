package caio

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const idRunes = "abcdefghijklmnopqrstuvwxyz0123456789-_" // characters of service ids

// A Service is an entry of CAIO's registry.
type Service struct {
	ID           string         `json:"service_id"`
	Name         string         `json:"service_name"`
	Version      string         `json:"version"`
	Capabilities []string       `json:"capabilities"` // types of the capabilities
	Guarantees   map[string]any `json:"guarantees"`   // CAIO's JSON, by name
	Status       string         `json:"status"`       // "active" for a service with routing

	// Contract is the service's contract, or nil if CAIO does not send it or package contract
	// refuses it. CAIO sends it for one service at most, not in lists.
	Contract *contract.Contract `json:"contract,omitempty"`
}

// UnmarshalJSON implements [json.Unmarshaler]. It reads all forms of CAIO's documents.
func (s *Service) UnmarshalJSON(data []byte) error {
	type plain Service // drops this method
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

// A Filter selects services for a list. The zero value selects all.
type Filter struct {
	Capability string // required type; "" for any
	Status     string // required status, for example "active"; "" for any

	Guarantees  map[string]contract.Bound // required bounds, as in [Request]
	Constraints map[string]any            // required constraints, as in [Request]
}

// Services lists the services that match f, in CAIO's order. No match is no error.
func (c *Client) Services(ctx context.Context, f Filter) ([]Service, error) {
	if len(f.Guarantees)+len(f.Constraints) > 0 {
		return c.discover(ctx, f)
	}
	query := url.Values{}
	if f.Capability != "" {
		query.Set("capability", f.Capability)
	}
	if f.Status != "" {
		query.Set("status", f.Status)
	}
	return c.list(ctx, call{op: opServices, method: http.MethodGet, path: "/api/v1/services", query: query})
}

// discover lists services by CAIO's path for bounds. That has no filter for the status.
func (c *Client) discover(ctx context.Context, f Filter) ([]Service, error) {
	step := Step{Capabilities: []string{}, Guarantees: f.Guarantees, Constraints: f.Constraints}
	if f.Capability != "" {
		step.Capabilities = []string{f.Capability}
	}
	path := "/api/v1/integration/discover-services"
	services, err := c.list(ctx, call{op: opServices, method: http.MethodPost, path: path, body: step.body()})
	if f.Status != "" {
		services = slices.DeleteFunc(services, func(s Service) bool { return s.Status != f.Status })
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

// Service reads one service. The error is [ErrNotFound] if CAIO does not have it.
//
// CAIO documents two paths, one of them in an older reference only. Service tries one after the
// other, then the list of services.
func (c *Client) Service(ctx context.Context, serviceID string) (*Service, error) {
	var first error
	for _, path := range c.paths.readPaths() {
		service, err := c.readService(ctx, path, serviceID)
		switch {
		case err == nil:
			c.paths.sawReadPath(path)
			return service, nil
		case !isNoSuchRoute(err) || mentionsService(err, serviceID):
			return nil, err
		case first == nil:
			first = err
		}
	}
	services, err := c.Services(ctx, Filter{})
	if err != nil && !isNoSuchRoute(err) {
		return nil, err
	}
	if i := slices.IndexFunc(services, func(s Service) bool { return s.ID == serviceID && s.ID != "" }); i >= 0 {
		return &services[i], nil
	}
	return nil, asNotFound(first)
}

func (c *Client) readService(ctx context.Context, path, serviceID string) (*Service, error) {
	service := new(Service)
	r := call{op: opService, method: http.MethodGet, path: path + url.PathEscape(serviceID)}
	if err := c.do(ctx, r, service); err != nil {
		return nil, err
	}
	if service.ID != serviceID || serviceID == "" {
		return nil, c.unexpected(opService, "the answer is not about service "+wire.Clip(serviceID, 100))
	}
	return service, nil
}

// mentionsService reports whether the refusal is about the service, and not about the path.
func mentionsService(err error, serviceID string) bool {
	var refusal *Error
	if !errors.As(err, &refusal) {
		return false
	}
	words := strings.FieldsFunc(refusal.Message, func(r rune) bool { return !strings.ContainsRune(idRunes, r) })
	return refusal.Code == wire.ServiceNotFound || slices.Contains(words, serviceID)
}

// asNotFound returns the refusal with the kind [ErrNotFound].
func asNotFound(err error) error {
	var refusal *Error
	if !errors.As(err, &refusal) || errors.Is(err, ErrNotFound) {
		return err
	}
	missing := *refusal
	missing.Code = wire.ServiceNotFound
	return &missing
}
