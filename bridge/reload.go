package bridge

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/smarthaus/caio-bridge-go/bridge/limits"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// Reload replaces the contract, the provider or both, from the next request on; nil leaves what there is. It is how a
// bridge takes on a new version of its contract, or a provider that was made with a new key. No call is dropped: those
// in progress end with what they began with, and count for the new limits. The provider that is replaced is closed, if it
// is an [io.Closer], when its last call has ended. The service is announced anew if the contract has changed, for which
// the orchestrator is without it for the time of two requests. If the orchestrator refuses the new contract for good, the log
// says so, and the bridge serves without being announced until it is reloaded again.
//
// Reload returns an error, and changes nothing, if contract and provider do not fit (see [New]), or if the contract
// breaks its word: it may keep its version only if it promises and demands the same, and otherwise must make the step
// that [contract.Diff] finds. The id must stay. A provider that is not taken on is still the caller's to close. What
// [Options.Authenticate] accepts is its own matter: it may change at any time.
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
	if p != nil && !provider.isOf(p) {
		provider = newTenure(p)
	}
	s, err := b.newService(c, provider)
	if err != nil {
		return err
	}
	if l, ok := b.limiter.(interface{ Change(limits.Limits) }); ok {
		l.Change(limitsOf(c))
	}
	b.service.Store(s)
	if provider != old.provider {
		b.release(old)
	}
	if b.stopAnnouncing != nil && !c.Equal(old.contract) {
		b.stopAnnouncing()
	}
	b.log.Info("reloaded", "service_id", c.ID, "version", c.Version, "version_before", old.contract.Version, "new_provider", provider != old.provider)
	return nil
}

// checkSuccessor refuses a contract that breaks what callers were promised under the version that it has.
func checkSuccessor(old, c *contract.Contract) error {
	if c.ID != old.ID {
		return fmt.Errorf("bridge: Reload: this bridge serves %s, and cannot become %s: start another bridge for it", old.ID, c.ID)
	}
	if changes := contract.Diff(old, c); changes.VersionError != "" {
		return fmt.Errorf("bridge: Reload: contract %s %s cannot take the place of %s:\n%s", c.ID, c.Version, old.Version, changes)
	}
	return nil
}

// A tenure is the time in which a provider serves: from its first service to the end of its last call.
type tenure struct {
	Provider
	users atomic.Int64 // calls, and one for the services that new calls go to
	close func() error // does it once
}

func newTenure(p Provider) *tenure {
	t := &tenure{Provider: p, close: sync.OnceValue(func() error { return closeProvider(p) })}
	t.users.Store(1)
	return t
}

// isOf reports whether p is the provider. Providers that cannot be compared are different ones.
func (t *tenure) isOf(p Provider) bool { return reflect.ValueOf(p).Comparable() && t.Provider == p }

// acquire counts one more user, unless there is none any more.
func (t *tenure) acquire() bool {
	for {
		n := t.users.Load()
		if n == 0 {
			return false
		}
		if t.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// acquire returns the service that new calls go to. Its provider stays open until release is called.
func (b *Bridge) acquire() *service {
	for {
		if s := b.service.Load(); s.provider.acquire() {
			return s
		} // else it has been replaced just now
	}
}

// release ends what acquire began. The last user of a provider that was replaced closes it.
func (b *Bridge) release(s *service) {
	if s.provider.users.Add(-1) > 0 {
		return
	}
	if err := s.provider.close(); err != nil {
		b.log.Warn("the provider that was replaced does not close", "cause", err)
	}
}
