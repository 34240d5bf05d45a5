package main

import (
	"log/slog"

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
