package caio_test

import (
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio"
)

func TestMetricsCountServicesAndDecisions(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	client := newClient(t, reg, nil)
	if problems, err := client.Validate(t.Context(), newContract(t, "mine", "1.0.0")); err != nil || len(problems) != 0 {
		t.Errorf("Validate = %q, %v", problems, err)
	}
	registration, err := client.Register(t.Context(), newContract(t, "mine", "1.0.0"), nil)
	if err != nil || registration.ServiceID != "mine" {
		t.Errorf("Register = %+v, %v", registration, err)
	}
	if _, err := client.Route(t.Context(), caio.Request{Capabilities: []string{"code_review"}}); err != nil {
		t.Errorf("Route: %v", err)
	}
	metrics, err := client.Metrics(t.Context())
	if err != nil {
		t.Errorf("Metrics: %v", err)
	}
	for _, line := range []string{"caio_registry_services 1", "caio_registry_decisions_total 1"} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("Metrics = %s, want the line %s", metrics, line)
		}
	}
}
