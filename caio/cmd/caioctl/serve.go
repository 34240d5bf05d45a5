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
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/internal/access"
)

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "health",
		Short:   "Ask CAIO how it is",
		Example: "  caioctl health\n  caioctl health --url https://caio.example -o json",
		Args:    arguments(cobra.NoArgs),
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
	var keeping storage
	var opts registry.Options
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a CAIO-compatible registry and router",
		Long: "Serve a CAIO-compatible registry and router. Without --data or --etcd, what it holds is lost when it ends; announced services\n" +
			"register again. With --etcd, all registries on the same members and prefix serve the same services.\n" +
			"Callers need one of the tokens in --token-file or, as administrators, $CAIO_TOKEN. A line of the file is a token, with its\n" +
			"role in front if that is not admin: \"user TOKEN\" or \"service TOKEN\". Without a token only this machine is served.\n" +
			"Browsers are shown the services and the latest decisions, explained, at the registry's address.",
		Example: "  caioctl serve\n  caioctl serve --data registry.db\n  caioctl serve --etcd 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379\n  caioctl serve --addr :8080 --token-file tokens",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.readTokens(&opts); err != nil {
				return err
			}
			opts.Logger = slog.New(slog.NewTextHandler(a.stderr, nil))
			store, err := a.openStore(&keeping)
			if err != nil {
				return err
			}
			if store == nil {
				return a.serve(cmd.Context(), addr, "in memory", &opts)
			}
			opts.Store = store
			return errors.Join(a.serve(cmd.Context(), addr, keeping.where(), &opts), store.Close())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&addr, "addr", "127.0.0.1:8080", "address to listen on")
	keeping.addFlags(cmd)
	flags.IntVar(&opts.MaxServices, "max-services", 10_000, "services that may be registered")
	flags.Int64Var(&opts.MaxBytes, "max-bytes", 256<<20, "bytes of memory that the registered services may take together")
	flags.IntVar(&opts.MaxCapabilities, "max-capabilities", 100_000, "different capabilities that the services may offer together")
	flags.BoolVar(&opts.OpenIntegration, "open-integration", false, "answer /api/v1/integration/* without a token, as CAIO does; callers without one can register\nservices and make registrations longer, but not shorten or end any")
	flags.DurationVar(&opts.ProbeInterval, "probe", 0, "check the health of each service that often, and do not route to unhealthy ones; 0 for never.\nAsked is GET /health, /healthz, /readyz or /livez, if the contract has it directly under base_url; else the lease decides.\nIf there are tokens, services on this machine cannot be checked, and count as unhealthy")
	flags.StringArrayVar(&opts.ProbePaths, "probe-path", nil, "further path that --probe may ask, that of base_url included, such as /v1/health; repeatable")
	flags.StringArrayVar(&opts.Hosts, "host", nil, `host name that requests may name, "*" for all; repeatable (default: this machine, or all with a token)`)
	return cmd
}

// readTokens reads the tokens that callers may use.
func (a *app) readTokens(opts *registry.Options) error {
	text := a.getenv("CAIO_TOKEN")
	if a.tokenFile != "" {
		data, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return err
		}
		text = string(data)
	}
	lists := map[string]*[]string{"admin": &opts.Tokens, "user": &opts.UserTokens, "service": &opts.ServiceTokens}
	count := 0
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) == 1 {
			words = []string{"admin", words[0]}
		}
		list, ok := lists[words[0]]
		if !ok || len(words) != 2 {
			return usageError{fmt.Errorf("line %d of the tokens is not a token, nor one with its role (admin, user or service) in front", i+1)}
		}
		*list = append(*list, words[1])
		count++
	}
	if a.tokenFile != "" && count == 0 {
		return fmt.Errorf("%s holds no token", a.tokenFile)
	}
	return nil
}

// serve serves the registry until ctx ends, then lets requests in progress finish.
func (a *app) serve(ctx context.Context, addr, kept string, opts *registry.Options) error {
	reg, err := registry.New(opts)
	switch {
	case err != nil && opts.Store != nil: // what it holds may be the fault
		return storeError{err}
	case err != nil:
		return usageError{err}
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	address := listener.Addr().(*net.TCPAddr)
	if len(opts.Tokens)+len(opts.UserTokens)+len(opts.ServiceTokens) == 0 && !access.IsLoopback(address) {
		listener.Close()
		return usageError{fmt.Errorf("without a token only this machine is served: listen on 127.0.0.1 instead of %s, or set CAIO_TOKEN or --token-file", addr)}
	}
	server := &http.Server{
		Handler: reg, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	fmt.Fprintf(a.stdout, "CAIO registry on http://%s, %s.\nIn a browser: http://%[1]s/\nOn the command line: caioctl --url http://%[1]s services\n", reachable(address), kept)

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ran := make(chan error, 1)
	go func() { ran <- reg.Run(running) }()
	defer func() {
		stop()
		<-ran
	}()
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

// reachable returns the address under which this machine reaches itself there.
func reachable(address *net.TCPAddr) string {
	if address.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(address.Port))
	}
	return address.String()
}
