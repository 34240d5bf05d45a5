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

const help = `codexbridge serves OpenAI Codex over HTTP by its service contract, and registers it with CAIO.

Usage: codexbridge [flags]

Flags:
  -addr host:port       where the bridge listens (default 127.0.0.1:$CODEX_BRIDGE_PORT)
  -caio-addr host:port  where the built-in registry listens if CAIO_URL is not set (default 127.0.0.1:8080)
  -register=false       do not register the service
  -metrics-addr host:port
                        where GET /metrics answers in the format of Prometheus (default: nowhere)
  -model-conns n        open at most n connections to the model's server over HTTP/1.1; further calls wait for one, and
                        GET /metrics shows how long (default: as many as the contract allows calls at a time)
  -contract file        use this contract instead of the one that comes with the bridge
  -store file           keep jobs, and answers to calls with an Idempotency-Key, in this file (default: in memory)

Environment:
  OPENAI_API_KEY        key for OpenAI. If this and OPENAI_BASE_URL are not set, a demo model answers that asks no AI
  OPENAI_BASE_URL       another server of the Responses API, such as http://localhost:11434/v1
  CODEX_MODEL           the model to ask (default gpt-6.1-sol)
  CODEX_BRIDGE_PORT     the bridge's port on 127.0.0.1 (default 8082)
  CODEX_BRIDGE_TOKEN    bearer token that callers of the bridge must send (default none, on loopback only)
  CAIO_URL              the CAIO to register with (default: the built-in registry)
  CAIO_TOKEN            bearer token for CAIO
  OPENAI_API_KEY_FILE, CODEX_BRIDGE_TOKEN_FILE, CAIO_TOKEN_FILE
                        files that hold a secret, instead of the variable itself

Signals:
  SIGHUP                reads these files and the contract again; no call is dropped
  SIGINT, SIGTERM       stop it when the calls in progress have ended; a second one stops it at once
`

// A config is what flags and environment say. The library itself reads neither.
type config struct {
	addr, caioAddr  string
	metricsAddr     string // "": no metrics
	register        bool
	contractFile    string
	storeFile       string // "": in memory
	modelURL, model string
	modelConns      int // 0: not bounded
	caioURL         string
	secrets
	getenv func(string) string
}

// A usageError is a fault of the command line.
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
	var unread error
	cfg.secrets, unread = readSecrets(getenv)
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
		return nil, usageError{fmt.Errorf("%q is not a flag: nothing else is taken", flags.Arg(0))}
	}
	if err := checkPort(port); err != nil {
		return nil, fmt.Errorf("CODEX_BRIDGE_PORT: %w", err)
	}
	err = errors.Join(
		unread,
		checkAddr("-addr", cfg.addr, "CODEX_BRIDGE_TOKEN", cfg.bridgeToken),
		checkAddr("-caio-addr", cfg.caioAddr, "CAIO_TOKEN", cfg.caioToken))
	if cfg.metricsAddr != "" {
		err = errors.Join(err, checkAddr("-metrics-addr", cfg.metricsAddr, "CODEX_BRIDGE_TOKEN", cfg.bridgeToken))
	}
	return cfg, err
}

// offline reports whether the demo model shall answer.
func (c *config) offline() bool { return c.apiKey == "" && c.modelURL == "" }

// checkAddr also makes sure that nobody but this machine can call without a token.
func checkAddr(name, addr, tokenName, token string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port, such as 127.0.0.1:8082", name, addr)
	}
	if err := checkPort(port); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if token == "" && !access.IsLoopbackName(host) {
		return fmt.Errorf("%s: other machines can reach %q: set %s, which callers must then send, or listen on 127.0.0.1",
			name, addr, tokenName)
	}
	return nil
}

func checkPort(port string) error {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is not a port, a number from 0 to 65535", port)
	}
	return nil
}
