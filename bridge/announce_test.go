package bridge_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/memnet"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// inBubble serves b in memory for the length of one synctest bubble.
func inBubble(t *testing.T, b *bridge.Bridge, f func(client *http.Client)) {
	ln := memnet.Listen()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx, ln) }()
	f(ln.Client())
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

const shoutURL = "http://localhost:8082/shout"

func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handle  func(ctx context.Context) error
		took    time.Duration // until the caller is answered
		holding time.Duration // until the slot is free
	}{
		"a handler that heeds its context": {
			handle: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			took:   3 * time.Second, holding: 3 * time.Second,
		},
		"a handler that hides why it ended": {
			handle: func(ctx context.Context) error {
				<-ctx.Done()
				return &bridge.Error{Code: bridge.CodeUpstreamFailed, Detail: "connection closed"}
			},
			took: 3 * time.Second, holding: 3 * time.Second,
		},
		"a handler that ignores its context": {
			handle: func(context.Context) error { time.Sleep(10 * time.Second); return nil },
			took:   3100 * time.Millisecond, holding: 10 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
					return shoutResponse{"A"}, test.handle(ctx)
				}, bridge.Timeout(3*time.Second))
				b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 1"), p, nil)
				inBubble(t, b, func(client *http.Client) {
					start := time.Now()
					got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`))
					if p := got.problem(t); got.Status != 504 || p.Code != "timeout" || !p.Retryable {
						t.Errorf("answer = %d %s, want 504 timeout", got.Status, got.Body)
					}
					if took := time.Since(start); took != test.took {
						t.Errorf("answered after %v, want %v", took, test.took)
					}
					time.Sleep(test.holding - time.Since(start) - time.Millisecond)
					if time.Since(start) < test.holding && test.took < test.holding {
						if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`)); got.Status != 429 {
							t.Errorf("while the call goes on its slot must stay taken, got %d", got.Status)
						}
					}
					time.Sleep(2 * time.Millisecond)
					synctest.Wait()
					if got := send(t, client, newRequest(t, "GET", "http://localhost:8082/health", "")); !strings.Contains(got.Body, `"calls_in_progress":0`) {
						t.Errorf("the slot was not freed: %s", got.Body)
					}
				})
			})
		})
	}
}

