package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// chooseCAIO returns the URL of CAIO_URL, or of a registry that it starts.
func chooseCAIO(cfg *config, log *slog.Logger) (url string, stop func(), err error) {
	if cfg.caioURL != "" {
		return cfg.caioURL, func() {}, nil
	}
	opts := &registry.Options{Logger: log.With("component", "registry")}
	if cfg.caioToken != "" {
		opts.Tokens = []string{cfg.caioToken}
	}
	handler, err := registry.New(opts)
	if err != nil {
		return "", nil, err
	}
	ln, err := listen(cfg.caioAddr, "-caio-addr, or set CAIO_URL if it is your CAIO")
	if err != nil {
		return "", nil, err
	}
	return urlOf(ln), serveInBackground(ln, handler, log), nil
}

// serveInBackground serves handler on ln. The returned function stops it, and waits up to 2 seconds
// for requests in progress.
func serveInBackground(ln net.Listener, handler http.Handler, log *slog.Logger) (stop func()) {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("server failed", "addr", ln.Addr().String(), "cause", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
		<-done
	}
}
