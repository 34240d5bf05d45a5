package caio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

// CAIO documents several paths for registering, and two for reading one service.
const (
	registerServices    = "/api/v1/services"
	registerPublished   = "/api/v1/register-service"
	registerIntegration = "/api/v1/integration/register-service"

	readServices  = "/api/v1/services/"
	readPublished = "/api/services/"
)

const idRunes = "abcdefghijklmnopqrstuvwxyz0123456789-_" // of which service ids are made

// paths remembers what was found out about CAIO's paths. It is safe for concurrent use: one caller looks, the others wait.
type paths struct {
	chosen string        // path for registering that the options name, "" to find out
	turn   chan struct{} // held by the caller who looks

	mu       sync.Mutex
	register string // path for registering, "" if not known
	looks    int    // how often somebody has looked
	fault    error  // of the last look
	read     string // path before a service's id that has answered with one, "" if not known
}

// newPaths refuses names other than those of [Options].Paths.
func newPaths(name string) (*paths, error) {
	p := &paths{turn: make(chan struct{}, 1)}
	switch name {
	case "":
	case "services":
		p.chosen = registerServices
	case "published":
		p.chosen = registerPublished
	case "integration":
		p.chosen = registerIntegration
	default:
		return nil, fmt.Errorf("option Paths is %q, not services, published or integration", name)
	}
	return p, nil
}

// toRegister returns the path for registering. If it is not known, look finds it out: once, however many callers ask, who
// share its fault, too, but not that somebody else did not wait for it.
func (p *paths) toRegister(ctx context.Context, look func(context.Context) (string, error)) (string, error) {
	if p.chosen != "" {
		return p.chosen, nil
	}
	p.mu.Lock()
	known, looks := p.register, p.looks
	p.mu.Unlock()
	if known != "" {
		return known, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	p.mu.Lock()
	known, fault := p.register, p.fault
	missed := p.looks != looks
	p.mu.Unlock()
	switch {
	case known != "":
		return known, nil
	case missed && fault != nil:
		return "", fault
	}
	found, err := look(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.register = found; ctx.Err() == nil {
		p.looks, p.fault = p.looks+1, err
	}
	return found, err
}

// forget makes the next caller look again, if path is still what is known.
func (p *paths) forget(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.register == path {
		p.register = ""
	}
}

// toRead returns the paths to try for reading a service, the known one first.
func (p *paths) toRead() []string {
	list := []string{readServices, readPublished}
	if p.chosen != "" && p.chosen != registerServices {
		slices.Reverse(list)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.read == list[1] {
		slices.Reverse(list)
	}
	return list
}

// hasRead remembers where a service was read. If that was elsewhere before, the server has changed.
func (p *paths) hasRead(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.read != "" && p.read != path {
		p.register = ""
	}
	p.read = path
}

// registerPath returns the path for registering. A GET tells which there is, and does nothing: where that path is
// published, only its method is wrong.
func (c *Client) registerPath(ctx context.Context) (string, error) {
	return c.paths.toRegister(ctx, func(ctx context.Context) (string, error) {
		err := c.do(ctx, call{op: opPaths, method: http.MethodGet, path: registerPublished}, nil)
		var refusal *Error
		switch {
		case err == nil: // a server that has a page for everything
			return registerServices, nil
		case !errors.As(err, &refusal):
			return "", err
		}
		switch refusal.Status {
		case http.StatusNotFound, http.StatusGone, http.StatusNotImplemented:
			return registerServices, nil
		case http.StatusMethodNotAllowed, http.StatusBadRequest, http.StatusLengthRequired, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
			return registerPublished, nil
		}
		return "", err
	})
}

// Service reads one service. It answers [ErrNotFound] if CAIO does not have it. CAIO documents two paths for it, one of them
// in an older reference only: what the one does not know is looked for at the other and, if that is not conclusive either,
// in the list of services.
func (c *Client) Service(ctx context.Context, serviceID string) (*Service, error) {
	var first error
	for _, path := range c.paths.toRead() {
		service, err := c.read(ctx, path, serviceID)
		switch {
		case err == nil:
			c.paths.hasRead(path)
			return service, nil
		case !isNotOffered(err) || knows(err, serviceID):
			return nil, err
		case first == nil:
			first = err
		}
	}
	services, err := c.Services(ctx, Query{})
	if err != nil && !isNotOffered(err) {
		return nil, err
	}
	if i := slices.IndexFunc(services, func(s Service) bool { return s.ID == serviceID && s.ID != "" }); i >= 0 {
		return &services[i], nil
	}
	return nil, asMissing(first)
}

func (c *Client) read(ctx context.Context, path, serviceID string) (*Service, error) {
	service := new(Service)
	if err := c.do(ctx, call{op: opService, method: http.MethodGet, path: path + url.PathEscape(serviceID)}, service); err != nil {
		return nil, err
	}
	if service.ID != serviceID || serviceID == "" {
		return nil, c.unexpected(opService, "the answer is not about service "+wire.Clip(serviceID, 100))
	}
	return service, nil
}

// isNotOffered reports whether CAIO may not have the path at all.
func isNotOffered(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) &&
		(refusal.Status == http.StatusNotFound || refusal.Status == http.StatusMethodNotAllowed || refusal.Status == http.StatusNotImplemented)
}

// knows reports whether the refusal is about the service: then the path is there.
func knows(err error, serviceID string) bool {
	var refusal *Error
	if !errors.As(err, &refusal) {
		return false
	}
	words := strings.FieldsFunc(refusal.Message, func(r rune) bool { return !strings.ContainsRune(idRunes, r) })
	return refusal.Code == wire.ServiceNotFound || slices.Contains(words, serviceID)
}

// asMissing is the refusal as one that says that the service is not there.
func asMissing(err error) error {
	var refusal *Error
	if !errors.As(err, &refusal) || errors.Is(err, ErrNotFound) {
		return err
	}
	missing := *refusal
	missing.Code = wire.ServiceNotFound
	return &missing
}
