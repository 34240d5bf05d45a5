package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/access"
)

const (
	withdrawTimeout = 10 * time.Second // for the announcer, when the bridge stops
	closeTimeout    = 10 * time.Second // for the provider
	cutTimeout      = 5 * time.Second  // for calls whose context was ended because draining took too long

	headerTimeout  = 10 * time.Second // for a request's header to arrive
	maxHeaderBytes = 64 << 10         // of it, the request line included
)

// Run listens on addr, such as "127.0.0.1:8082", and calls [Bridge.Serve]. If it cannot listen there, it closes the bridge too.
func (b *Bridge) Run(ctx context.Context, addr string) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return errors.Join(fmt.Errorf("bridge: %w", err), b.Close())
	}
	return b.Serve(ctx, ln)
}

// Serve serves HTTP on ln until ctx ends, and announces the service if [Options.Announcer] is set, as soon as the provider
// is ready (see [HealthChecker]). Then it withdraws the announcement, is ready no longer, answers new calls with 503, lets
// those in progress finish for up to [Options.DrainTimeout], cuts off the rest, closes the provider if it is an [io.Closer],
// and returns nil. On a listener of [crypto/tls.NewListener] it serves HTTPS, with HTTP/2 if the listener's NextProtos offer
// "h2"; see [ClientCertificate].
//
// Header sections of requests may have 64 KiB and must arrive within 10 seconds; what breaks these bounds, or is not HTTP, is
// refused by [net/http] before the bridge sees it, with 431 or 400 and without a record in the log.
//
// Serve returns an error if it must not listen there (see [Options.Authenticate]), if listening fails or the contract that it
// begins with cannot be announced, for good, or if the provider does not close within 10 seconds. It closes ln and the bridge in
// any case. Call Serve once.
func (b *Bridge) Serve(ctx context.Context, ln net.Listener) (err error) {
	defer ln.Close()
	if err := b.service.Load().guard.checkExposure(ln.Addr(), b.opts.AllowUnauthenticated); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.listensAt(ln.Addr()); err != nil {
		return errors.Join(err, b.Close())
	}
	calls, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	srv := &http.Server{
		Handler:           b,
		BaseContext:       func(net.Listener) context.Context { return calls },
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(b.log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // it would answer "OPTIONS *" before the bridge has looked who asks
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
	b.log.Info("stopping", "calls_in_progress", b.inProgress.Load())
	withdraw()
	b.draining.Store(true)
	b.drain(srv, cut)
	if err != nil {
		err = fmt.Errorf("bridge: %w", err)
	}
	return errors.Join(err, b.Close())
}

// Close ends the jobs in progress, waits for a moment until that is on record, and closes [Options.StoreFile] and the
// provider. Serve does so itself; a bridge that is the [http.Handler] of another server is closed after that server.
// Closing twice is fine.
func (b *Bridge) Close() error {
	b.draining.Store(true)
	return b.closed()
}

// listensAt has /contract show where the bridge listens.
func (b *Bridge) listensAt(addr net.Addr) error {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	b.addr = addr
	old := b.service.Load()
	s, err := b.newService(old.contract, old.provider)
	if err == nil {
		b.service.Store(s)
	}
	return err
}

// shown returns the contract as callers and the orchestrator shall see it: with the address at which they reach the bridge.
// The lock of reloading is held, or the bridge is being made.
func (b *Bridge) shown(c *contract.Contract) (*contract.Contract, error) {
	if b.opts.BaseURL != "" {
		shown, err := c.WithBaseURL(b.opts.BaseURL)
		if err != nil {
			return nil, fmt.Errorf("bridge: Options.BaseURL: %w", err)
		}
		return shown, nil
	}
	base, err := url.Parse(c.API.BaseURL)
	tcp, ok := b.addr.(*net.TCPAddr)
	if err != nil || !ok || !access.IsLoopbackName(base.Hostname()) || base.Port() == strconv.Itoa(tcp.Port) {
		return c, nil
	}
	base.Host = net.JoinHostPort(base.Hostname(), strconv.Itoa(tcp.Port))
	return c.WithBaseURL(base.String())
}

// announce keeps the service announced until withdraw is called, which waits for the withdrawal.
func (b *Bridge) announce(ctx context.Context) (withdraw func(), failed <-chan error) {
	if b.opts.Announcer == nil {
		return func() {}, nil
	}
	forget, err := b.telemetry.announces(b)
	if err != nil {
		b.log.Warn("the announcement is not measured", "cause", err)
		forget = func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	failure := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.keepAnnounced(ctx); err != nil {
			failure <- err
		}
	}()
	return func() {
		defer forget()
		cancel()
		select {
		case <-done:
		case <-time.After(withdrawTimeout):
			b.log.Warn("withdrawing the announcement takes too long; the service may still be announced", "timeout", withdrawTimeout)
		}
	}, failure
}

// keepAnnounced announces the contract that is served, again after every reload, until ctx ends or announcing fails for good. That
// ends a bridge that begins, but not one that serves and was reloaded: what was in progress must not pay for the new contract.
func (b *Bridge) keepAnnounced(ctx context.Context) error {
	for begins := true; ; begins = false {
		turn, end := context.WithCancel(ctx)
		c, err := b.nextAnnouncement(end)
		if err == nil && b.untilReady(turn) {
			_, err = guarded(func() (any, error) { return nil, b.opts.Announcer.Announce(turn, c) })
		}
		over := turn.Err() != nil
		switch {
		case over && err != nil:
			b.log.Warn("the service may still be announced", "cause", err)
		case !over && err == nil:
			err = errors.New("the announcer gave up without a reason")
		}
		if !over && begins {
			end()
			return fmt.Errorf("announce %s: %w", b.service.Load().contract.ID, err)
		}
		if !over {
			b.log.Error("the reloaded contract cannot be announced: the service is not announced until another reload", "cause", err)
			<-turn.Done()
		}
		end()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// untilReady waits until the provider can work, for callers come at once when the service is announced. It reports false
// if ctx ended before.
func (b *Bridge) untilReady(ctx context.Context) bool {
	for logged := false; ; logged = true {
		s := b.acquire()
		err := s.health.checkProvider(ctx)
		b.release(s)
		if err == nil || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		if !logged {
			b.log.Warn("the service is announced when its provider is ready", "cause", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// nextAnnouncement returns what to announce until end is called by a reload.
func (b *Bridge) nextAnnouncement(end context.CancelFunc) (*contract.Contract, error) {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	b.stopAnnouncing = end
	return b.shown(b.service.Load().contract)
}

// drain lets calls finish, for a bounded time, and then ends their contexts. As long as there are any it goes on to listen:
// load balancers see that the bridge is not ready, callers are told to go elsewhere, and owners of jobs get at them.
func (b *Bridge) drain(srv *http.Server, cut context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), b.opts.DrainTimeout)
	defer cancel()
	srv.SetKeepAlivesEnabled(false) // who comes again shall come to another instance
	b.waitForCalls(ctx)
	err := srv.Shutdown(ctx)
	b.ledger.wait(ctx)
	if err != nil || ctx.Err() != nil {
		b.log.Warn("cutting off calls that did not finish in time", "calls_in_progress", b.inProgress.Load(), "timeout", b.opts.DrainTimeout)
	}
	b.ledger.stop() // first, so that those who watch a job see its end
	cut(errStopping)
	ctx, cancel = context.WithTimeout(context.Background(), cutTimeout)
	defer cancel()
	_ = srv.Shutdown(ctx) // the calls just cut off get to say so
	_ = srv.Close()
	ended := make(chan struct{})
	go func() {
		b.calls.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		b.log.Error("handlers or health checks ignore that their context has ended", "calls_in_progress", b.inProgress.Load())
	}
}

// waitForCalls returns when no call is in progress, or ctx ends.
func (b *Bridge) waitForCalls(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for b.inProgress.Load() > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// closeProvider closes the provider that new calls would go to, though there be calls that ignore their end.
func (b *Bridge) closeProvider() error {
	b.reloading.Lock() // a Reload that came before is done, and none comes after
	defer b.reloading.Unlock()
	return b.service.Load().provider.close()
}

func closeProvider(p Provider) error {
	closer, ok := p.(io.Closer)
	if !ok {
		return nil
	}
	closed := make(chan error, 1)
	go func() {
		_, err := guarded(func() (any, error) { return nil, closer.Close() })
		closed <- err
	}()
	select {
	case err := <-closed:
		if err != nil {
			return fmt.Errorf("bridge: close provider: %w", err)
		}
		return nil
	case <-time.After(closeTimeout):
		return fmt.Errorf("bridge: close provider: it takes longer than %v", closeTimeout)
	}
}
