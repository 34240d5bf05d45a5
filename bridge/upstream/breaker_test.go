package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// A patient is an upstream in memory whose state of health a test decides.
type patient struct {
	client *http.Client
	answer atomic.Int32 // status; 0 means none, until the caller goes
	asked  atomic.Int32
}

func newPatient(t *testing.T, opts upstream.Options) *patient {
	p := &patient{}
	p.answer.Store(200)
	opts.Attempts = 1
	opts.BreakAfter, opts.BreakFor = 4, 10*time.Second
	p.client = inMemory(t, opts, func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if code := p.answer.Load(); code != 0 {
			status(w, int(code), "")
			return
		}
		<-r.Context().Done()
	})
	return p
}

// get returns whether the upstream was asked, and what came of it.
func (p *patient) get(t *testing.T, ctx context.Context) (asked bool, err error) {
	before := p.asked.Load()
	_, _, err = send(p.client, newRequest(t, ctx, "GET", "http://x.test", ""))
	return p.asked.Load() > before, err
}

func (p *patient) fail(t *testing.T, code int32, times int) {
	p.answer.Store(code)
	for range times {
		_, _ = p.get(t, t.Context())
	}
}

func TestBreakerOpensProbesAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, upstream.Options{})
		p.fail(t, 503, 4)
		time.Sleep(3 * time.Second)

		asked, err := p.get(t, t.Context())
		open, ok := errors.AsType[*upstream.OpenError](err)
		if !ok || asked {
			t.Fatalf("after four failures: asked %v, error %v; want an OpenError without asking", asked, err)
		}
		if diff := cmp.Diff(&upstream.OpenError{Host: "x.test", RetryAfter: 7 * time.Second}, open); diff != "" {
			t.Errorf("error (-want +got):\n%s", diff)
		}

		time.Sleep(open.RetryAfter + time.Nanosecond)
		if asked, _ := p.get(t, t.Context()); !asked {
			t.Error("no probe after the rest")
		}
		if asked, _ := p.get(t, t.Context()); asked {
			t.Error("asked again right after a probe that failed")
		}

		p.answer.Store(200)
		time.Sleep(10*time.Second + time.Nanosecond)
		for range 2 {
			if asked, err := p.get(t, t.Context()); !asked || err != nil {
				t.Errorf("after recovery: asked %v, error %v", asked, err)
			}
		}
	})
}

func TestWhatCountsAsFailure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		opts  upstream.Options
		do    func(*testing.T, *patient)
		opens bool
	}{
		{name: "500", do: func(t *testing.T, p *patient) { p.fail(t, 500, 4) }, opens: true},
		{name: "503", do: func(t *testing.T, p *patient) { p.fail(t, 503, 4) }, opens: true},
		{name: "429", do: func(t *testing.T, p *patient) { p.fail(t, 429, 20) }},
		{name: "404", do: func(t *testing.T, p *patient) { p.fail(t, 404, 20) }},
		{name: "failures between successes", do: func(t *testing.T, p *patient) {
			for range 20 {
				p.fail(t, 503, 3)
				p.fail(t, 200, 1)
			}
		}},
		{name: "failures between 429", do: func(t *testing.T, p *patient) {
			for range 20 {
				p.fail(t, 503, 3)
				p.fail(t, 429, 1)
			}
		}},
		{name: "no header in time", opts: upstream.Options{HeaderTimeout: time.Second}, do: func(t *testing.T, p *patient) { p.fail(t, 0, 4) }, opens: true},
		{name: "callers who cancel", do: func(t *testing.T, p *patient) {
			p.answer.Store(0)
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(30*time.Second, cancel)
				_, _ = p.get(t, ctx)
			}
		}},
		{name: "callers who found a stall", do: func(t *testing.T, p *patient) {
			p.answer.Store(0)
			for range 4 {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(11*time.Second, func() { cancel(fmt.Errorf("silence: %w", context.DeadlineExceeded)) })
				_, _ = p.get(t, ctx)
			}
		}, opens: true},
		{name: "callers in a hurry", do: deadlines(9 * time.Second)},
		{name: "callers who waited long", do: deadlines(10 * time.Second), opens: true},
		// A value from outside that ends up in a header must not close the way to the upstream for
		// everybody.
		{name: "requests that cannot be sent", do: func(t *testing.T, p *patient) {
			for range 20 {
				_, _, err := send(p.client, newRequest(t, t.Context(), "GET", "http://x.test", "", "X-User", "a\r\nb"))
				if err == nil {
					t.Fatal("a header with a line break was sent")
				}
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPatient(t, tt.opts)
				tt.do(t, p)
				p.answer.Store(200)
				asked, err := p.get(t, t.Context())
				if _, open := errors.AsType[*upstream.OpenError](err); open != tt.opens || asked == tt.opens {
					t.Errorf("asked %v, error %v; want open: %v", asked, err, tt.opens)
				}
			})
		})
	}
}

