// Package mux routes requests and lists its routes.
package mux

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// A Mux is an [http.ServeMux] that can list its routes. Requests are served concurrently with each
// other, not with Handle.
type Mux struct {
	mux    http.ServeMux
	routes []string
}

// Handle registers h for a method and a path. An empty method means all methods. A pattern that is
// malformed, or conflicts with another, is an error.
func (m *Mux) Handle(method, path string, h http.HandlerFunc) (err error) {
	defer func() {
		if p := recover(); p != nil { // of ServeMux
			err = fmt.Errorf("%v", p)
		}
	}()
	pattern := strings.TrimSpace(method + " " + path)
	m.mux.HandleFunc(pattern, h)
	m.routes = append(m.routes, pattern)
	return nil
}

// HandleRest registers h for all other requests. Call it first.
func (m *Mux) HandleRest(h http.HandlerFunc) { m.mux.HandleFunc("/", h) }

// ServeHTTP implements [http.Handler].
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }

// Routes returns all patterns in order.
func (m *Mux) Routes() []string { return slices.Sorted(slices.Values(m.routes)) }

// Methods returns the methods of the request's path.
func (m *Mux) Methods(r *http.Request) (allowed []string) {
	if !IsCanonical(r) {
		return nil
	}
	for _, method := range []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := m.mux.Handler(probe); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// IsCanonical reports if the request's path is in the one form that routes have.
func IsCanonical(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/") && r.URL.Path == path.Clean(r.URL.Path)
}
