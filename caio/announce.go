package caio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/access"
	"github.com/smarthaus/caio-bridge-go/internal/announce"
)

// After the end of its context, Announce first waits for a registration in flight, because that
// could arrive after the withdrawal. Then it withdraws.
const (
	finishTimeout   = 2 * time.Second
	withdrawTimeout = 3 * time.Second
)

const minLease = 10 * time.Second

// Announce registers ct and keeps it registered until ctx ends. Then it withdraws the registration.
//
// Announce retries with growing and jittered pauses, so CAIO may start later. At each
// [Options].Heartbeat it
//   - renews its lease of three heartbeats, so a crash leaves no registration for long;
//   - or, without leases, reads the service back, and registers again if CAIO has forgotten it.
//
// It waits for a valid token, and for the end of a conflict about the id: tokens rotate, and
// services are withdrawn. It logs each change of state once, and reports it by
// [Client.ReportAnnouncements].
//
// At its start, Announce replaces the entry of an earlier run: the same id and the same base URL. A
// base URL on this machine counts only if CAIO is on this machine, too. If CAIO shows no contracts,
// Announce adopts an entry with the same name, version and capabilities, and leaves it at the end.
//
// After the end of ctx, Announce withdraws its own registration, within 5 seconds, and returns nil.
// An error then means that the registration may have remained. Before, it returns only
// [ErrInvalidContract], and only if CAIO has never accepted ct. Once accepted, ct is in use, and
// Announce retries.
func (c *Client) Announce(ctx context.Context, ct *contract.Contract) error {
	a := newAnnouncement(c, ct)
	a.setState(announce.Registering, nil)
	for {
		err := a.step(ctx)
		if errors.Is(err, ErrInvalidContract) && !a.confirmed {
			a.setState(announce.Refused, err)
			return err
		}
		if ctx.Err() != nil {
			return a.withdraw(ctx, c)
		}
		a.report(err)
		select {
		case <-time.After(a.pause(err)):
		case <-ctx.Done():
			return a.withdraw(ctx, c)
		}
	}
}

// An announcement is the state of one call of Announce.
type announcement struct {
	client   *Client // copy of the client without retries: Announce has its own
	contract *contract.Contract
	log      *slog.Logger
	pace     *backoff.ExponentialBackOff
	ttl      time.Duration // lease to ask for

	registered      bool           // true after CAIO's confirmation, until another entry replaces ours
	confirmed       bool           // true after the first confirmation: later entries are not of an earlier run
	adopted         bool           // the registration is an entry that looks like ours
	maybeRegistered bool           // a registration got no answer
	renews          bool           // CAIO grants leases, so a step renews instead of reading
	state           announce.State // last reported state
}

func newAnnouncement(c *Client, ct *contract.Contract) *announcement {
	once := *c
	once.maxAttempts = 1
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval, pace.Multiplier = 500*time.Millisecond, c.heartbeat, 2
	return &announcement{
		client: &once, contract: ct, pace: pace,
		log: c.log.With("service_id", ct.ID, "caio", c.base.Host),
		ttl: max(minLease, 3*c.heartbeat.Round(time.Second)),
	}
}

// step registers the service, renews its lease, or reads it back.
func (a *announcement) step(ctx context.Context) error {
	if a.registered && !a.renews {
		service, err := a.client.Service(ctx, a.contract.ID)
		switch {
		case errors.Is(err, ErrNotFound):
			a.log.Warn("CAIO forgot the service; registering again")
		case err != nil:
			return err
		case a.replaced(service):
			a.log.Warn("another contract replaced the service in CAIO; registering again")
		default:
			return nil
		}
		a.registered, a.adopted = false, false
	}

	attempt, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finishTimeout, cancel) })()
	err := a.register(attempt, ctx)
	if errors.Is(err, ErrAlreadyRegistered) && !a.confirmed {
		err = a.takeOver(attempt, ctx, err)
	}
	a.registered = err == nil
	a.confirmed = a.confirmed || a.registered
	a.maybeRegistered = err != nil && (a.maybeRegistered || mayHaveArrived(err))
	return err
}