func deadlines(d time.Duration) func(*testing.T, *patient) {
	return func(t *testing.T, p *patient) {
		p.answer.Store(0)
		for range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			_, _ = p.get(t, ctx)
			cancel()
		}
	}
}

// A probe that its caller gives up says nothing and must not leave the breaker waiting for its
// result forever.
func TestProbeIsSingleAndCanBeGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, upstream.Options{})
		p.fail(t, 503, 4)
		time.Sleep(11 * time.Second)
		p.answer.Store(0)
		ctx, giveUp := context.WithCancel(t.Context())
		given := make(chan error, 1)
		go func() {
			_, err := p.get(t, ctx)
			given <- err
		}()
		synctest.Wait()

		asked, err := p.get(t, t.Context())
		if open, ok := errors.AsType[*upstream.OpenError](err); !ok || asked || open.RetryAfter != 10*time.Second {
			t.Errorf("during the probe: asked %v, error %v; want an OpenError that names the time until the next one", asked, err)
		}

		giveUp()
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Errorf("the probe's caller got %v", err)
		}
		p.answer.Store(200)
		if asked, err := p.get(t, t.Context()); !asked || err != nil {
			t.Errorf("after the probe was given up: asked %v, error %v; want the next one", asked, err)
		}
	})
}

// A probe that takes long, as answers of models do, held up all calls until it was done.
func TestSlowProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ill atomic.Bool
		ill.Store(true)
		opts := upstream.Options{Attempts: 1, BreakAfter: 2, BreakFor: 9500 * time.Millisecond}
		client := inMemory(t, opts, func(w http.ResponseWriter, r *http.Request) {
			if ill.Load() {
				status(w, 503, "")
				return
			}
			time.Sleep(25 * time.Second)
		})
		get := func() error {
			_, _, err := send(client, newRequest(t, t.Context(), "GET", "http://x.test", ""))
			return err
		}
		_, _ = get(), get()
		ill.Store(false)
		var sent, refused atomic.Int32
		var calls sync.WaitGroup
		for second := range 50 { // the first ten of which the host is left alone
			calls.Go(func() {
				time.Sleep(time.Duration(second)*time.Second + 500*time.Millisecond)
				before := time.Now()
				switch _, open := errors.AsType[*upstream.OpenError](get()); {
				case open && second >= 10:
					refused.Add(1)
				case time.Since(before) > 0:
					sent.Add(1)
				}
			})
		}
		calls.Wait()
		if sent.Load() != 13 || refused.Load() != 27 {
			t.Errorf("%d calls were sent and %d refused after the rest; want those of seconds 10, 20 and 30 as probes, and all from second 40 on, when the first answer counts", sent.Load(), refused.Load())
		}
	})
}

// What was sent before the breaker opened and is answered only during the probe is not the probe's
// result.
func TestLateAnswersDecideNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var healthy atomic.Bool
		opts := upstream.Options{Attempts: 1, BreakAfter: 2, BreakFor: 10 * time.Second}
		client := inMemory(t, opts, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/late":
				<-release
			case r.URL.Path == "/probe":
				<-r.Context().Done()
			case !healthy.Load():
				status(w, 503, "")
			}
		})
		get := func(ctx context.Context, path string) error {
			_, _, err := send(client, newRequest(t, ctx, "GET", "http://x.test"+path, ""))
			return err
		}
		late, probe := make(chan error, 1), make(chan error, 1)
		go func() { late <- get(t.Context(), "/late") }()
		synctest.Wait()
		_, _ = get(t.Context(), "/"), get(t.Context(), "/")
		time.Sleep(11 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { probe <- get(ctx, "/probe") }()
		synctest.Wait()
		close(release)
		if err := <-late; err != nil {
			t.Error(err)
		}

		if _, open := errors.AsType[*upstream.OpenError](get(t.Context(), "/")); !open {
			t.Error("a late answer closed the breaker while the probe was on its way")
		}
		cancel()
		<-probe
	})
}

