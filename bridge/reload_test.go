package bridge_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A tenant is a provider that knows who called it and when it was closed.
type tenant struct {
	name    string
	handle  func(context.Context) error
	running atomic.Int64
	closed  atomic.Int64
	faults  func(format string, args ...any)
}

func (p *tenant) Routes() []bridge.Route {
	return shouter(func(ctx context.Context, _ shoutRequest, _ func(word) error) (shoutResponse, error) {
		p.running.Add(1)
		defer p.running.Add(-1)
		if p.handle != nil {
			if err := p.handle(ctx); err != nil {
				return shoutResponse{}, err
			}
		}
		if p.closed.Load() > 0 {
			p.faults("%s was called or closed while a call was in progress", p.name)
		}
		return shoutResponse{p.name}, nil
	}).Routes()
}

func (p *tenant) Close() error {
	if n := p.running.Load(); n > 0 {
		p.faults("%s was closed with %d calls in progress", p.name, n)
	}
	p.closed.Add(1)
	return nil
}

func newTenant(t *testing.T, name string, handle func(context.Context) error) *tenant {
	return &tenant{name: name, handle: handle, faults: t.Errorf}
}

// While a bridge is reloaded over and over no call fails, and every provider is closed once, after its last call.
func TestReloadDropsNoCall(t *testing.T) {
	t.Parallel()
	first := newTenant(t, "0", nil)
	b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 100"), first, nil)
	srv := serve(t, b)
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := post(t, srv, "/shout", `{"text": "a"}`); got.Status != 200 {
					t.Errorf("a call during reloads: %d %s", got.Status, got.Body)
				}
			}
		})
	}
	tenants := []*tenant{first}
	for i := range 50 {
		next := newTenant(t, strconv.Itoa(i+1), nil)
		if err := b.Reload(nil, next); err != nil {
			t.Error(err)
		}
		tenants = append(tenants, next)
		if got := post(t, srv, "/shout", `{"text": "a"}`); got.Body != `{"loud":"`+next.name+`"}` {
			t.Errorf("a call after the reload: %s, want %s", got.Body, next.name)
		}
	}
	close(stop)
	callers.Wait()
	last := tenants[len(tenants)-1]
	if err := b.Reload(nil, last); err != nil || last.closed.Load() != 0 {
		t.Errorf("reloading with the provider that serves: %v, closed %d times", err, last.closed.Load())
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for _, p := range tenants {
		if n := p.closed.Load(); n != 1 {
			t.Errorf("provider %s was closed %d times", p.name, n)
		}
	}
	if err := b.Reload(nil, newTenant(t, "late", nil)); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("Reload after Close = %v", err)
	}
}

// A call ends with the provider and by the contract that it began with; new ones have the new.
func TestCallsStayWithTheirContract(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	old := newTenant(t, "old", func(context.Context) error {
		close(begun)
		<-finish
		return nil
	})
	b := newBridge(t, loadContract(t), old, nil)
	srv := serve(t, b)
	answer := make(chan reply)
	go func() { answer <- post(t, srv, "/shout", `{"text": "a"}`) }()
	<-begun
	if err := b.Reload(loadContract(t, "version: 1.2.0", "version: 2.0.0", "max_concurrent_requests: 2", "max_concurrent_requests: 1"), newTenant(t, "new", nil)); err != nil {
		t.Fatal(err)
	}
	if got := post(t, srv, "/shout", `{"text": "a"}`); got.Status != 429 {
		t.Errorf("a call begun before the reload must count for the new limit: %d %s", got.Status, got.Body)
	}
	if old.closed.Load() != 0 {
		t.Error("the provider was closed before its last call ended")
	}
	close(finish)
	if got := <-answer; got.Body != `{"loud":"old"}` {
		t.Errorf("the call that began before the reload: %d %s", got.Status, got.Body)
	}
	if got := post(t, srv, "/shout", `{"text": "a"}`); got.Body != `{"loud":"new"}` {
		t.Errorf("a call after the reload: %d %s", got.Status, got.Body)
	}
	if err := b.Close(); err != nil || old.closed.Load() != 1 {
		t.Errorf("Close = %v, the old provider was closed %d times", err, old.closed.Load())
	}
	for _, path := range []string{"/health", "/contract", "/openapi.json"} {
		if got := get(t, srv, path); !strings.Contains(got.Body, `"version":"2.0.0"`) {
			t.Errorf("%s does not know of the reload: %s", path, got.Body)
		}
	}
}

