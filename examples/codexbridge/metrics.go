package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// serveMetrics answers GET /metrics at cfg.metricsAddr, in the format of Prometheus, and returns where the bridge reports
// to: nil, and nothing is measured, if there is no address.
func serveMetrics(cfg *config, log *slog.Logger) (meters metric.MeterProvider, stop func(), err error) {
	if cfg.metricsAddr == "" {
		return nil, func() {}, nil
	}
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		return nil, nil, err
	}
	ln, err := listen(cfg.metricsAddr, "-metrics-addr")
	if err != nil {
		return nil, nil, err
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", authenticated(cfg.bridgeToken, promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, MaxRequestsInFlight: 4})))
	stopServer := background(ln, mux, log)
	log.Info("serving metrics", "url", urlOf(ln)+"/metrics")
	return provider, func() {
		stopServer()
		_ = provider.Shutdown(context.Background()) // nothing is buffered: Prometheus reads
	}, nil
}

// authenticated wants the token, unless there is none.
func authenticated(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	authenticate := bridge.BearerTokens(map[string]string{"caller": token})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := authenticate(r); err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a valid bearer token is required", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
