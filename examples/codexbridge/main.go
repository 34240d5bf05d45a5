// Command codexbridge serves OpenAI Codex over HTTP and registers it with CAIO.
//
// It needs only Go. Without CAIO_URL it starts a built-in registry. Without OPENAI_API_KEY and
// OPENAI_BASE_URL it starts a built-in demo model, not an AI.
//
// Copy it to write your own bridge. Files and their purpose:
//   - main.go: the bridge itself
//   - server.go: listeners and auxiliary servers
//   - config.go, secrets.go: flags, environment variables and secret files
//   - reload.go, metrics.go, banner.go: optional
//   - caio.go, demo.go, demo_*.go: the built-in registry and demo model, for trials
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
		// The heap is a few megabytes: fewer collections cost little memory and save a tenth of the CPU
		// time.
		debug.SetGCPercent(400)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // restores the default: a second signal ends the program at once
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	os.Exit(run(ctx, hangups, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run runs the program until ctx ends, and reloads at every signal of hangups. It returns the exit
// code: 0 after a graceful stop, 2 for a command line error, 1 for any other error.
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
		fmt.Fprintln(stderr, "Run codexbridge -h for a list of flags and environment variables.")
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
		return fmt.Errorf("settings of the model (OPENAI_API_KEY, OPENAI_BASE_URL, CODEX_MODEL, -model-conns): %w", err)
	}
	ct, err := chooseContract(cfg)
	if err != nil {
		return err
	}

	// Listen before registering and printing the URL, so that callers can connect at once.
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

	client, err := newCAIOClient(orchestrator, cfg, keys, log)
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
	b, err := bridge.New(ct, provider, opts)
	if err != nil {
		return err
	}
	defer reloadOnSignal(hangups, func() error { return reload(b, cfg, *model, keys) }, log)()
	printBanner(stdout, cfg, urlOf(ln), orchestrator, cmp.Or(model.Model, codex.DefaultModel), ct)
	return b.Serve(ctx, ln)
}

// newCAIOClient returns a client of CAIO. It sends the keyring's current token.
func newCAIOClient(url string, cfg *config, keys *keyring, log *slog.Logger) (*caio.Client, error) {
	opts := &caio.Options{Logger: log}
	if cfg.caioToken != "" {
		opts.Token = keys.caioToken
	}
	client, err := caio.NewClient(url, opts)
	if err != nil {
		return nil, fmt.Errorf("CAIO_URL: %w", err)
	}
	return client, nil
}

// chooseModel returns the options for OpenAI, another server, or the demo model, started here.
func chooseModel(cfg *config, log *slog.Logger) (opts *codex.Options, stop func(), err error) {
	if !cfg.offline() {
		opts = &codex.Options{APIKey: cfg.apiKey, BaseURL: cfg.modelURL, Model: cfg.model, MaxConnsPerHost: cfg.modelConns}
		return opts, func() {}, nil
	}
	log.Warn("using the built-in demo model, not an AI: set OPENAI_API_KEY, or OPENAI_BASE_URL for another server",
		"model", demoModel)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	stop = serveInBackground(ln, newDemo(), log)
	opts = &codex.Options{BaseURL: urlOf(ln) + "/v1", Model: demoModel, MaxConnsPerHost: cfg.modelConns}
	return opts, stop, nil
}

// chooseContract returns the contract of -contract, or the provider's embedded one.
func chooseContract(cfg *config) (*contract.Contract, error) {
	if cfg.contractFile != "" {
		return contract.LoadFile(cfg.contractFile)
	}
	return codex.Contract()
}