func TestReloadRefuses(t *testing.T) {
	t.Parallel()
	p := newTenant(t, "old", nil)
	b := newBridge(t, loadContract(t), p, nil)
	srv := serve(t, b)
	better := []string{"max_concurrent_requests: 2", "max_concurrent_requests: 3"}
	worse := []string{"max_concurrent_requests: 2", "max_concurrent_requests: 1"}
	for name, test := range map[string]struct {
		edits    []string
		provider bridge.Provider
		want     []string // in the error; none if it is no error
	}{
		"worse under the same version":    {edits: worse, want: []string{"1.2.0 cannot take the place of 1.2.0", "constraints.max_concurrent_requests", "the version is still 1.2.0", "2.0.0"}},
		"worse under a minor version":     {edits: append(worse, "1.2.0", "1.3.0"), want: []string{"need a major one", "2.0.0"}},
		"better under the same version":   {edits: better, want: []string{"the version is still 1.2.0", "1.3.0"}},
		"back":                            {edits: []string{"1.2.0", "1.1.0"}, want: []string{"the version went back from 1.2.0 to 1.1.0"}},
		"another service":                 {edits: []string{"shouter-001", "shouter-002"}, want: []string{"serves shouter-001, and cannot become shouter-002"}},
		"a contract that nothing fulfils": {edits: []string{"1.2.0", "1.3.0", "- type: shouting", "- type: shouting\n    - type: whispering"}, want: []string{"capability whispering is served by no route"}},
		"a provider that does not fit":    {provider: routes{}, want: []string{"endpoint POST /shout of the contract has no route"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := b.Reload(loadContract(t, test.edits...), test.provider)
			if err == nil {
				t.Fatal("Reload took it")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
			if got := get(t, srv, "/contract"); !strings.Contains(got.Body, `"version":"1.2.0"`) || !strings.Contains(got.Body, `"max_concurrent_requests":2`) {
				t.Errorf("the refused contract is served: %s", got.Body)
			}
			if got := post(t, srv, "/shout", `{"text": "a"}`); got.Body != `{"loud":"old"}` || p.closed.Load() != 0 {
				t.Errorf("after a refused reload: %s", got.Body)
			}
		})
	}
	if err := b.Reload(loadContract(t, append(better, "1.2.0", "1.3.0")...), nil); err != nil {
		t.Errorf("better under a minor version: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// A recorder is an announcer that writes down what is announced and withdrawn.
type recorder struct {
	mu    sync.Mutex
	notes []string
}

func (r *recorder) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, s)
}

func (r *recorder) Announce(ctx context.Context, c *contract.Contract) error {
	r.note("announced " + c.Version + " at " + c.API.BaseURL)
	<-ctx.Done()
	r.note("withdrew " + c.Version)
	if c.Version == "2.0.0" {
		return errors.New("the orchestrator does not answer")
	}
	return nil
}

// A new contract is announced in the old one's place, once, and where the bridge can be reached; a new provider is nobody's
// business.
func TestReloadAnnouncesAgain(t *testing.T) {
	t.Parallel()
	var r recorder
	var log logBuffer
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Announcer: &r, Logger: log.logger(), BaseURL: "http://shouter.internal:9"})
		inBubble(t, b, func(*http.Client) {
			reload := func(c *contract.Contract, p bridge.Provider) {
				synctest.Wait()
				if err := b.Reload(c, p); err != nil {
					t.Error(err)
				}
			}
			reload(loadContract(t, "1.2.0", "1.2.1"), nil)
			reload(nil, shouter(shout))
			reload(loadContract(t, "1.2.0", "1.2.1"), nil)
			reload(loadContract(t, "1.2.0", "2.0.0"), nil)
			reload(loadContract(t, "1.2.0", "2.1.0"), nil)
			synctest.Wait()
			time.Sleep(time.Minute)
		})
	})
	var want []string
	for _, version := range []string{"1.2.0", "1.2.1", "2.0.0", "2.1.0"} {
		want = append(want, "announced "+version+" at http://shouter.internal:9", "withdrew "+version)
	}
	if diff := cmp.Diff(want, r.notes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(log.String(), "the service may still be announced") {
		t.Errorf("a withdrawal that failed is not in the log:\n%s", log.String())
	}
	if lines := strings.Split(log.String(), "\n"); !slices.ContainsFunc(lines, func(l string) bool {
		return strings.Contains(l, "msg=reloaded") && strings.Contains(l, "version=2.1.0 version_before=2.0.0 new_provider=false")
	}) {
		t.Errorf("a reload is not in the log:\n%s", log.String())
	}
}

