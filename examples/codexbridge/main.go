// Command codexbridge serves OpenAI Codex by its contract and registers it with CAIO.
//
// It shows the whole path with nothing but Go on the machine: it has a registry of its own unless
// CAIO_URL names one, and a demo model that asks no AI unless OPENAI_API_KEY or OPENAI_BASE_URL is
// set.
//
// Copy it. A bridge needs this file; config.go and secrets.go read flags, environment and files;
// demo*.go and caio.go can be left out.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/jobfile"
	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// A bridge holds a few megabytes: fewer collections cost little memory and save a tenth of the
		// CPU time.
		debug.SetGCPercent(400)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the program at once
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	os.Exit(run(ctx, hangups, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run reloads at every one of hangups. It returns the exit code: 0 after a graceful stop, 2 for an
// error of the command line, 1 for any other error.
func run(
	ctx context.Context, hangups <-chan os.Signal, args []string, getenv func(string) string, stdout, stderr io.Writer,
) int {
	cfg, err := parseConfig(args, getenv)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, help)
		return 0
	}
	if err == nil {
		err = serve(ctx, hangups, cfg, stdout, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "codexbridge:", err)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintln(stderr, "codexbridge -h explains flags and environment variables.")
		return 2
	}
	return 1
}

// serve runs the bridge until ctx ends.
func serve(ctx context.Context, hangups <-chan os.Signal, cfg *config, stdout io.Writer, log *slog.Logger) error {
	model, stopModel, err := chooseModel(cfg, log)
	if err != nil {
		return err
	}
	defer stopModel()
	keys := newKeyring(cfg.secrets)
	opts := &bridge.Options{Logger: log}
	if cfg.bridgeToken != "" {
		opts.Authenticate = keys.authenticate
	}
	meters, stopMetrics, err := serveMetrics(cfg, opts.Authenticate, log)
	if err != nil {
		return err
	}
	defer stopMetrics()
	opts.MeterProvider, model.MeterProvider = meters, meters
	provider, err := codex.New(model)
	if err != nil {
		return err
	}
	promised, err := chooseContract(cfg)
	if err != nil {
		return err
	}

	// Listening comes first: whoever reads that the bridge is there can call it.
	ln, err := listen(cfg.addr, "-addr or CODEX_BRIDGE_PORT")
	if err != nil {
		return err
	}
	defer ln.Close()
	orchestrator, stopCAIO, err := chooseCAIO(cfg, log)
	if err != nil {
		return err
	}
	defer stopCAIO()

	toCAIO := &caio.Options{Logger: log}
	if cfg.caioToken != "" {
		toCAIO.Token = keys.caioToken
	}
	client, err := caio.NewClient(orchestrator, toCAIO)
	if err != nil {
		return err
	}
	if cfg.register {
		opts.Announcer = client
	}
	if cfg.storeFile != "" {
		if opts.Jobs.Store, err = jobfile.Open(cfg.storeFile); err != nil {
			return err
		}
	}
	b, err := bridge.New(promised, provider, opts)
	if err != nil {
		return err
	}
	defer reloadOn(hangups, func() error { return reload(b, cfg, *model, keys) }, log)()
	welcome(stdout, cfg, urlOf(ln), orchestrator, cmp.Or(model.Model, codex.DefaultModel), promised)
	return b.Serve(ctx, ln)
}

// chooseModel returns what to ask: OpenAI, another server, or the demo model.
func chooseModel(cfg *config, log *slog.Logger) (opts *codex.Options, stop func(), err error) {
	if !cfg.offline() {
		opts = &codex.Options{APIKey: cfg.apiKey, BaseURL: cfg.modelURL, Model: cfg.model, MaxConnsPerHost: cfg.modelConns}
		return opts, func() {}, nil
	}
	log.Warn("no AI is asked: a demo model answers. Set OPENAI_API_KEY, or OPENAI_BASE_URL for another server",
		"model", demoModel)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	stop = background(ln, newDemo(), log)
	opts = &codex.Options{BaseURL: urlOf(ln) + "/v1", Model: demoModel, MaxConnsPerHost: cfg.modelConns}
	return opts, stop, nil
}

// chooseContract returns the operator's contract, or the one that comes with the provider.
func chooseContract(cfg *config) (*contract.Contract, error) {
	if cfg.contractFile != "" {
		return contract.LoadFile(cfg.contractFile)
	}
	return codex.Contract()
}

// listen opens a port. setting says how to choose another.
func listen(addr, setting string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another program uses %s: stop it, or choose another port with %s", addr, setting)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; choose another address with %s", addr, err, setting)
	}
	return ln, nil
}

// urlOf returns a URL under which this machine reaches ln.
func urlOf(ln net.Listener) string {
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
