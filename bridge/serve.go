package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// cutTimeout is the time for calls to end after drain has ended their contexts.
	cutTimeout = 5 * time.Second

	headerTimeout  = 10 * time.Second // arrival of a request's header
	maxHeaderBytes = 64 << 10         // header, request line included
)

// Run listens on addr, such as "127.0.0.1:8082", and calls [Bridge.Serve]. If it cannot listen, it
// closes the bridge and returns the error.
func (b *Bridge) Run(ctx context.Context, addr string) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return errors.Join(fmt.Errorf("bridge: %w", err), b.Close())
	}
	return b.Serve(ctx, ln)
}

// Serve serves HTTP on ln until ctx ends. With [Options].Announcer it announces the service as soon
// as the provider is ready (see [HealthChecker]).
//
// At the end of ctx Serve withdraws the announcement, becomes unready, answers new calls with 503,
// lets those in progress finish for up to [Timeouts].Drain, cuts off the rest, closes the bridge
// and returns nil.
//
// On a listener of [crypto/tls.NewListener] it serves HTTPS, with HTTP/2 if the listener's
// NextProtos offer "h2"; see [ClientCertificate]. Headers may have 64 KiB and must arrive within 10
// seconds. [net/http] refuses other headers, and requests that are not HTTP, with 431 or 400 and
// without a log record.
//
// Serve returns an error if access is refused there (see [Options.Authenticate]), if listening
// fails, if the first contract cannot be announced for good, or if the provider does not close
// within 10 seconds. It closes ln and the bridge in any case. Call Serve once.
func (b *Bridge) Serve(ctx context.Context, ln net.Listener) (err error) {
	defer ln.Close()
	if err := b.service.Load().access.checkListenAddr(ln.Addr()); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.setListenAddr(ln.Addr()); err != nil {
		return errors.Join(err, b.Close())
	}
	calls, cancelCalls := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancelCalls(nil)
	srv := &http.Server{
		Handler:           b,
		BaseContext:       func(net.Listener) context.Context { return calls },
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(b.log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // it would answer "OPTIONS *" before the checks of access
	}
	b.log.Info("serving", "service_id", b.service.Load().contract.ID, "addr", ln.Addr().String())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	withdraw, announceFailed := b.announce(ctx)

	select {
	case <-ctx.Done():
	case err = <-announceFailed:
	case err = <-served:
	}
	b.log.Info("stopping", "calls_in_progress", b.inFlight.Count())
	withdraw()
	b.draining.Store(true)
	b.drain(srv, cancelCalls)
	if err != nil {
		err = fmt.Errorf("bridge: %w", err)
	}
	return errors.Join(err, b.Close())
}

// Close ends the jobs in progress, waits up to 5 seconds for their records, and closes
// [JobOptions].Store and the provider. Serve calls it. A bridge that is the [http.Handler] of
// another server is closed after that server. Closing twice is allowed.
func (b *Bridge) Close() error {
	b.draining.Store(true)
	return b.closed()
}

func (b *Bridge) close() error {
	b.jobs.Stop()
	err := b.jobs.Close()
	b.reloading.Lock() // waits for a Reload in progress; later ones fail
	defer b.reloading.Unlock()
	return errors.Join(err, b.service.Load().provider.Close())
}

// drain lets calls finish, for a bounded time, and then ends their contexts. It goes on to listen
// as long as there are any: load balancers see that the bridge is not ready, callers get 503, and
// owners of jobs get their outcomes.
func (b *Bridge) drain(srv *http.Server, cancelCalls context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), b.opts.Timeouts.Drain)
	defer cancel()
	srv.SetKeepAlivesEnabled(false) // callers reconnect, to another instance
	b.inFlight.Wait(ctx)
	err := srv.Shutdown(ctx)
	b.jobs.Wait(ctx)
	if err != nil || ctx.Err() != nil {
		b.log.Warn("cutting off calls that did not finish in time",
			"calls_in_progress", b.inFlight.Count(), "timeout", b.opts.Timeouts.Drain)
	}
	b.jobs.Stop() // before cancelCalls, so that streams that follow a job get its end
	cancelCalls(errStopping)
	ctx, cancel = context.WithTimeout(context.Background(), cutTimeout)
	defer cancel()
	_ = srv.Shutdown(ctx) // lets the calls answer
	_ = srv.Close()
	if !b.goroutines.Wait(ctx) {
		b.log.Error("handlers or health checks ignore that their context has ended", "calls_in_progress", b.inFlight.Count())
	}
}
