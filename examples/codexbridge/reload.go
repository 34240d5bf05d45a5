package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// reloadOnSignal calls reload at every signal until stop is called. It logs errors.
func reloadOnSignal(signals <-chan os.Signal, reload func() error, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-signals:
				if err := reload(); err != nil {
					log.Error("reload failed: the previous configuration stays in use", "cause", err)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// reload reads contract, key and tokens again and passes them to the bridge. It interrupts no call.
// After an error the previous ones stay in use.
func reload(b *bridge.Bridge, cfg *config, model codex.Options, keys *keyring) error {
	next, err := readSecrets(cfg.getenv)
	if err != nil {
		return err
	}
	ct, err := chooseContract(cfg)
	if err != nil {
		return err
	}
	model.APIKey = next.apiKey
	provider, err := codex.New(&model)
	if err != nil {
		return err
	}
	if err := b.Reload(ct, provider); err != nil {
		return errors.Join(err, provider.Close())
	}
	if cfg.caioURL == "" {
		next.caioToken = cfg.caioToken // the built-in registry cannot change its token
	}
	keys.set(next)
	return nil
}
