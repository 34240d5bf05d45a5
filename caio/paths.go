package caio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// CAIO documents several paths for registering, and two for reading one service.
const (
	registerServices    = "/api/v1/services"
	registerPublished   = "/api/v1/register-service"
	registerIntegration = "/api/v1/integration/register-service"

	readServices  = "/api/v1/services/"
	readPublished = "/api/services/"
)

// paths caches CAIO's paths. It is safe for concurrent use.
type paths struct {
	fixed string // registration path of Options.Paths; "" to probe

	mu       sync.Mutex
	register string     // cached registration path; "" if unknown
	read     string     // cached prefix for reading a service; "" if unknown
	probe    *pathProbe // probe in flight; nil for none
}

// A pathProbe is one search for the registration path. Its result is set before done is closed.
type pathProbe struct {
	done      chan struct{}
	abandoned bool // the context ended, or the probe panicked: there is no result
	path      string
	err       error
}

// newPaths returns the cache for a value of [Options].Paths.
func newPaths(name string) (*paths, error) {
	fixed, ok := map[string]string{
		"": "", "services": registerServices, "published": registerPublished, "integration": registerIntegration,
	}[name]
	if !ok {
		return nil, fmt.Errorf("option Paths is %q, not services, published or integration", name)
	}
	return &paths{fixed: fixed}, nil
}

// registerPath returns the cached path or probes for it. Concurrent callers share one probe and its
// error, except a context error.
func (p *paths) registerPath(ctx context.Context, find func(context.Context) (string, error)) (string, error) {
	if p.fixed != "" {
		return p.fixed, nil
	}
	for {
		p.mu.Lock()
		if known := p.register; known != "" {
			p.mu.Unlock()
			return known, nil
		}
		probe := p.probe
		if probe == nil {
			probe = &pathProbe{done: make(chan struct{}), abandoned: true}
			p.probe = probe
			p.mu.Unlock()
			return p.run(ctx, probe, find)
		}
		p.mu.Unlock()
		select {
		case <-probe.done:
			if !probe.abandoned {
				return probe.path, probe.err
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// run runs the probe and caches its path.
func (p *paths) run(ctx context.Context, probe *pathProbe, find func(context.Context) (string, error)) (string, error) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.register, p.probe = probe.path, nil
		close(probe.done)
	}()
	probe.path, probe.err = find(ctx)
	probe.abandoned = probe.err != nil && ctx.Err() != nil
	return probe.path, probe.err
}

// forget removes path from the cache. The next registration probes again.
func (p *paths) forget(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.register == path {
		p.register = ""
	}
}

// readPaths returns the prefixes for reading a service, the cached one first.
func (p *paths) readPaths() []string {
	list := []string{readServices, readPublished}
	if p.fixed != "" && p.fixed != registerServices {
		slices.Reverse(list)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.read == list[1] {
		slices.Reverse(list)
	}
	return list
}

// sawReadPath caches the prefix of a successful read. A changed prefix means another server, so it
// removes the registration path.
func (p *paths) sawReadPath(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.read != "" && p.read != path {
		p.register = ""
	}
	p.read = path
}

// registerPath returns the path for registering. It probes with a GET, because that changes
// nothing: at the published path only the method is wrong.
func (c *Client) registerPath(ctx context.Context) (string, error) {
	return c.paths.registerPath(ctx, func(ctx context.Context) (string, error) {
		err := c.do(ctx, call{op: opPaths, method: http.MethodGet, path: registerPublished}, nil)
		var refusal *Error
		switch {
		case err == nil: // a server with a page for every path
			return registerServices, nil
		case !errors.As(err, &refusal):
			return "", err
		}
		switch refusal.Status {
		case http.StatusNotFound, http.StatusGone, http.StatusNotImplemented:
			return registerServices, nil
		case http.StatusMethodNotAllowed, http.StatusBadRequest, http.StatusLengthRequired,
			http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
			return registerPublished, nil
		}
		return "", err
	})
}

// isNoSuchRoute reports whether CAIO may lack the path.
func isNoSuchRoute(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && (refusal.Status == http.StatusNotFound ||
		refusal.Status == http.StatusMethodNotAllowed || refusal.Status == http.StatusNotImplemented)
}