// stubborn is an orchestrator that finds fault with version 2.0.0.
type stubborn struct{ recorder }

func (s *stubborn) Announce(ctx context.Context, c *contract.Contract) error {
	if c.Version == "2.0.0" {
		s.note("refused " + c.Version)
		return errors.New("INVALID_CONTRACT")
	}
	return s.recorder.Announce(ctx, c)
}

// A new contract that the orchestrator refuses ended the bridge, and cut off the calls in progress. It is announced no longer, and
// goes on.
func TestReloadOutlastsRefusal(t *testing.T) {
	t.Parallel()
	var s stubborn
	var log logBuffer
	synctest.Test(t, func(t *testing.T) {
		b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Announcer: &s, Logger: log.logger(), BaseURL: "http://shouter.internal:9"})
		inBubble(t, b, func(client *http.Client) {
			for _, version := range []string{"2.0.0", "2.1.0"} {
				synctest.Wait()
				if err := b.Reload(loadContract(t, "1.2.0", version), nil); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Hour)
				if got := send(t, client, newRequest(t, "POST", shoutURL, `{"text": "a"}`)); got.Status != 200 {
					t.Errorf("a call of %s: %d %s", version, got.Status, got.Body)
				}
			}
		})
	})
	const at = " at http://shouter.internal:9"
	want := []string{"announced 1.2.0" + at, "withdrew 1.2.0", "refused 2.0.0", "announced 2.1.0" + at, "withdrew 2.1.0"}
	if diff := cmp.Diff(want, s.notes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(log.String(), "level=ERROR msg=\"the reloaded contract cannot be announced") || !strings.Contains(log.String(), "cause=INVALID_CONTRACT") {
		t.Errorf("the log does not say so:\n%s", log.String())
	}
}

// A job goes on with its provider, which is closed when the job has ended.
func TestReloadKeepsJobs(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	old := newTenant(t, "old", func(context.Context) error { close(begun); <-finish; return nil })
	b := newBridge(t, loadContract(t), old, nil)
	srv := serve(t, b)
	job := post(t, srv, "/shout", `{"text": "a"}`, "Prefer", "respond-async").Header.Get("Location")
	<-begun
	if err := b.Reload(nil, newTenant(t, "new", nil)); err != nil {
		t.Fatal(err)
	}
	if old.closed.Load() != 0 {
		t.Error("the provider of a job in progress was closed")
	}
	close(finish)
	if events := get(t, srv, job, "Accept", "text/event-stream").Body; !strings.Contains(events, `{"loud":"old"}`) {
		t.Errorf("the job's events: %s", events)
	}
	if err := b.Close(); err != nil || old.closed.Load() != 1 {
		t.Errorf("Close = %v; the job's provider was closed %d times", err, old.closed.Load())
	}
}
