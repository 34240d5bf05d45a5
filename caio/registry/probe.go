package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/internal/netaddr"
)

const (
	maxProbes    = 16 // at the same time
	probeTimeout = 5 * time.Second
)

// healthPaths are the paths that are asked wherever a contract has them. No other GET may be sent
// to an address that a stranger chooses.
var healthPaths = []string{"/health", "/healthz", "/readyz", "/livez"}

// A prober checks the health of services.
type prober struct {
	client   *http.Client
	interval time.Duration
	paths    []string // that may be asked
}

func (o *Options) checkProbes() error {
	var faults []error
	if o.ProbeInterval != 0 && (o.ProbeInterval < time.Second || o.ProbeInterval > time.Hour) {
		faults = append(faults, fmt.Errorf("ProbeInterval is %v, not within 1s and 1h", o.ProbeInterval))
	}
	for _, p := range o.ProbePaths {
		if !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.ContainsAny(p, "?#{}%") {
			faults = append(faults, fmt.Errorf("ProbePaths: %q is not a plain path, such as \"/v1/health\"", p))
		}
	}
	return errors.Join(faults...)
}

func newProber(o *Options) *prober {
	if o.ProbeInterval == 0 {
		return nil
	}
	client := o.ProbeClient
	if client == nil {
		client = newProbeClient(!o.hasTokens())
	}
	return &prober{client: client, interval: o.ProbeInterval, paths: slices.Concat(healthPaths, o.ProbePaths)}
}

func newProbeClient(toThisMachine bool) *http.Client {
	dialer := &net.Dialer{Timeout: probeTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !mayProbe(to.Addr(), toThisMachine) {
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

// mayProbe judges an address after its name was resolved, so that no name leads to a refused
// address. The contract of a stranger chooses both.
func mayProbe(to netip.Addr, toThisMachine bool) bool {
	switch netaddr.KindOf(to) {
	case netaddr.Loopback:
		return toThisMachine
	case netaddr.Public, netaddr.Private, netaddr.Shared:
		own, err := netaddr.IsOwn(to)
		return err == nil && !own
	}
	return false
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

// probe checks all services that can be checked, again and again, in random order and spread over
// the interval.
func (r *Registry) probe(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxProbes)
	for ctx.Err() == nil {
		r.sweep()
		round := slices.DeleteFunc(slices.Clone(r.services.entries()), func(e *entry) bool { return r.prober.target(e.contract.API.BaseURL, e.endpoints) == "" })
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
	target := p.target(e.contract.API.BaseURL, e.endpoints)
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
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("GET %s answers %s", target, response.Status)
	}
	return nil
}

// target returns the URL of the service's health check, "" if no endpoint may be asked.
func (p *prober) target(baseURL string, endpoints []caio.Endpoint) string {
	base, err := url.Parse(baseURL)
	if err != nil {
		return ""
	}
	for _, endpoint := range endpoints {
		full := strings.TrimRight(base.Path, "/") + endpoint.Path
		if endpoint.Method == http.MethodGet && slices.Contains(p.paths, full) {
			return (&url.URL{Scheme: base.Scheme, Host: base.Host, Path: full}).String()
		}
	}
	return ""
}
