package bridge

import (
	"fmt"
	"net/http"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/header"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/openapi"
)

// routeDescription serves the contract and the OpenAPI document to callers. Both are encoded once.
func (b *Bridge) routeDescription(s *service, operations []operation) error {
	c, err := b.advertised(s.contract)
	if err != nil {
		return err
	}
	asJSON, err := c.MarshalJSON()
	if err != nil {
		return fmt.Errorf("bridge: describe the contract: %w", err)
	}
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("bridge: describe the contract: %w", err)
	}
	openAPI, err := openapi.Document(s.contract, endpointsOf(operations), openapi.Options{
		Secured:         s.access.verify != nil,
		Jobs:            !b.opts.Jobs.off(),
		MaxSchemaValues: b.opts.MaxSchemaValues,
	})
	if err != nil {
		return fmt.Errorf("bridge: describe the API: %w", err)
	}
	inJSON, inYAML := newDocument("application/json", asJSON), newDocument("application/yaml", asYAML)
	s.describe("/contract", func(r *http.Request) document {
		if prefersYAML(r) {
			return inYAML
		}
		return inJSON
	})
	description := newDocument("application/json", openAPI)
	s.describe("/openapi.json", func(*http.Request) document { return description })
	return nil
}

func endpointsOf(operations []operation) []openapi.Endpoint {
	var endpoints []openapi.Endpoint
	for _, op := range operations {
		endpoints = append(endpoints, openapi.Endpoint{
			Endpoint:     op.endpoint,
			Capabilities: op.serves,
			Streams:      op.streams,
			HasBody:      hasBody(op.endpoint.Method),
			Parameters:   op.parameters.Describe(),
		})
	}
	return endpoints
}

// prefersYAML reports if the caller accepts YAML (RFC 9512) by name and JSON with no greater weight.
func prefersYAML(r *http.Request) bool {
	var json, yaml float64
	for mediaType, q := range header.MediaRanges(r.Header) {
		switch mediaType {
		case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml":
			yaml = max(yaml, q)
		case "application/json":
			json = max(json, q)
		}
	}
	return yaml > 0 && yaml >= json
}

// A document does not change until the next reload. Its ETag saves callers a second download.
type document struct {
	mediaType string
	body      []byte
	tag       string // ETag, RFC 9110 section 8.8.3
}

func newDocument(mediaType string, body []byte) document {
	return document{mediaType, body, `"` + digest([]byte(mediaType), body) + `"`}
}

func (s *service) describe(path string, choose func(*http.Request) document) {
	s.handle(http.MethodGet, path, func(x *exchange) {
		if err := s.access.authenticate(x); err != nil {
			x.fail(err)
			return
		}
		d := choose(x.r)
		x.armWriteDeadline()
		h := x.w.Header()
		h.Set("ETag", d.tag)
		h.Set("Cache-Control", "private, no-cache") // revalidate each time
		h.Add("Vary", "Accept")
		if known := x.r.Header.Get("If-None-Match"); known == "*" || strings.Contains(known, d.tag) {
			x.w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", d.mediaType)
		_, _ = x.w.Write(d.body) // it fails only if the caller has left
	})
}