// register registers or renews, and asks for a lease. If CAIO refuses ttl_seconds, it registers
// without one, and then asks for CAIO's longest lease. It sends no further request after the end of
// ended.
func (a *announcement) register(ctx, ended context.Context) error {
	registration, err := a.client.Register(ctx, a.contract, &RegisterOptions{TTL: a.ttl})
	if refusesTTL(err) && ended.Err() == nil {
		registration, err = a.client.Register(ctx, a.contract, nil)
		if err == nil && registration.MaxTTLSeconds > 0 && ended.Err() == nil {
			a.ttl = min(a.ttl, time.Duration(registration.MaxTTLSeconds)*time.Second)
			registration, err = a.client.Register(ctx, a.contract, &RegisterOptions{TTL: a.ttl})
		}
	}
	a.renews = err == nil && registration.TTLSeconds+registration.MaxTTLSeconds > 0
	return err
}

// refusesTTL reports whether CAIO refuses the request because of ttl_seconds.
func refusesTTL(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) &&
		(refusal.Status == http.StatusBadRequest || refusal.Status == http.StatusUnprocessableEntity) &&
		strings.Contains(fmt.Sprint(refusal.Message, refusal.Details), "ttl_seconds")
}

// takeOver replaces the conflicting entry if it comes from an earlier run. Else it returns refusal.
func (a *announcement) takeOver(ctx, ended context.Context, refusal error) error {
	service, err := a.client.Service(ctx, a.contract.ID)
	switch {
	case err != nil:
		return refusal
	case service.Contract == nil && a.resembles(service):
		a.log.Warn("adopting the entry in CAIO, which has this service's name, version and capabilities")
		a.adopted = true
		return nil
	case service.Contract == nil || !a.isSameAddress(service.Contract):
		return refusal
	}
	a.log.Warn("replacing the entry of an earlier run", "version", service.Version)
	if err := a.client.Unregister(ctx, a.contract.ID); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return a.register(ctx, ended)
}

// isSameAddress reports whether held has this service's base URL, and only this service can be
// there.
func (a *announcement) isSameAddress(held *contract.Contract) bool {
	address := strings.TrimRight(a.contract.API.BaseURL, "/")
	own, err := url.Parse(address)
	if err != nil || strings.TrimRight(held.API.BaseURL, "/") != address {
		return false
	}
	return !access.IsLoopbackName(own.Hostname()) || access.IsLoopbackName(a.client.base.Hostname())
}

// resembles reports whether the entry has this contract's name, version and capabilities.
func (a *announcement) resembles(service *Service) bool {
	var own []string
	for _, c := range a.contract.Capabilities {
		own = append(own, c.Type)
	}
	shown := slices.Clone(service.Capabilities)
	slices.Sort(own)
	slices.Sort(shown)
	return service.Name == a.contract.Name && service.Version == a.contract.Version &&
		slices.Equal(slices.Compact(own), slices.Compact(shown))
}

// mayHaveArrived reports whether CAIO may have executed the failed call.
func mayHaveArrived(err error) bool {
	var refusal *Error
	var network *net.OpError
	switch {
	case errors.As(err, &refusal):
		return refusal.temporary()
	case errors.As(err, &network) && network.Op == "dial":
		return false
	}
	return true
}

// replaced reports whether the entry differs from this contract.
func (a *announcement) replaced(service *Service) bool {
	if service.Contract != nil {
		return !service.Contract.Equal(a.contract)
	}
	return service.Version != "" && service.Version != a.contract.Version
}

// pause returns the time until the next step: a heartbeat, give or take a fifth, or a growing pause
// after an error.
func (a *announcement) pause(err error) time.Duration {
	if err == nil {
		a.pace.Reset()
		return time.Duration(float64(a.client.heartbeat) * (0.8 + 0.4*rand.Float64()))
	}
	wait, _ := retryable(err)
	return max(a.pace.NextBackOff(), min(wait, maxRetryAfter))
}

// withdraw unregisters the service, unless the entry is not, or may not be, of this announcement. c
// retries.
func (a *announcement) withdraw(ended context.Context, c *Client) error {
	if !a.registered && !a.maybeRegistered {
		return nil
	}
	if a.adopted {
		a.log.Warn("leaving the adopted entry in CAIO: it may be another service's")
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ended), withdrawTimeout)
	defer cancel()
	service, err := c.Service(ctx, a.contract.ID)
	if err == nil && (a.replaced(service) || service.Contract == nil && !a.registered) {
		a.log.Warn("leaving the entry in CAIO: it is another service's")
		return nil
	}
	if err == nil || errors.Is(err, ErrNotFound) { // not found may be an answer from an old copy
		err = c.Unregister(ctx, a.contract.ID)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("the registration of %s may have remained: %w", a.contract.ID, err)
	}
	a.log.Info("withdrew the registration from CAIO")
	a.setState(announce.Withdrawn, nil)
	return nil
}
