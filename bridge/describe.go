package bridge

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/header"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobs"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/openapi"
)

// documents returns the handlers of the contract and of the OpenAPI document. Both are encoded
// once.
func (b *Bridge) documents(s *service) (asContract, asOpenAPI func(*exchange) error, err error) {
	c, err := b.advertised(s.contract)
	if err != nil {
		return nil, nil, err
	}
	asJSON, err := c.MarshalJSON()
	if err != nil {
		return nil, nil, fmt.Errorf("bridge: describe the contract: %w", err)
	}
	asYAML, err := c.YAML()
	if err != nil {
		return nil, nil, fmt.Errorf("bridge: describe the contract: %w", err)
	}
	spec, err := openapi.Document(s.contract, endpointsOf(s.operations), openapi.Options{
		Secured:         s.access.verify != nil,
		Jobs:            !b.opts.Jobs.off(),
		MaxSchemaValues: b.opts.MaxSchemaValues,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("bridge: describe the API: %w", err)
	}
	inJSON, inYAML := newDocument("application/json", asJSON), newDocument("application/yaml", asYAML)
	asContract = func(x *exchange) error {
		if header.PrefersYAML(x.r.Header) {
			return inYAML.serve(x)
		}
		return inJSON.serve(x)
	}
	return asContract, newDocument("application/json", spec).serve, nil
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

// A document does not change until the next reload. Its ETag saves callers a second download.
type document struct {
	mediaType string
	body      []byte
	tag       string // ETag, RFC 9110 section 8.8.3
}

func newDocument(mediaType string, body []byte) document {
	return document{mediaType, body, `"` + jobs.Digest([]byte(mediaType), body) + `"`}
}

// serve sends the document to an authenticated caller.
func (d document) serve(x *exchange) error {
	if err := x.service.access.authenticate(x); err != nil {
		return err
	}
	x.armWriteDeadline()
	h := x.w.Header()
	h.Set("ETag", d.tag)
	h.Set("Cache-Control", "private, no-cache") // revalidate each time
	h.Add("Vary", "Accept")
	if known := x.r.Header.Get("If-None-Match"); known == "*" || strings.Contains(known, d.tag) {
		x.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", d.mediaType)
	_, _ = x.w.Write(d.body) // it fails only if the caller has left
	return nil
}
