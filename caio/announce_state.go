package caio

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/smarthaus/caio-bridge-go/internal/announce"
)

// ReportAnnouncements calls report at each change of the state of an announcement by this client,
// with the reason if there is one. It implements the AnnouncementReporter of package bridge. The
// states are:
//
//	registering    CAIO has not answered yet
//	registered     CAIO has the service
//	conflict       another contract has the id
//	unauthorized   CAIO refuses the token, or there is none
//	refused        CAIO refuses for another reason
//	unavailable    CAIO does not answer
//	withdrawn      the announcement has ended
//
// [Client.Announce] calls report synchronously, so keep it fast. After several calls of
// ReportAnnouncements, Announce calls every function.
func (c *Client) ReportAnnouncements(report func(serviceID string, state announce.State, reason error)) {
	c.reports.mu.Lock()
	defer c.reports.mu.Unlock()
	c.reports.list = append(c.reports.list, report)
}

// reports holds the functions of ReportAnnouncements. It is safe for concurrent use.
type reports struct {
	mu   sync.Mutex
	list []func(serviceID string, state announce.State, reason error)
}

// report sets the state after a step with err, and logs a change.
func (a *announcement) report(err error) {
	state, level, message := classifyStep(err)
	switch {
	case !a.setState(state, err):
	case err != nil:
		a.log.Log(context.Background(), level, message, "error", err)
	default:
		a.log.Log(context.Background(), level, message)
	}
}

// classifyStep returns the state after a step with err, and its log line.
func classifyStep(err error) (state announce.State, level slog.Level, message string) {
	var refusal *Error
	switch {
	case err == nil:
		return announce.Registered, slog.LevelInfo, "registered with CAIO"
	case errors.Is(err, ErrUnauthorized):
		return announce.Unauthorized, slog.LevelError, "CAIO refuses the token; retrying until it accepts one"
	case errors.Is(err, errNoToken):
		return announce.Unauthorized, slog.LevelError, "there is no token for CAIO; retrying until there is one"
	case errors.Is(err, ErrAlreadyRegistered):
		return announce.Conflict, slog.LevelError, "another contract has the service's id; retrying until it is unregistered"
	case errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError && !refusal.temporary():
		return announce.Refused, slog.LevelError, "CAIO refuses the registration; retrying. Check base URL and dialect"
	}
	return announce.Unavailable, slog.LevelWarn, "CAIO is not available; retrying"
}

// setState reports a new state. It returns false for an unchanged state.
func (a *announcement) setState(state announce.State, reason error) bool {
	if state == a.state {
		return false
	}
	a.state = state
	a.client.reports.mu.Lock()
	list := slices.Clone(a.client.reports.list)
	a.client.reports.mu.Unlock()
	for _, report := range list {
		report(a.contract.ID, state, reason)
	}
	return true
}
