package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxProbes    = 16 // at the same time
	probeTimeout = 5 * time.Second
)

// A prober checks the health of services.
type prober struct {
	client   *http.Client
	interval time.Duration
}

func (o *Options) checkProbes() error {
	if o.ProbeInterval != 0 && (o.ProbeInterval < time.Second || o.ProbeInterval > time.Hour) {
		return fmt.Errorf("ProbeInterval is %v, not within 1s and 1h", o.ProbeInterval)
	}
	return nil
}

func newProber(o *Options) *prober {
	if o.ProbeInterval == 0 {
		return nil
	}
	client := o.ProbeClient
	if client == nil {
		client = newProbeClient(!o.hasTokens())
	}
	return &prober{client: client, interval: o.ProbeInterval}
}

func newProbeClient(toThisMachine bool) *http.Client {
	dialer := &net.Dialer{Timeout: probeTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !mayProbe(to.Addr().Unmap(), toThisMachine) {
			return fmt.Errorf("health checks do not go to %s (Options.ProbeClient decides)", address)
		}
		return nil
	}}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10, TLSHandshakeTimeout: probeTimeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       probeTimeout,
	}
}

// mayProbe is asked after names were resolved, so that no name can point where no address may. Cloud providers answer
// secrets at link-local addresses.
func mayProbe(to netip.Addr, toThisMachine bool) bool {
	return !to.IsLinkLocalUnicast() && !to.IsMulticast() && !to.IsUnspecified() && (toThisMachine || !to.IsLoopback())
}

// Run does what goes on beside requests until ctx ends: it checks the health of the services if [Options].ProbeInterval
// says so, stores traces if there is a [Options].Store, and follows what other registries do if that is a [SharedStore]. Then
// it stores the last traces, and returns nil. A registry with neither need not run.
func (r *Registry) Run(ctx context.Context) error {
	var running sync.WaitGroup
	if r.prober != nil {
		running.Go(func() { r.probe(ctx) })
	}
	if r.store != nil {
		running.Go(func() { r.saveTraces(ctx) })
	}
	if r.replica != nil {
		running.Go(func() { r.follow(ctx) })
	}
	<-ctx.Done()
	running.Wait()
	return nil
}

// probe checks all services again and again, in random order and spread over the interval.
func (r *Registry) probe(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxProbes)
	for ctx.Err() == nil {
		r.sweep()
		round := slices.Clone(r.services.entries())
		rand.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		pause := r.prober.interval / time.Duration(max(1, len(round)))
		if len(round) == 0 {
			wait(ctx, pause)
		}
		for _, e := range round {
			wait(ctx, time.Duration((0.5+rand.Float64())*float64(pause)))
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			running.Go(func() {
				defer func() { <-slots }()
				r.check(ctx, e)
			})
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// check asks a service once, and takes note of the outcome.
func (r *Registry) check(ctx context.Context, e *entry) {
	err := r.prober.ask(ctx, e)
	if ctx.Err() != nil || !e.presence.checked(err == nil) {
		return
	}
	r.services.changes.Add(1)
	if err != nil {
		r.log.Warn("the service is unhealthy", "service_id", e.contract.ID, "error", err)
		return
	}
	r.log.Info("the service is healthy again", "service_id", e.contract.ID)
}

// ask returns why the service is not well, nil if it is.
func (p *prober) ask(ctx context.Context, e *entry) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	target, worst := probeTarget(e)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "caio-registry-health")
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode >= worst {
		return fmt.Errorf("GET %s answers %s", target, response.Status)
	}
	return nil
}

// probeTarget returns what to ask, and the status from which on the answer means that the service is not well.
func probeTarget(e *entry) (target string, worst int) {
	base := strings.TrimRight(e.contract.API.BaseURL, "/")
	for _, endpoint := range e.endpoints {
		name := path.Base(endpoint.Path)
		if endpoint.Method == http.MethodGet && slices.Contains([]string{"health", "healthz", "readyz", "livez"}, name) && !strings.Contains(endpoint.Path, "{") {
			return base + endpoint.Path, http.StatusBadRequest
		}
	}
	return base, http.StatusInternalServerError // it may know nothing at its base, but it is there
}
