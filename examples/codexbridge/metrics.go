package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// serveMetrics serves GET /metrics at cfg.metricsAddr in Prometheus format. It returns the
// MeterProvider for bridge and model client, or nil without an address. If authenticate is nil, it
// serves every caller.
func serveMetrics(
	cfg *config, authenticate func(*http.Request) (string, error), log *slog.Logger,
) (meters metric.MeterProvider, stop func(), err error) {
	if cfg.metricsAddr == "" {
		return nil, func() {}, nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// Scope labels are unnecessary: no two scopes share a metric name.
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, nil, err
	}
	ln, err := listen(cfg.metricsAddr, "-metrics-addr")
	if err != nil {
		return nil, nil, err
	}
	about := resource.NewSchemaless(attribute.String("service.name", "codexbridge"))
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(about))
	mux := http.NewServeMux()
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, MaxRequestsInFlight: 4})
	mux.Handle("GET /metrics", authenticated(authenticate, metrics))
	stopServer := serveInBackground(ln, mux, log)
	log.Info("serving metrics", "url", urlOf(ln)+"/metrics")
	return provider, func() {
		stopServer()
		_ = provider.Shutdown(context.Background()) // an error is harmless: Prometheus pulls, so nothing is buffered
	}, nil
}

// authenticated passes requests to next if authenticate accepts them or is nil. Others get 401.
func authenticated(authenticate func(*http.Request) (string, error), next http.Handler) http.Handler {
	if authenticate == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := authenticate(r); err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a valid bearer token is required: send the value of CODEX_BRIDGE_TOKEN", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
