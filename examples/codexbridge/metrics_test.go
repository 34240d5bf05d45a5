package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	env := map[string]string{"CODEX_BRIDGE_TOKEN": "a-token-of-the-test"}
	r := start(t, env, "-metrics-addr", addr, "-model-conns", "10")
	for _, token := range []string{"a-token-of-the-test", "wrong"} {
		request(t, http.MethodPost, r.bridge+"/generate", `{"prompt": "secret-prompt"}`, "Authorization", "Bearer "+token)
	}
	if status, _, _ := request(t, http.MethodGet, "http://"+addr+"/metrics", ""); status != http.StatusUnauthorized {
		t.Errorf("without the token: %d, want 401", status)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(download(t, r.bridge+"/readyz", ""),
		`"announcement":"registered"`); {
		if time.Now().After(deadline) {
			t.Fatal("/readyz does not say that the service is registered")
		}
		time.Sleep(5 * time.Millisecond)
	}
	metrics := download(t, "http://"+addr+"/metrics", "a-token-of-the-test")
	for _, want := range []string{
		`http_server_request_duration_seconds_count{`, `http_response_status_code="200"`, `error_type="unauthenticated"`,
		`caio_bridge_admissions_total{caio_bridge_outcome="admitted"`, `gen_ai_client_token_usage_sum{`, `caio_bridge_cost`,
		`caio_bridge_announced{caio_bridge_announcement_state="registered"`, `target_info{service_name="codexbridge"}`,
		`go_goroutines `, `process_open_fds `,
		`http_client_request_time_in_queue_seconds_count{server_address="127.0.0.1",server_port="`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s:\n%s", want, metrics)
		}
	}
	for _, unwanted := range []string{"a-token-of-the-test", "secret-prompt", "wrong", "otel_scope"} {
		if strings.Contains(metrics, unwanted) {
			t.Errorf("/metrics shows %q", unwanted)
		}
	}
}
