package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// reloadOnSignal reloads at every signal until stop is called.
func reloadOnSignal(signals <-chan os.Signal, reload func() error, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-signals:
				if err := reload(); err != nil {
					log.Error("not reloaded: all stays as it was", "cause", err)
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

// reload reads contract, key and tokens again, and gives them to the bridge. No call is dropped. If anything is wrong,
// nothing changes.
func reload(b *bridge.Bridge, cfg *config, model codex.Options, keys *keyring) error {
	changed, err := readSecrets(cfg.getenv)
	if err != nil {
		return err
	}
	ct, err := chooseContract(cfg)
	if err != nil {
		return err
	}
	model.APIKey = changed.apiKey
	provider, err := codex.New(&model)
	if err != nil {
		return err
	}
	if err := b.Reload(ct, provider); err != nil {
		return errors.Join(err, provider.Close())
	}
	if cfg.caioURL == "" {
		changed.caioToken = cfg.caioToken // the built-in registry's is for life
	}
	keys.change(changed)
	return nil
}
