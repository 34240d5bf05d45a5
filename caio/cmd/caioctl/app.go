package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const (
	exitOK = iota
	exitFailure
	exitUsage
	exitInvalid
	exitNotFound
	exitUnauthorized
	exitUnreachable
	exitTaken
	exitChanged
)

// An app is one run of the program: its surroundings and the flags that all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	url, tokenFile, output, paths string
	timeout                       time.Duration
}

// run executes the command line and returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	status, hint := a.judge(err)
	fmt.Fprintln(a.stderr, "caioctl:", strings.TrimPrefix(err.Error(), "caio: "))
	a.showDetails(err)
	if hint != "" {
		fmt.Fprintln(a.stderr, hint)
	}
	return status
}

// showDetails prints what a refusal says beside its message, for example each fault of a contract.
func (a *app) showDetails(err error) {
	var refusal *caio.Error
	if !errors.As(err, &refusal) || refusal.Details == nil {
		return
	}
	var details strings.Builder
	encoder := json.NewEncoder(&details)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if encoder.Encode(refusal.Details) == nil && details.Len() > len("{}\n") {
		fmt.Fprintf(a.stderr, "%.4000s\n", strings.TrimSpace(details.String()))
	}
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "caioctl",
		Short:         "Register services with CAIO, discover them, route to them and call them",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.output != "table" && a.output != "json" && a.output != "yaml" {
				return usageError{fmt.Errorf("--output is table, json or yaml, not %q", a.output)}
			}
			return nil
		},
	}
	url := a.getenv("CAIO_URL")
	if url == "" {
		url = "http://localhost:8080"
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.url, "url", url, "base URL of CAIO; the default is $CAIO_URL")
	flags.StringVar(&a.tokenFile, "token-file", "", "file with the bearer token; without it $CAIO_TOKEN is used")
	flags.StringVar(&a.paths, "paths", "", "where CAIO registers services: services, published or integration (default: found out)")
	flags.DurationVar(&a.timeout, "timeout", 10*time.Second, "time for each attempt of a question to CAIO")
	flags.StringVarP(&a.output, "output", "o", "table", "table, json or yaml")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		a.validateCommand(), a.explainCommand(), a.diffCommand(), a.registerCommand(), a.unregisterCommand(),
		a.servicesCommand(), a.serviceCommand(),
		a.routeCommand(), a.callCommand(), a.traceCommand(), a.verifyCommand(),
		a.healthCommand(), a.serveCommand(),
	)
	return root
}

// client returns a client as the flags describe it.
func (a *app) client() (*caio.Client, error) {
	opts := &caio.Options{Timeout: a.timeout, Paths: a.paths, TokenFile: a.tokenFile}
	if a.tokenFile == "" {
		opts.Token = caio.StaticToken(a.getenv("CAIO_TOKEN"))
	}
	if token := a.getenv("CAIO_SERVICE_TOKEN"); token != "" {
		opts.ServiceToken = func(context.Context, string) (string, error) { return token, nil }
	}
	client, err := caio.NewClient(a.url, opts)
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

// A usageError is the caller's fault.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// A callError happened at a service, not at CAIO.
type callError struct{ error }

func (e callError) Unwrap() error { return e.error }

// arguments checks their number like cobra, but says that the usage is wrong.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("wrong number of arguments: write %s", cmd.UseLine())}
		}
		return nil
	}
}

// judge returns the exit status for err, and what to do about it.
func (a *app) judge(err error) (status int, hint string) {
	var usage usageError
	var call callError
	var network *net.OpError
	var faults contract.Diagnostics
	switch {
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage, `See "caioctl help".`
	case errors.Is(err, errVersion):
		return exitChanged, "Raise the version of the contract."
	case errors.Is(err, errForged):
		return exitChanged, ""
	case errors.Is(err, errUnknownCode):
		return exitNotFound, `See all codes with "caioctl explain".`
	case errors.Is(err, caio.ErrInvalidContract), errors.As(err, &faults):
		return exitInvalid, ""
	case errors.Is(err, caio.ErrNoMatch):
		return exitNotFound, `See what is registered with "caioctl services".`
	case errors.Is(err, caio.ErrNotFound):
		return exitNotFound, ""
	case errors.As(err, &call) && errors.Is(err, caio.ErrUnauthorized):
		return exitUnauthorized, "The service refuses the call. Set CAIO_SERVICE_TOKEN."
	case errors.Is(err, caio.ErrUnauthorized):
		return exitUnauthorized, "Set CAIO_TOKEN, or name a file that holds the token with --token-file."
	case errors.Is(err, caio.ErrAlreadyRegistered):
		return exitTaken, `Remove the service that holds the id with "caioctl unregister ID", or choose another id.`
	case errors.As(err, &call) && errors.As(err, &network):
		return exitUnreachable, "CAIO decided on this service, but it cannot be reached. Is it running where its contract says?"
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable, fmt.Sprintf(`Is CAIO running at %s? Set CAIO_URL or --url, or start a registry with "caioctl serve".`, a.url)
	}
	return exitFailure, ""
}
