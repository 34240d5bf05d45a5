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
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/access"
)

// What follows the end of an announcement's context is bounded: first the attempt to register that may be under way, which
// could otherwise arrive after the withdrawal, then the withdrawal.
const (
	finishTimeout   = 2 * time.Second
	withdrawTimeout = 3 * time.Second
)

const minLease = 10 * time.Second

// Announce registers ct and keeps it registered until ctx ends; then it withdraws the registration.
//
// CAIO need not be up: Announce tries, with growing and jittered pauses, until it is. Afterwards it reads the service back
// every [Options].Heartbeat and registers again when CAIO has forgotten it, as it does when it restarts. If CAIO grants
// leases, Announce takes one of three heartbeats and renews it instead, so that a registration does not outlive a crash
// for long. A refused token and an id that another contract holds are waited out, because tokens rotate and services are
// withdrawn. Each change of state is logged once, and told to [Options].Announced; [Client.Announcement] says it at any time.
//
// What an earlier run left behind is replaced: an entry under the id, met at the start, that names the same base URL, where
// nobody else can be served. (A base URL on this machine says so only if CAIO is on this machine, too.) If CAIO does not
// show contracts, an entry with the same name, version and capabilities is taken for the own one, and left when ctx ends;
// any other is waited out.
//
// When ctx ends, Announce withdraws what it registered itself, and nothing else, within 5 seconds, and returns nil; an
// error then means that the registration may have remained. Before that it returns only with [ErrInvalidContract], at once, if CAIO
// has never taken the contract; one that it took before is in use, and tried again.
func (c *Client) Announce(ctx context.Context, ct *contract.Contract) error {
	a := newAnnouncement(c, ct)
	for {
		err := a.step(ctx)
		if errors.Is(err, ErrInvalidContract) && !a.confirmed {
			a.enter("refused", err)
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

// Announcement returns how the announcement of a service by this client stands: "registered", "taken" (another contract
// holds the id), "unauthorized" (CAIO refuses the token, or there is none), "refused" (CAIO refuses for another reason),
// "unavailable" (CAIO cannot be asked), "withdrawn", or "" if the service was never announced. It is what was true when
// CAIO was last asked.
func (c *Client) Announcement(serviceID string) string {
	c.states.mu.Lock()
	defer c.states.mu.Unlock()
	return c.states.byID[serviceID]
}

// states are the announcements of a client.
type states struct {
	mu   sync.Mutex
	byID map[string]string
}

func (s *states) set(serviceID, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[string]string)
	}
	s.byID[serviceID] = state
}

// An announcement is what one call of Announce knows.
type announcement struct {
	client   *Client // sends each call once: the loop of Announce does the waiting
	contract *contract.Contract
	log      *slog.Logger
	pace     *backoff.ExponentialBackOff

	registered bool          // CAIO confirmed our registration and has not disowned it since
	confirmed  bool          // it did so at least once: whoever holds the id from then on is no earlier run of ours
	adopted    bool          // the registration is one that cannot be told from ours
	unsure     bool          // an attempt to register got no answer: CAIO may have it
	ttl        time.Duration // lease to ask for
	renews     bool          // CAIO grants leases: renew instead of reading
	state      string        // last reported
}

func newAnnouncement(c *Client, ct *contract.Contract) *announcement {
	once := *c
	once.maxAttempts = 1
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval, pace.Multiplier = 500*time.Millisecond, c.heartbeat, 2
	ttl := max(minLease, 3*c.heartbeat.Round(time.Second))
	return &announcement{client: &once, contract: ct, ttl: ttl, log: c.log.With("service_id", ct.ID, "caio", c.base.Host), pace: pace}
}

// step registers the service, or checks that it still is.
func (a *announcement) step(ctx context.Context) error {
	if a.registered && !a.renews {
		service, err := a.client.Service(ctx, a.contract.ID)
		switch {
		case errors.Is(err, ErrNotFound):
			a.log.Warn("CAIO forgot the service; registering again")
		case err != nil:
			return err
		case a.disowned(service):
			a.log.Warn("CAIO shows another contract under the service's id; trying to register again")
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
	a.unsure = err != nil && (a.unsure || mayHaveArrived(err))
	return err
}

// register registers or renews, and asks for a lease. Where CAIO refuses ttl_seconds, it registers without one, and asks for
// the longest lease that CAIO then offers. It sends no further request once ended is done.
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

// takeOver replaces the entry that keeps us from registering if an earlier run of ours left it behind. Else it returns
// refusal.
func (a *announcement) takeOver(ctx, ended context.Context, refusal error) error {
	service, err := a.client.Service(ctx, a.contract.ID)
	switch {
	case err != nil:
		return refusal
	case service.Contract == nil && a.resembles(service):
		a.log.Warn("CAIO has an entry that cannot be told from this service's; taking it for that of an earlier run")
		a.adopted = true
		return nil
	case service.Contract == nil || !a.servedHere(service.Contract):
		return refusal
	}
	a.log.Warn("replacing the entry that an earlier run left behind", "version", service.Version)
	if err := a.client.Unregister(ctx, a.contract.ID); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return a.register(ctx, ended)
}

// servedHere reports whether the contract names the address at which this service is.
func (a *announcement) servedHere(held *contract.Contract) bool {
	address := strings.TrimRight(a.contract.API.BaseURL, "/")
	own, err := url.Parse(address)
	if err != nil || strings.TrimRight(held.API.BaseURL, "/") != address {
		return false
	}
	return !access.IsLoopbackName(own.Hostname()) || access.IsLoopbackName(a.client.base.Hostname())
}

// resembles reports whether all that CAIO shows of an entry is as in our contract.
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

// mayHaveArrived reports whether CAIO may have done what it was asked although the call failed.
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

// disowned reports whether the entry under our id is somebody else's.
func (a *announcement) disowned(service *Service) bool {
	if service.Contract != nil {
		return !service.Contract.Equal(a.contract)
	}
	return service.Version != "" && service.Version != a.contract.Version
}

// pause returns how long to wait before the next step: the heartbeat, a fifth up or down, or a growing pause after a failure.
func (a *announcement) pause(err error) time.Duration {
	if err == nil {
		a.pace.Reset()
		return time.Duration(float64(a.client.heartbeat) * (0.8 + 0.4*rand.Float64()))
	}
	wait, _ := retryable(err)
	return max(a.pace.NextBackOff(), min(wait, maxRetryAfter))
}

// report logs err, nil for success, if the last report was another.
func (a *announcement) report(err error) {
	state, level, message := "registered", slog.LevelInfo, "registered with CAIO"
	var refusal *Error
	switch {
	case err == nil:
	case errors.Is(err, ErrUnauthorized):
		state, level, message = "unauthorized", slog.LevelError, "CAIO refuses the token; retrying until it is accepted"
	case errors.Is(err, errNoToken):
		state, level, message = "unauthorized", slog.LevelError, "there is no token for CAIO; retrying until there is"
	case errors.Is(err, ErrAlreadyRegistered):
		state, level, message = "taken", slog.LevelError, "the service's id is taken by another contract; retrying until that is unregistered"
	case errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError && !refusal.temporary():
		state, level, message = "refused", slog.LevelError, "CAIO refuses the registration; retrying. Check base URL and dialect"
	default:
		state, level, message = "unavailable", slog.LevelWarn, "CAIO is not available; retrying"
	}
	if !a.enter(state, err) {
		return
	}
	if err != nil {
		a.log.Log(context.Background(), level, message, "error", err)
		return
	}
	a.log.Log(context.Background(), level, message)
}

// enter reports whether the state is a new one, and tells it.
func (a *announcement) enter(state string, err error) bool {
	if state == a.state {
		return false
	}
	a.state = state
	a.client.states.set(a.contract.ID, state)
	a.client.announced(a.contract.ID, state, err)
	return true
}

// withdraw unregisters the service if it is registered, as far as known, by this announcement. c may try more than once.
func (a *announcement) withdraw(ended context.Context, c *Client) error {
	if !a.registered && !a.unsure {
		return nil
	}
	if a.adopted {
		a.log.Warn("leaving the entry, which may be another's, with CAIO")
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ended), withdrawTimeout)
	defer cancel()
	service, err := c.Service(ctx, a.contract.ID)
	if err == nil && (a.disowned(service) || service.Contract == nil && !a.registered) {
		a.log.Warn("leaving the entry, which is another's, with CAIO")
		return nil
	}
	if err == nil || errors.Is(err, ErrNotFound) { // it may be there all the same, where CAIO answers from a copy
		err = c.Unregister(ctx, a.contract.ID)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("the registration of %s may have remained: %w", a.contract.ID, err)
	}
	a.log.Info("withdrew the registration from CAIO")
	a.enter("withdrawn", nil)
	return nil
}
