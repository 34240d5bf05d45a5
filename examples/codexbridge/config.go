package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/smarthaus/caio-bridge-go/internal/access"
)

const help = `codexbridge serves OpenAI Codex over HTTP and registers it with CAIO.

Usage: codexbridge [flags]

Flags:
  -addr host:port       address of the bridge (default 127.0.0.1:$CODEX_BRIDGE_PORT)
  -caio-addr host:port  address of the built-in registry, used without CAIO_URL (default 127.0.0.1:8080)
  -register=false       do not register the service with CAIO
  -metrics-addr host:port
                        address of GET /metrics, in Prometheus format (default: no metrics)
  -model-conns n        open at most n HTTP/1.1 connections to the model's server; further calls wait
                        (default 0: only the contract limits concurrent calls)
  -contract file        contract to serve (default: the embedded one)
  -store file           file for jobs and for responses to calls with an Idempotency-Key (default: in memory)

Environment variables:
  OPENAI_API_KEY        OpenAI's API key. Without it and OPENAI_BASE_URL, a built-in demo model answers, not an AI
  OPENAI_BASE_URL       base URL of another server with the Responses API, such as http://localhost:11434/v1
  CODEX_MODEL           name of the model (default gpt-6.1-sol)
  CODEX_BRIDGE_PORT     port of the bridge on 127.0.0.1 (default 8082)
  CODEX_BRIDGE_TOKEN    bearer token required from callers (default: none, allowed on loopback only)
  CAIO_URL              base URL of CAIO (default: the built-in registry)
  CAIO_TOKEN            bearer token for CAIO
  OPENAI_API_KEY_FILE, CODEX_BRIDGE_TOKEN_FILE, CAIO_TOKEN_FILE
                        files with these secrets, instead of the variables

Signals:
  SIGHUP                reload the secret files and the contract, without interrupting calls
  SIGINT, SIGTERM       finish the calls in progress and stop; a second signal stops at once
`

// A config holds the values of flags and environment variables.
type config struct {
	addr, caioAddr  string
	metricsAddr     string // empty: no metrics
	register        bool
	contractFile    string // empty: the embedded contract
	storeFile       string // empty: in memory
	modelURL, model string // empty: defaults of package codex
	modelConns      int    // 0: no limit
	caioURL         string
	secrets
	getenv func(string) string
}

// A usageError is an error in the command line's syntax.
type usageError struct{ error }

func parseConfig(args []string, getenv func(string) string) (*config, error) {
	port := getenv("CODEX_BRIDGE_PORT")
	if port == "" {
		port = "8082"
	}
	cfg := &config{
		modelURL: getenv("OPENAI_BASE_URL"), model: getenv("CODEX_MODEL"),
		caioURL: strings.TrimRight(getenv("CAIO_URL"), "/"), getenv: getenv,
	}
	var secretsErr error
	cfg.secrets, secretsErr = readSecrets(getenv)
	flags := flag.NewFlagSet("codexbridge", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.addr, "addr", "127.0.0.1:"+port, "")
	flags.StringVar(&cfg.caioAddr, "caio-addr", "127.0.0.1:8080", "")
	flags.StringVar(&cfg.metricsAddr, "metrics-addr", "", "")
	flags.BoolVar(&cfg.register, "register", true, "")
	flags.IntVar(&cfg.modelConns, "model-conns", 0, "")
	flags.StringVar(&cfg.contractFile, "contract", "", "")
	flags.StringVar(&cfg.storeFile, "store", "", "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, usageError{err}
	case flags.NArg() > 0:
		return nil, usageError{fmt.Errorf("unexpected argument %q: codexbridge takes only flags", flags.Arg(0))}
	}
	if err := checkPort(port); err != nil {
		return nil, fmt.Errorf("CODEX_BRIDGE_PORT: %w", err)
	}
	err = errors.Join(
		secretsErr,
		checkAddr("-addr", cfg.addr, "CODEX_BRIDGE_TOKEN", cfg.bridgeToken),
		checkAddr("-caio-addr", cfg.caioAddr, "CAIO_TOKEN", cfg.caioToken))
	if cfg.metricsAddr != "" {
		err = errors.Join(err, checkAddr("-metrics-addr", cfg.metricsAddr, "CODEX_BRIDGE_TOKEN", cfg.bridgeToken))
	}
	return cfg, err
}

// offline reports whether to use the demo model.
func (c *config) offline() bool { return c.apiKey == "" && c.modelURL == "" }

// checkAddr validates an address. Addresses that other machines can reach require a token.
func checkAddr(name, addr, tokenName, token string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port, such as 127.0.0.1:8082", name, addr)
	}
	if err := checkPort(port); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if token == "" && !access.IsLoopbackName(host) {
		return fmt.Errorf("%s: other machines can reach %q: listen on 127.0.0.1, or set %s to require a token from callers",
			name, addr, tokenName)
	}
	return nil
}

func checkPort(port string) error {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is not a port number from 0 to 65535", port)
	}
	return nil
}
