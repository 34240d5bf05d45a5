// Package announcer keeps a service announced while its contract changes.
package announcer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/announce"
)

// A Loop announces the current contract, again after each Renew. It is safe for concurrent use.
type Loop struct {
	Log *slog.Logger

	// Current returns the contract to announce.
	Current func() (*contract.Contract, error)

	// Ready waits until callers may come. It reports false if ctx ends first.
	Ready func(ctx context.Context) bool

	// Announce announces a contract until ctx ends.
	Announce func(ctx context.Context, c *contract.Contract) error

	mu    sync.Mutex
	state announce.State     // "" if unknown
	stop  context.CancelFunc // ends the current Announce; nil if there is none
}

// State returns the last state of SetState.
func (l *Loop) State() announce.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// SetState stores a state of the announcement.
func (l *Loop) SetState(state announce.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = state
}

// Renew ends the current announcement, so that Run announces the current contract.
func (l *Loop) Renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
	}
}

func (l *Loop) setStop(stop context.CancelFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop = stop
}

// Run announces until ctx ends. It returns an error if the first contract cannot be announced for
// good. The error of a later one does not end Run, because the bridge has calls in progress.
func (l *Loop) Run(ctx context.Context) error {
	for first := true; ; first = false {
		current, stop := context.WithCancel(ctx)
		l.setStop(stop)
		c, err := l.Current() // after setStop: a Renew from here on ends this announcement
		if err == nil && l.Ready(current) {
			err = panics.Recover(func() error { return l.Announce(current, c) })
		}
		stopped := current.Err() != nil
		switch {
		case stopped && err != nil:
			l.Log.Warn("the service may still be announced", "cause", err)
		case !stopped && err == nil:
			err = errors.New("the announcer gave up without a reason")
		}
		if !stopped && first {
			stop()
			if c == nil {
				return fmt.Errorf("announce: %w", err)
			}
			return fmt.Errorf("announce %s: %w", c.ID, err)
		}
		if !stopped {
			l.Log.Error("the reloaded contract cannot be announced: the service is not announced until another reload",
				"cause", err)
			<-current.Done()
		}
		stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}
