package caio_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
)

// All envelopes, with and without codes, become the same typed error.
func TestEnvelopes(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "a", "1.0.0")
	register := func(t *testing.T, c *caio.Client) error { _, err := c.Register(t.Context(), ct, nil); return err }
	route := func(t *testing.T, c *caio.Client) error {
		_, err := c.Route(t.Context(), caio.Request{Capabilities: []string{"x"}})
		return err
	}
	unregister := func(t *testing.T, c *caio.Client) error { return c.Unregister(t.Context(), "a") }
	for name, test := range map[string]struct {
		call        func(*testing.T, *caio.Client) error
		status      int
		contentType string
		body        string
		is          error
		want        caio.Error
	}{
		"error envelope": {register, 400, "application/json",
			`{"error": {"code": "INVALID_CONTRACT", "message": "no version", "details": {"field": "version"}}}`,
			caio.ErrInvalidContract,
			caio.Error{Code: "INVALID_CONTRACT", Message: "no version", Details: map[string]any{"field": "version"}}},
		"detail text": {register, 400, "application/json", `{"detail": "Contract validation failed"}`,
			caio.ErrInvalidContract, caio.Error{Code: "INVALID_CONTRACT", Message: "Contract validation failed"}},
		"detail already registered": {register, 400, "application/json", `{"detail": "Service already registered: a"}`,
			caio.ErrAlreadyRegistered, caio.Error{Code: "SERVICE_ALREADY_REGISTERED", Message: "Service already registered: a"}},
		"detail list": {register, 422, "application/json",
			`{"detail": [{"loc": ["body", "contract"], "msg": "field required"}]}`,
			caio.ErrInvalidContract, caio.Error{Code: "INVALID_CONTRACT", Message: "[body contract] field required",
				Details: map[string]any{"errors": []any{
					map[string]any{"loc": []any{"body", "contract"}, "msg": "field required"},
				}}}},
		"detail object": {unregister, 404, "application/json",
			`{"detail": {"code": "SERVICE_NOT_FOUND", "message": "unknown"}}`,
			caio.ErrNotFound, caio.Error{Code: "SERVICE_NOT_FOUND", Message: "unknown",
				Details: map[string]any{"code": "SERVICE_NOT_FOUND", "message": "unknown"}}},
		"problem details": {unregister, 403, "application/problem+json", `{"type": "about:blank", "title": "Forbidden",
			"status": 403, "detail": "role service may not", "code": "forbidden"}`,
			caio.ErrUnauthorized, caio.Error{Code: "forbidden", Message: "role service may not"}},
		"conflict without body": {register, 409, "", ``,
			caio.ErrAlreadyRegistered, caio.Error{Code: "SERVICE_ALREADY_REGISTERED", Message: "conflict"}},
		"unauthorized as text": {unregister, 401, "text/plain", `go away`,
			caio.ErrUnauthorized, caio.Error{Message: "unauthorized"}},
		"no match with 400": {route, 400, "application/json", `{"detail": "No matching services found"}`,
			caio.ErrNoMatch, caio.Error{Code: "NO_MATCHING_SERVICE", Message: "No matching services found"}},
		"no match with 404": {route, 404, "application/json",
			`{"error": {"code": "NO_MATCHING_SERVICE", "message": "none", "details": {}}}`,
			caio.ErrNoMatch, caio.Error{Code: "NO_MATCHING_SERVICE", Message: "none", Details: map[string]any{}}},
		"web page of a proxy": {unregister, 404, "text/html", `<html>nginx</html>`,
			caio.ErrNotFound, caio.Error{Message: "not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.call(t, newClient(t, answering(test.status, test.contentType, test.body), nil))
			var got *caio.Error
			if !errors.As(err, &got) || !errors.Is(err, test.is) {
				t.Fatalf("error = %v, want errors.Is %v", err, test.is)
			}
			test.want.Op, test.want.Status = got.Op, test.status
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// A message of a server is clipped to one line, so it cannot forge log lines.
func TestMessagesAreOneLine(t *testing.T) {
	t.Parallel()
	body := `{"detail": "no\n2026-01-01 INFO all is well\u001b[2J` + strings.Repeat("x", 5000) + `"}`
	_, err := newClient(t, answering(400, "application/json", body), nil).Health(t.Context())
	if err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 1200 {
		t.Errorf("error %q", err)
	}
}
