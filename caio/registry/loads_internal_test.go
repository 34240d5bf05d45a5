package registry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
)

// A few contracts are read at the same time; others wait, and are refused with a time to try again if it takes too long.
func TestLoadsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		loads, end := newLoadLimiter(), make(chan struct{})
		running := 0
		results := make(chan error)
		for range maxLoads + 1 {
			go func() {
				results <- loads.do(t.Context(), func() error {
					running++
					<-end
					return nil
				})
			}()
			synctest.Wait()
		}
		if running != maxLoads {
			t.Errorf("got %d running, want %d", running, maxLoads)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		checkBusy(t, loads.do(ctx, func() error { t.Error("it ran although its caller is gone"); return nil }))
		start := time.Now()
		checkBusy(t, <-results)
		if waited := time.Since(start); waited != maxLoadWait {
			t.Errorf("got a wait of %v, want %v", waited, maxLoadWait)
		}
		close(end)
		for range maxLoads {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if err := loads.do(t.Context(), func() error { return nil }); err != nil {
			t.Errorf("when others have finished: %v", err)
		}
	})
}

func checkBusy(t *testing.T, err error) {
	t.Helper()
	var refusal *caio.Error
	if !errors.As(err, &refusal) || refusal.Status != 503 || refusal.Code != "REGISTRY_BUSY" || refusal.RetryAfter <= 0 {
		t.Errorf("got %v, want 503 REGISTRY_BUSY with a time to try again", err)
	}
}
