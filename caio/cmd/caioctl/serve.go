package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask CAIO how it is",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			health, err := client.Health(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(health, func(t *tableWriter) {
				t.row("status", health.Status)
				t.row("version", health.Version)
				t.row("up", time.Duration(health.UptimeSeconds*float64(time.Second)).Round(time.Second))
				for _, name := range slices.Sorted(maps.Keys(health.Components)) {
					t.row(name, health.Components[name])
				}
			})
		},
	}
}

func (a *app) serveCommand() *cobra.Command {
	var addr string
	var opts registry.Options
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a CAIO-compatible registry and router, in memory",
		Long: "Serve a CAIO-compatible registry and router. What it holds is lost when it ends; announced services register again.\n" +
			"Callers need one of the tokens in --token-file, one a line, or $CAIO_TOKEN. Without a token only this machine is served.",
		Example: "  caioctl serve\n  caioctl serve --addr :8080 --token-file tokens --close-integration",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tokens, err := a.tokens()
			if err != nil {
				return err
			}
			opts.Tokens = tokens
			opts.Logger = slog.New(slog.NewTextHandler(a.stderr, nil))
			return a.serve(cmd.Context(), addr, &opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&addr, "addr", "127.0.0.1:8080", "address to listen on")
	flags.IntVar(&opts.MaxServices, "max-services", 10_000, "services that may be registered")
	flags.BoolVar(&opts.CloseIntegration, "close-integration", false, "ask for a token on /api/v1/integration/* too")
	flags.StringArrayVar(&opts.Hosts, "host", nil, `host name that requests may name, "*" for all; repeatable (default: this machine, or all with a token)`)
	return cmd
}

// tokens returns the tokens that callers may use.
func (a *app) tokens() ([]string, error) {
	text := a.getenv("CAIO_TOKEN")
	if a.tokenFile != "" {
		data, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return nil, err
		}
		text = string(data)
	}
	tokens := strings.Fields(text)
	if a.tokenFile != "" && len(tokens) == 0 {
		return nil, fmt.Errorf("%s holds no token", a.tokenFile)
	}
	return tokens, nil
}

// serve serves the registry until ctx ends, then lets requests in progress finish.
func (a *app) serve(ctx context.Context, addr string, opts *registry.Options) error {
	reg, err := registry.New(opts)
	if err != nil {
		return usageError{err}
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	address := listener.Addr().(*net.TCPAddr)
	if len(opts.Tokens) == 0 && !address.IP.IsLoopback() {
		listener.Close()
		return usageError{fmt.Errorf("without a token only this machine is served: listen on 127.0.0.1 instead of %s, or set CAIO_TOKEN or --token-file", addr)}
	}
	server := &http.Server{
		Handler: reg, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	fmt.Fprintf(a.stdout, "CAIO registry on http://%s, in memory. Try: caioctl --url http://%[1]s services\n", address)

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = server.Shutdown(stopping)
	if closed := <-served; !errors.Is(closed, http.ErrServerClosed) {
		err = errors.Join(err, closed)
	}
	return err
}
