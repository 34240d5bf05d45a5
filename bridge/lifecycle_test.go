package bridge_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A diary notes what happens, by the second.
type diary struct {
	mu      sync.Mutex
	start   time.Time
	entries []string
}

func (d *diary) note(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, time.Since(d.start).Round(time.Second).String()+" "+what)
}

// A noted provider is ready after three seconds. Its calls end when they are told to, or not at all.
type noted struct {
	bridge.Provider
	*diary
}

func (p noted) CheckHealth(context.Context) error {
	if time.Since(p.start) < 3*time.Second {
		return errors.New("warming up")
	}
	return nil
}

func (p noted) Close() error {
	p.note("provider closed")
	return nil
}

// Announce takes two seconds to withdraw.
func (d *diary) Announce(ctx context.Context, _ *contract.Contract) error {
	d.note("announced")
	<-ctx.Done()
	time.Sleep(2 * time.Second)
	d.note("withdrawn")
	return nil
}

// Listen, be ready, announce, serve; then withdraw, be unready, drain, cut off, close.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{start: time.Now()}
		p := noted{shouter(func(ctx context.Context, req shoutRequest, _ func(word) error) (shoutResponse, error) {
			if req.Text == "endless" {
				<-ctx.Done()
				d.note("call cut off")
				return shoutResponse{}, ctx.Err()
			}
			time.Sleep(10 * time.Second)
			d.note("call ended")
			return shoutResponse{"DONE"}, nil
		}), d}
		b := newBridge(t, loadContract(t), p, &bridge.Options{Announcer: d, Timeouts: bridge.Timeouts{Drain: 20 * time.Second}})
		ln := memnet.Listen()
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- b.Serve(ctx, ln) }()
		state := func() {
			res, err := ln.Client().Do(newRequest(t, "GET", "http://localhost:8082/readyz", ""))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			d.note(http.StatusText(res.StatusCode))
		}
		state() // listening comes first
		time.Sleep(4 * time.Second)
		state()
		call := func(text string) {
			got := send(t, ln.Client(), newRequest(t, "POST", shoutURL, `{"text": "`+text+`"}`))
			d.note(text + " answered " + http.StatusText(got.Status))
		}
		var calls sync.WaitGroup
		calls.Go(func() { call("endless") })
		calls.Go(func() { call("short") })
		time.Sleep(time.Second)
		stop()
		time.Sleep(time.Second)
		state() // while it is withdrawn: callers may still have its address
		time.Sleep(2 * time.Second)
		state() // load balancers see it
		call("late")
		calls.Wait()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
		want := []string{
			"0s Service Unavailable", "3s announced", "4s OK",
			"6s OK", "7s withdrawn", "8s Service Unavailable", "8s late answered Service Unavailable",
			"14s call ended", "14s short answered OK",
			"27s call cut off", "27s endless answered Service Unavailable", "27s provider closed",
		}
		if diff := cmp.Diff(want, d.entries); diff != "" {
			t.Errorf("life (-want +got):\n%s", diff)
		}
	})
}

// A service that is stopped before it was ready was never announced.
func TestStopBeforeReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{start: time.Now()}
		b := newBridge(t, loadContract(t), noted{shouter(shout), d}, &bridge.Options{Announcer: d})
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		defer stop()
		if err := b.Serve(ctx, memnet.Listen()); err != nil {
			t.Errorf("Serve = %v", err)
		}
		if diff := cmp.Diff([]string{"2s provider closed"}, d.entries); diff != "" {
			t.Errorf("life (-want +got):\n%s", diff)
		}
	})
}
