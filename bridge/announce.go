package bridge

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/announcer"
	"github.com/smarthaus/caio-bridge-go/contract"
	httpaccess "github.com/smarthaus/caio-bridge-go/internal/access"
	"github.com/smarthaus/caio-bridge-go/internal/announce"
)

// withdrawTimeout bounds the withdrawal of the announcement.
const withdrawTimeout = 10 * time.Second

// An Announcer announces a service to an orchestrator. *caio.Client is one.
//
// Announce keeps the service announced until ctx ends, then withdraws it and returns nil. It
// retries after temporary errors. Before the end of ctx it returns only an error that a retry
// cannot mend. An announcer may also implement [AnnouncementReporter].
type Announcer interface {
	Announce(ctx context.Context, c *contract.Contract) error
}

// An AnnouncementReporter reports the states of announcements.
//
// The bridge calls ReportAnnouncements once, before the first Announce. The announcer calls report
// at each change of state, with the reason if there is one. report is quick and safe for concurrent
// use. /readyz, /health and metrics show the state. It does not count for readiness.
type AnnouncementReporter interface {
	ReportAnnouncements(report func(serviceID string, state AnnouncementState, reason error))
}

// An AnnouncementState is the state of an announcement: "registering", "registered", "unavailable",
// "unauthorized", "conflict", "refused" or "withdrawn".
type AnnouncementState = announce.State

// newAnnouncement returns the loop that keeps the service announced.
func (b *Bridge) newAnnouncement() *announcer.Loop {
	l := &announcer.Loop{Log: b.log, Ready: b.waitReady}
	l.Current = func() (*contract.Contract, error) {
		b.reloading.Lock()
		defer b.reloading.Unlock()
		return b.advertised(b.service.Load().contract)
	}
	if a := b.opts.Announcer; a != nil {
		l.Announce = a.Announce
	}
	return l
}

// setListenAddr makes /contract show the address of the listener.
func (b *Bridge) setListenAddr(addr net.Addr) error {
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

// advertised returns the contract with the URL of the bridge for its callers. The caller holds
// reloading, or is New.
func (b *Bridge) advertised(c *contract.Contract) (*contract.Contract, error) {
	if b.opts.BaseURL != "" {
		advertised, err := c.WithBaseURL(b.opts.BaseURL)
		if err != nil {
			return nil, fmt.Errorf("bridge: Options.BaseURL: %w", err)
		}
		return advertised, nil
	}
	base, err := url.Parse(c.API.BaseURL)
	tcp, ok := b.addr.(*net.TCPAddr)
	if err != nil || !ok || !httpaccess.IsLoopbackName(base.Hostname()) || base.Port() == strconv.Itoa(tcp.Port) {
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
	stopMeasuring, err := b.telemetry.Announced(func() (string, string) {
		return b.service.Load().contract.ID, string(b.announcement.State())
	})
	if err != nil {
		b.log.Warn("the announcement is not measured", "cause", err)
	}
	if r, ok := b.opts.Announcer.(AnnouncementReporter); ok {
		r.ReportAnnouncements(func(serviceID string, state AnnouncementState, _ error) {
			if serviceID == b.service.Load().contract.ID {
				b.announcement.SetState(state)
			}
		})
	}
	ctx, cancel := context.WithCancel(ctx)
	failure := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.announcement.Run(ctx); err != nil {
			failure <- err
		}
	}()
	return func() {
		defer stopMeasuring()
		cancel()
		select {
		case <-done:
		case <-time.After(withdrawTimeout):
			b.log.Warn("withdrawing the announcement takes too long; the service may still be announced",
				"timeout", withdrawTimeout)
		}
	}, failure
}

// waitReady waits until the provider is healthy, because callers come as soon as the service is
// announced. It reports false if ctx ends first.
func (b *Bridge) waitReady(ctx context.Context) bool {
	for logged := false; ; logged = true {
		s := b.acquireService()
		err := s.health.checkProvider(ctx)
		b.releaseService(s)
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
