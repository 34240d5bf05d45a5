package bridge

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/refcount"
	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// Reload replaces the contract, the provider or both, from the next request on. Nil keeps the
// current one. Use it for a new version of the contract, or a provider with a new key.
//
//   - Calls in progress end with the contract and the provider that they began with, and count for
//     the new limits (see [limits.Changer]).
//   - The replaced provider is closed, if it is an [io.Closer], after its last call.
//   - A changed contract is announced anew. For the time of two requests the orchestrator does not
//     list the service. If it refuses the new contract for good, the log says so, and the bridge
//     serves without an announcement until the next Reload.
//
// Reload returns an error, and changes nothing, if contract and provider do not fit (see [New]), if
// the id differs, or if the version does not say what changed: an equal version needs an equal
// contract, and another must make the step of [contract.Diff]. The caller still owns a provider
// that Reload refused. Options do not change. [Options.Authenticate] is a function and may change
// its tokens at any time.
func (b *Bridge) Reload(c *contract.Contract, p Provider) error {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	if b.draining.Load() {
		return errors.New("bridge: Reload: the bridge is stopping")
	}
	old := b.service.Load()
	if c == nil {
		c = old.contract
	}
	if err := checkSuccessor(old.contract, c); err != nil {
		return err
	}
	provider := old.provider
	if p != nil && !provider.wraps(p) {
		provider = newProviderRef(p)
	}
	s, err := b.newService(c, provider)
	if err != nil {
		return err
	}
	if l, ok := b.limiter.(limits.Changer); ok {
		l.Change(limitsOf(c))
	}
	b.service.Store(s)
	if provider != old.provider {
		b.releaseService(old)
	}
	if !c.Equal(old.contract) {
		b.announcement.Renew()
	}
	b.log.Info("reloaded", "service_id", c.ID, "version", c.Version, "version_before", old.contract.Version,
		"new_provider", provider != old.provider)
	return nil
}

// checkSuccessor refuses a contract that differs from its predecessor in more than its version
// says.
func checkSuccessor(old, c *contract.Contract) error {
	if c.ID != old.ID {
		return fmt.Errorf("bridge: Reload: this bridge serves %s, and cannot become %s: start another bridge for it",
			old.ID, c.ID)
	}
	if changes := contract.Diff(old, c); changes.VersionError != "" {
		return fmt.Errorf("bridge: Reload: contract %s %s cannot take the place of %s:\n%s",
			c.ID, c.Version, old.Version, changes)
	}
	return nil
}

// providerRef counts the users of a provider and closes it when the last one is done. The users are
// requests, handlers, health checks, and Bridge.service.
type providerRef struct {
	Provider
	*refcount.Ref
}

func newProviderRef(p Provider) *providerRef {
	return &providerRef{p, refcount.New(func() error { return closeProvider(p) })}
}

// wraps reports if p is the provider. Providers that cannot be compared are different.
func (r *providerRef) wraps(p Provider) bool {
	return reflect.ValueOf(p).Comparable() && r.Provider == p
}

// closeTimeout bounds the Close of a provider.
const closeTimeout = 10 * time.Second

func closeProvider(p Provider) error {
	closer, ok := p.(io.Closer)
	if !ok {
		return nil
	}
	closed := make(chan error, 1)
	go func() { closed <- panics.Recover(closer.Close) }()
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
