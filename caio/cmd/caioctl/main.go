// Command caioctl talks to CAIO: it validates, explains, compares and registers contracts, lists services, asks for routing
// decisions and verifies them, calls the services decided on, and serves a registry of its own. Run "caioctl help" for its commands.
//
// It ends with status 0 for success, 2 for wrong usage, 3 for an invalid contract, 4 if something was not found or no
// service matches, 5 if the token is refused, 6 if CAIO or a service cannot be reached, 7 if an id is taken by another
// contract, 8 if a contract changed more than its version says or a trace was altered, and 1 for everything else.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	os.Exit(a.run(ctx, os.Args[1:]))
}
