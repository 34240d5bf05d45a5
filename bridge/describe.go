package bridge

import (
	"fmt"
	"net/http"
	"strings"

	"gopkg.in/yaml.v3"
)

// routeDescription serves the documents about the bridge, which are made once. Who may not call may not read them either.
func (s *service) routeDescription(bindings []binding) error {
	asJSON, err := s.contract.MarshalJSON()
	if err != nil {
		return fmt.Errorf("bridge: describe the contract: %w", err)
	}
	asYAML, err := yaml.Marshal(s.contract)
	if err != nil {
		return fmt.Errorf("bridge: describe the contract: %w", err)
	}
	openAPI, err := newOpenAPI(s.contract, bindings, s.guard.authenticate != nil)
	if err != nil {
		return fmt.Errorf("bridge: describe the API: %w", err)
	}
	s.describe("/contract", func(r *http.Request) (string, []byte) {
		if strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "yaml") {
			return "application/yaml", asYAML // RFC 9512
		}
		return "application/json", asJSON
	})
	s.describe("/openapi.json", func(*http.Request) (string, []byte) { return "application/json", openAPI })
	return nil
}

func (s *service) describe(path string, choose func(*http.Request) (mediaType string, body []byte)) {
	s.route(http.MethodGet, path, func(x *exchange) {
		var err error
		if x.principal, err = s.guard.checkCaller(x.r); err != nil {
			x.fail(err)
			return
		}
		mediaType, body := choose(x.r)
		x.extendWrite()
		x.w.Header().Set("Content-Type", mediaType)
		x.w.Header().Add("Vary", "Accept")
		_, _ = x.w.Write(body) // a reader that left needs no answer
	})
}
