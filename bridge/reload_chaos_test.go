package bridge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A visited tenant is also asked how it is, and must not be when it is closed.
type visited struct{ *tenant }

func (p visited) CheckHealth(context.Context) error {
	if p.closed.Load() > 0 {
		p.faults("%s was asked how it is after it was closed", p.name)
	}
	return nil
}

// A soleAnnouncer knows how often the service is announced at a time.
type soleAnnouncer struct {
	now, most atomic.Int64
}

func (a *soleAnnouncer) Announce(ctx context.Context, _ *contract.Contract) error {
	if n := a.now.Add(1); n > a.most.Load() {
		a.most.Store(n)
	}
	defer a.now.Add(-1)
	<-ctx.Done()
	return nil
}

// Contract and provider change while callers of every kind come, ask twice, follow jobs and leave: no call fails, no provider
// is used when it is closed, the service is announced once at a time, and the bridge stops with nothing left.
func TestReloadAmidEverything(t *testing.T) {
	t.Parallel()
	tenants := []visited{{newTenant(t, "0", nil)}}
	announcer := &soleAnnouncer{}
	version := func(n int) *contract.Contract {
		return loadContract(t, "1.2.0", "1.2."+strconv.Itoa(n), "max_concurrent_requests: 2", "max_concurrent_requests: 1000")
	}
	b := newBridge(t, version(0), tenants[0], &bridge.Options{Announcer: announcer})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx, ln) }()
	client := newClient(t)
	base := "http://" + ln.Addr().String()

	var callers sync.WaitGroup
	reloaded := make(chan struct{})
	for range 6 {
		callers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-reloaded:
					return
				default:
				}
				comeOnce(t, client, base, n)
			}
		})
	}
	for n := range 15 {
		next := visited{newTenant(t, strconv.Itoa(n+1), nil)}
		tenants = append(tenants, next)
		if err := b.Reload(version(n+1), next); err != nil {
			t.Error(err)
		}
	}
	close(reloaded)
	callers.Wait()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	for _, p := range tenants {
		if n := p.closed.Load(); n != 1 {
			t.Errorf("provider %s was closed %d times", p.name, n)
		}
	}
	if announcer.now.Load() != 0 || announcer.most.Load() != 1 {
		t.Errorf("the service is announced %d times, and was up to %d times at once", announcer.now.Load(), announcer.most.Load())
	}
}

// comeOnce calls in one of the ways in which callers do.
func comeOnce(t *testing.T, client *http.Client, base string, n int) {
	key := fmt.Sprintf("k-%d-%d", n, rand.Uint64())
	body := `{"text": "a"}`
	switch n % 5 {
	case 0:
		first := send(t, client, newRequest(t, "POST", base+"/shout", body, "Idempotency-Key", key))
		again := send(t, client, newRequest(t, "POST", base+"/shout", body, "Idempotency-Key", key))
		if first.Status != 200 || again.Body != first.Body {
			t.Errorf("first %d %s, again %d %s", first.Status, first.Body, again.Status, again.Body)
		}
	case 1:
		got := send(t, client, newRequest(t, "POST", base+"/shout", body, wantEvents...))
		if got.Status != 200 || strings.Count(got.Body, "event: result\n") != 1 {
			t.Errorf("stream: %d %s", got.Status, got.Body)
		}
	case 2:
		got := fetchURL(t, client, "GET", begin(t, client, base, "a", "Idempotency-Key", key), wantEvents...)
		if strings.Count(got.Body, "event: result\n") != 1 {
			t.Errorf("job: %d %s", got.Status, got.Body)
		}
	case 3:
		if got := fetchURL(t, client, "GET", base+"/readyz?verbose"); got.Status != 200 {
			t.Errorf("readyz: %d %s", got.Status, got.Body)
		}
	case 4:
		ctx, leave := context.WithCancel(t.Context())
		go leave()
		if res, err := client.Do(newRequest(t, "POST", base+"/shout", body).WithContext(ctx)); err == nil {
			res.Body.Close()
		}
		leave()
	}
}
