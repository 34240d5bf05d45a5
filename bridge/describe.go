package bridge

import (
	"fmt"
	"net/http"
	"strings"
)

// routeDescription serves the documents about the bridge, which are made once. Who may not call may not read them either.
func (b *Bridge) routeDescription(s *service, bindings []binding) error {
	c, err := b.shown(s.contract)
	if err != nil {
		return err
	}
	asJSON, err := c.MarshalJSON()
	if err != nil {
		return fmt.Errorf("bridge: describe the contract: %w", err)
	}
	asYAML, err := c.YAML()
	if err != nil {
		return fmt.Errorf("bridge: describe the contract: %w", err)
	}
	openAPI, err := newOpenAPI(s.contract, bindings, s.guard.authenticate != nil, b.opts.MaxSchemaValues)
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

// prefersYAML reports whether a caller names YAML (RFC 9512), and JSON not before it.
func prefersYAML(r *http.Request) bool {
	var json, yaml float64
	for mediaType, q := range mediaRanges(strings.Join(r.Header.Values("Accept"), ",")) {
		switch mediaType {
		case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml":
			yaml = max(yaml, q)
		case "application/json":
			json = max(json, q)
		}
	}
	return yaml > 0 && yaml >= json
}

// A document is the same until the next reload, so that a caller who has it need not get it again.
type document struct {
	mediaType string
	body      []byte
	tag       string // RFC 9110 section 8.8.3
}

func newDocument(mediaType string, body []byte) document {
	return document{mediaType, body, `"` + digest([]byte(mediaType), body) + `"`}
}

func (s *service) describe(path string, choose func(*http.Request) document) {
	s.route(http.MethodGet, path, func(x *exchange) {
		var err error
		if x.principal, err = s.guard.checkCaller(x.r); err != nil {
			x.fail(err)
			return
		}
		d := choose(x.r)
		x.extendWrite()
		h := x.w.Header()
		h.Set("ETag", d.tag)
		h.Set("Cache-Control", "private, no-cache") // ask each time whether it has changed
		h.Add("Vary", "Accept")
		if known := x.r.Header.Get("If-None-Match"); known == "*" || strings.Contains(known, d.tag) {
			x.w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", d.mediaType)
		_, _ = x.w.Write(d.body) // a reader that left needs no answer
	})
}