// A breaker that opens between attempts ends the retries: the caller gets what the upstream said
// last.
func TestOpenBreakerEndsRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen attempts
		client := inMemory(t, upstream.Options{Attempts: 5, BreakAfter: 2, Observe: seen.observe}, func(w http.ResponseWriter, r *http.Request) {
			status(w, 503, "down for maintenance")
		})
		code, body, err := send(client, newRequest(t, t.Context(), "GET", "http://x.test", ""))
		if got := len(seen.all()); got != 2 || code != 503 || body != "down for maintenance" || err != nil {
			t.Errorf("%d attempts, %d %q (%v); want the second 503", got, code, body, err)
		}
	})
}

// One host's trouble is not another's, and a caller who brings ever new hosts cannot fill the
// memory.
func TestHostsAreApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial := func(_ context.Context, _, addr string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		client, err := upstream.NewOver(upstream.Options{Attempts: 1, BreakAfter: 1, Proxy: http.ProxyURL(nil)}, dial)
		if err != nil {
			t.Fatal(err)
		}
		get := func(host string) error {
			_, _, err := send(client, newRequest(t, t.Context(), "GET", "http://"+host, ""))
			return err
		}
		_ = get("a.test")
		if _, open := errors.AsType[*upstream.OpenError](get("A.test")); !open {
			t.Error("the same host in capitals is let through")
		}
		if err := get("b.test"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("another host: %v, want it to be dialled", err)
		}
		for i := range 1000 {
			_ = get(fmt.Sprintf("%d.test", i))
		}
		if got := upstream.KnownOrigins(client); got > 256 {
			t.Errorf("%d hosts are remembered", got)
		}
	})
}

// An observer that panics kept the connection of the response that nobody got.
func TestObserverThatPanics(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	client := newClient(t, upstream.Options{MaxConnsPerHost: 1, Attempts: 1, Observe: func(context.Context, upstream.Attempt) { panic("seen too much") }}, srv.URL)
	for range 3 {
		func() {
			defer func() { _ = recover() }()
			res, err := client.Do(newRequest(t, t.Context(), "GET", srv.URL, ""))
			if err == nil {
				res.Body.Close()
			}
			t.Errorf("no panic, but %v", err)
		}()
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen attempts
		var asked atomic.Int32
		opts := upstream.Options{BreakAfter: 2, HeaderTimeout: time.Minute, Observe: seen.observe}
		client := inMemory(t, opts, func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == 1 {
				time.Sleep(time.Second)
				status(w, 502, "")
				return
			}
			<-r.Context().Done()
		})
		for range 2 {
			_, _, _ = send(client, newRequest(t, t.Context(), "GET", "http://x.test/v1?key=secret", ""))
		}

		got := seen.all()
		if len(got) != 3 {
			t.Fatalf("%d attempts were observed, want 3: %+v", len(got), got)
		}
		if got[0].Wait <= 0 || got[0].Wait > aPause || got[1].Err == nil || got[2].Err == nil {
			t.Errorf("attempts: %+v", got)
		}
		if _, open := errors.AsType[*upstream.OpenError](got[2].Err); !open {
			t.Errorf("the third attempt's error is %v, want an OpenError", got[2].Err)
		}
		if _, named := errors.AsType[*url.Error](got[1].Err); named {
			t.Errorf("the error tells the URL, which can hold secrets: %v", got[1].Err)
		}
		for i := range got {
			got[i].Wait, got[i].Err = 0, nil
		}
		want := []upstream.Attempt{
			{Method: "GET", Host: "x.test", Number: 1, Status: 502, Duration: time.Second},
			{Method: "GET", Host: "x.test", Number: 2, Duration: time.Minute},
			{Method: "GET", Host: "x.test", Number: 1},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
}
