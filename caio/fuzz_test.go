package caio_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
)

// For every answer of a server, the client returns the expected value or an error without its
// token.
func FuzzAnswers(f *testing.F) {
	const token = "canary-7f3a"
	for call, body := range []string{
		`{"service_id": "a", "status": "registered", "message": "x"}`,
		`{"services": [{"service_id": "a", "capabilities": ["x", {"type": "y"}]}], "count": 1}`,
		`{"service_id": "a", "contract": {"service": {"id": "a"}}}`,
		`{"decision_id": "d", "service_id": "a", "proofs": [{"proof_type": "p", "valid": true}]}`,
		`{"decision_id": "a", "timestamp": 1e300, "decision": {"service_id": "a"}}`,
		"id: 1\nevent: delta\ndata: {}\n\nevent: result\ndata: {\"token\": \"canary-7f3a\"}\n\n",
	} {
		f.Add(call, 200, "application/json", body)
		f.Add(call, 400, "application/json", `{"error": {"code": "X", "message": "`+token+`", "details": []}}`)
		f.Add(call, 422, "application/problem+json", `{"detail": [{"loc": ["body"], "msg": "`+token+`"}]}`)
		f.Add(call, 200, "text/event-stream", body)
	}
	ct := newContract(f, "a", "1.0.0")
	f.Fuzz(func(t *testing.T, call, status int, contentType, body string) {
		defer costtest.AllocatesAtMost(t, 32<<20)()
		if status < 200 || status > 599 {
			t.Skip()
		}
		client := newInMemoryClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}), caio.Options{
			MaxAttempts: 1, Token: caio.StaticToken(token),
			ServiceToken: func(context.Context, string) (string, error) { return token, nil },
		})

		var answered bool
		var err error
		ctx := t.Context()
		switch call {
		case 0:
			registration, e := client.Register(ctx, ct, nil)
			answered, err = e == nil && registration.ServiceID == "a", e
		case 1:
			services, e := client.Services(ctx, caio.Filter{})
			answered, err = services != nil, e
		case 2:
			service, e := client.Service(ctx, "a")
			answered, err = e == nil && service.ID == "a", e
		case 3:
			decision, e := client.Route(ctx, caio.Request{Capabilities: []string{"x"}})
			answered, err = e == nil && decision.ServiceID != "", e
		case 4:
			trace, e := client.Trace(ctx, "a")
			answered, err = e == nil && trace.DecisionID == "a", e
		case 5:
			decision := &caio.Decision{BaseURL: "http://localhost", Endpoints: []caio.Endpoint{{Method: "POST", Path: "/"}}}
			for event, e := range client.Stream(ctx, decision, "", nil) {
				answered, err = event.Name == "result", e
			}
		default:
			t.Skip()
		}
		if answered == (err != nil) {
			t.Errorf("answered: %v, error: %v", answered, err)
		}
		if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), token) {
			t.Errorf("the error shows the token: %#v", err)
		}
	})
}