// A caller who says how long it waits (RFC 7240) is answered in that time, and no caller gets more than the route allows.
func TestCallerThatWaitsNoLonger(t *testing.T) {
	t.Parallel()
	for prefer, took := range map[string]time.Duration{
		"wait=2":                    2 * time.Second,
		"handling=strict, WAIT=2":   2 * time.Second,
		"wait=60":                   10 * time.Second,
		"wait=0":                    10 * time.Second,
		"wait=99999999999999999":    10 * time.Second,
		"wait=-1":                   10 * time.Second,
		"waiting=2, return=minimal": 10 * time.Second,
	} {
		t.Run(prefer, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
					<-ctx.Done()
					return shoutResponse{}, ctx.Err()
				}, bridge.Timeout(10*time.Second))
				inBubble(t, newBridge(t, loadContract(t), p, nil), func(client *http.Client) {
					start := time.Now()
					got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`, "Prefer", prefer))
					if p := got.problem(t); p.Code != "timeout" || time.Since(start) != took {
						t.Errorf("after %v: %d %s, want a timeout after %v", time.Since(start), got.Status, got.Body, took)
					}
				})
			})
		})
	}
}

func TestCallerThatLeaves(t *testing.T) {
	t.Parallel()
	var log logBuffer
	started, ended := make(chan struct{}), make(chan error, 1)
	srv := serve(t, newBridge(t, loadContract(t), shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return shoutResponse{}, errors.New("upstream: request cancelled")
	}), &bridge.Options{Logger: log.logger()}))

	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-started
		leave()
	}()
	_, err := srv.Client().Do(newRequest(t, "POST", srv.URL+"/shout", `{"text": "a"}`).WithContext(ctx))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Do = %v, want context.Canceled", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v, want context.Canceled", err)
	}
	for inProgress(t, srv) != 0 {
		// the handler is on its way out
	}
	srv.Close() // waits for the exchange to be logged
	if !strings.Contains(log.String(), "code=client_closed_request") || !strings.Contains(log.String(), "status=499") {
		t.Errorf("the log does not say that the caller left:\n%s", log.String())
	}
}

// An announcer that records what it was asked to do, and when.
type announcer struct {
	announced chan string // base URLs
	withdrawn chan struct{}
	err       error
}

func newAnnouncer() *announcer {
	return &announcer{announced: make(chan string, 1), withdrawn: make(chan struct{})}
}

func (a *announcer) Announce(ctx context.Context, c *contract.Contract) error {
	if a.err != nil {
		return a.err
	}
	a.announced <- c.API.BaseURL
	<-ctx.Done()
	close(a.withdrawn)
	return nil
}

// closer is a provider that says when it is closed.
type closer struct {
	bridge.Provider
	closed chan struct{}
}

func (c closer) Close() error {
	close(c.closed)
	return nil
}

func TestStopIsOrderly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAnnouncer()
		p := closer{shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
			time.Sleep(5 * time.Second)
			select {
			case <-a.withdrawn:
			default:
				t.Error("a call drains, but the service is still announced")
			}
			return shoutResponse{"DONE"}, nil
		}), make(chan struct{})}
		b := newBridge(t, loadContract(t), p, &bridge.Options{Announcer: a})
		ln := memnet.Listen()
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- b.Serve(ctx, ln) }()
		if url := <-a.announced; url != "http://localhost:8082" {
			t.Errorf("announced %s, want the contract's base_url", url)
		}
		answered := make(chan reply, 1)
		go func() { answered <- send(t, ln.Client(), newRequest(t, "POST", shoutURL, `{"text": "a"}`)) }()
		time.Sleep(time.Second)
		stop()
		if got := <-answered; got.Body != `{"loud":"DONE"}` {
			t.Errorf("the call in progress got %d %s", got.Status, got.Body)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
		select {
		case <-p.closed:
		default:
			t.Error("the provider was not closed")
		}
	})
}

func TestStopCutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
			<-ctx.Done()
			return shoutResponse{}, ctx.Err()
		}), &bridge.Options{Timeouts: bridge.Timeouts{Drain: 2 * time.Second}})
		ln := memnet.Listen()
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- b.Serve(ctx, ln) }()
		answered := make(chan reply, 1)
		go func() { answered <- send(t, ln.Client(), newRequest(t, "POST", shoutURL, `{"text": "a"}`)) }()
		time.Sleep(time.Second)
		start := time.Now()
		stop()
		got := <-answered
		if p := got.problem(t); got.Status != 503 || p.Code != "unavailable" || !p.Retryable {
			t.Errorf("the call that was cut off got %d %s, want 503", got.Status, got.Body)
		}
		if took := time.Since(start); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("it was cut off after %v, want DrainTimeout", took)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

// A bridge that could not listen kept its provider open, and its store locked.
func TestRunThatCannotListen(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := newTenant(t, "old", nil)
	err = newBridge(t, loadContract(t), p, nil).Run(t.Context(), ln.Addr().String())
	if !errors.Is(err, syscall.EADDRINUSE) || p.closed.Load() != 1 {
		t.Errorf("Run = %v; the provider was closed %d times", err, p.closed.Load())
	}
}

// hanging does not close.
type hanging struct{ bridge.Provider }

func (hanging) Close() error { time.Sleep(time.Hour); return nil }

func TestProviderThatDoesNotClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		err := newBridge(t, loadContract(t), hanging{shouter(shout)}, nil).Close()
		if took := time.Since(begin); took != 10*time.Second || err == nil || !strings.Contains(err.Error(), "close provider: it takes longer than 10s") {
			t.Errorf("Close = %v after %v", err, took)
		}
		time.Sleep(time.Hour)
	})
}

func TestServeEndsWhenAnnouncingFailsForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAnnouncer()
		a.err = errors.New("the registry refuses the contract")
		b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Announcer: a})
		err := b.Serve(t.Context(), memnet.Listen())
		if !errors.Is(err, a.err) || !strings.Contains(err.Error(), "announce shouter-001") {
			t.Errorf("Serve = %v, want the announcer's error", err)
		}
	})
}

// How the announcement stands is shown and measured, and does not make a bridge unready.
func TestAnnouncementIsShown(t *testing.T) {
	t.Parallel()
	i := instrument(t)
	synctest.Test(t, func(t *testing.T) {
		a := &telling{announcer: newAnnouncer()}
		i.opts.Announcer = a
		inBubble(t, newBridge(t, loadContract(t), shouter(shout), &i.opts), func(client *http.Client) {
			<-a.announced
			for _, test := range []struct {
				state   bridge.AnnouncementState
				ready   string
				measure map[string]float64
			}{
				{"", `{"status":"ok"}`, map[string]float64{}},
				{"registered", `{"status":"ok","announcement":"registered"}`, map[string]float64{"caio.bridge.announcement.state=registered caio.bridge.service_id=shouter-001": 1}},
				{"unavailable", `{"status":"ok","announcement":"unavailable"}`, map[string]float64{"caio.bridge.announcement.state=unavailable caio.bridge.service_id=shouter-001": 0}},
			} {
				if test.state != "" {
					a.report("shouter-001", test.state, nil)
					a.report("another", "withdrawn", nil)
				}
				got := send(t, client, newRequest(t, "GET", "http://localhost:8082/readyz", ""))
				if got.Status != 200 || strings.TrimSpace(got.Body) != test.ready {
					t.Errorf("/readyz = %d %s, want 200 %s", got.Status, got.Body, test.ready)
				}
				health := send(t, client, newRequest(t, "GET", "http://localhost:8082/health", ""))
				if health.Status != 200 || strings.Contains(health.Body, `"announcement":"`+string(test.state)+`"`) != (test.state != "") {
					t.Errorf("/health = %d %s", health.Status, health.Body)
				}
				if diff := cmp.Diff(test.measure, i.sums(t, "caio.bridge.announced")); diff != "" {
					t.Errorf("measured (-want +got):\n%s", diff)
				}
			}
		})
		a.report("shouter-001", "registered", nil)
		if got := i.sums(t, "caio.bridge.announced"); len(got) != 0 {
			t.Errorf("measured after the end: %v", got)
		}
	})
}

// telling is an announcer that reports its states.
type telling struct {
	*announcer
	report func(serviceID string, state bridge.AnnouncementState, reason error)
}

func (a *telling) ReportAnnouncements(report func(string, bridge.AnnouncementState, error)) {
	a.report = report
}

func TestAnnouncedAddress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ inContract, option, want string }{
		"the contract's own":          {"http://localhost:8082", "", "http://localhost:8082"},
		"loopback, but another port":  {"http://localhost:9999", "", "http://localhost:8082"},
		"a public name is the truth":  {"https://shout.example.com", "", "https://shout.example.com"},
		"the operator's word decides": {"http://localhost:8082", "https://shout.example.com", "https://shout.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAnnouncer()
				b := newBridge(t, loadContract(t, "http://localhost:8082", test.inContract), shouter(shout), &bridge.Options{Announcer: a, BaseURL: test.option})
				inBubble(t, b, func(*http.Client) {
					if got := <-a.announced; got != test.want {
						t.Errorf("announced %s, want %s", got, test.want)
					}
				})
			})
		})
	}
}
