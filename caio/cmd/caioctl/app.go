package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/caio"
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

const help = `Register services with CAIO, discover them, route to them and call them.

Environment:
  CAIO_URL            base URL of CAIO; --url comes first (default http://localhost:8080)
  CAIO_TOKEN          bearer token for CAIO; --token-file comes first
  CAIO_SERVICE_TOKEN  bearer token for the services that are called
  ETCD_USER           user and password for "serve --etcd", as NAME:PASSWORD
  NO_COLOR            if set, nothing is coloured; colours are for terminals only in any case

Exit status:
  0  success                                          5  the token is missing or refused
  1  any other failure                                6  CAIO or the service cannot be reached
  2  wrong usage                                      7  the id is taken by another contract
  3  invalid contract                                 8  changed: more than its version says, or a trace that was altered
  4  not found, or no service matches`

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
	fmt.Fprintln(a.stderr, a.paint(a.stderr, red, "caioctl:"), strings.TrimPrefix(err.Error(), "caio: "))
	a.showDetails(err)
	if hint != "" {
		fmt.Fprintln(a.stderr, hint)
	}
	return status
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:     "caioctl",
		Short:   "Register services with CAIO, discover them, route to them and call them",
		Long:    help,
		Version: version(),
		Example: "  caioctl serve &\n" +
			"  caioctl register contract.yaml\n" +
			"  caioctl services\n" +
			"  caioctl route code_generation --explain\n" +
			"  caioctl call code_generation --endpoint \"POST /generate\" --data '{\"prompt\": \"add two numbers\"}'",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, // it takes any word for a shell
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
	flags.StringVar(&a.url, "url", url, "base URL of CAIO")
	flags.Lookup("url").DefValue = "$CAIO_URL" // which may hold what help should not show
	flags.StringVar(&a.tokenFile, "token-file", "", "file with the bearer token; without it $CAIO_TOKEN is used")
	flags.StringVar(&a.paths, "paths", "", "where CAIO registers services: services, published or integration (default: found out)")
	flags.DurationVar(&a.timeout, "timeout", 10*time.Second, "time for each attempt of a question to CAIO")
	flags.StringVarP(&a.output, "output", "o", "table", "table, json or yaml")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		a.validateCommand(), a.explainCommand(), a.diffCommand(), a.registerCommand(), a.unregisterCommand(),
		a.servicesCommand(), a.serviceCommand(),
		a.routeCommand(), a.callCommand(), a.traceCommand(), a.verifyCommand(),
		a.healthCommand(), a.serveCommand(), a.completionCommand(),
	)
	root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]cobra.Completion{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	root.RegisterFlagCompletionFunc("paths", cobra.FixedCompletions([]cobra.Completion{"services", "published", "integration"}, cobra.ShellCompDirectiveNoFileComp))
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
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

// arguments checks their number like cobra, but says that the usage is wrong.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("wrong number of arguments: write %s", cmd.UseLine())}
		}
		return nil
	}
}

// version returns the version of the module that the program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
