package caio

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
)

// Announcement returns the state of a service's announcement by this client, as of the last call to
// CAIO:
//
//	registered     CAIO has the service
//	conflict       another contract has the id
//	unauthorized   CAIO refuses the token, or there is none
//	refused        CAIO refuses for another reason
//	unavailable    CAIO does not answer
//	withdrawn      the announcement has ended
//
// It returns "" for a service that was never announced.
func (c *Client) Announcement(serviceID string) string {
	state, _ := c.states.Load(serviceID)
	word, _ := state.(string)
	return word
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
func classifyStep(err error) (state string, level slog.Level, message string) {
	var refusal *Error
	switch {
	case err == nil:
		return "registered", slog.LevelInfo, "registered with CAIO"
	case errors.Is(err, ErrUnauthorized):
		return "unauthorized", slog.LevelError, "CAIO refuses the token; retrying until it accepts one"
	case errors.Is(err, errNoToken):
		return "unauthorized", slog.LevelError, "there is no token for CAIO; retrying until there is one"
	case errors.Is(err, ErrAlreadyRegistered):
		return "conflict", slog.LevelError, "another contract has the service's id; retrying until it is unregistered"
	case errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError && !refusal.temporary():
		return "refused", slog.LevelError, "CAIO refuses the registration; retrying. Check base URL and dialect"
	}
	return "unavailable", slog.LevelWarn, "CAIO is not available; retrying"
}

// setState records the state and calls Options.Announced. It returns false for an unchanged state.
func (a *announcement) setState(state string, err error) bool {
	if state == a.state {
		return false
	}
	a.state = state
	a.client.states.Store(a.contract.ID, state)
	a.client.announced(a.contract.ID, state, err)
	return true
}
