package inflight_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/inflight"
)

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c inflight.Counter
		if !c.Wait(t.Context()) {
			t.Error("Wait without work = false")
		}
		for round := range 2 {
			start := time.Now()
			c.Go(func() { time.Sleep(time.Second) })
			c.Go(func() { time.Sleep(2 * time.Second) })
			if got := c.Count(); got != 2 {
				t.Errorf("Count = %d, want 2", got)
			}
			short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if c.Wait(short) {
				t.Error("Wait = true before the end of the work")
			}
			cancel()
			if !c.Wait(t.Context()) || time.Since(start) != 2*time.Second || c.Count() != 0 {
				t.Errorf("round %d: Wait returned after %v with %d in progress", round, time.Since(start), c.Count())
			}
		}
	})
}
