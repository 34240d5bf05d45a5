package caio_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const (
	postServices  = "POST /api/v1/services"
	postPublished = "POST /api/v1/register-service"
	listServices  = "GET /api/v1/services"
	readServices  = "GET /api/v1/services/{id}"
	readPublished = "GET /api/services/{id}"
	probePath     = "GET /api/v1/register-service" // probe for the registration path
)

// A pathServer is a CAIO with some of the paths. It records the requests.
type pathServer struct {
	registry http.Handler

	mu    sync.Mutex
	mux   *http.ServeMux
	asked []string
}

func newPathServer(t *testing.T, patterns ...string) *pathServer {
	c := &pathServer{registry: newRegistry(t, nil)}
	c.offer(patterns...)
	return c
}

func (c *pathServer) offer(patterns ...string) {
	mux := http.NewServeMux()
	for _, pattern := range patterns {
		mux.Handle(pattern, c.registry)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mux = mux
}

func (c *pathServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, r.Method+" "+r.URL.Path)
	mux := c.mux
	c.mu.Unlock()
	if _, pattern := mux.Handler(r); pattern != "" {
		mux.ServeHTTP(w, r)
		return
	}
	for _, other := range []string{http.MethodGet, http.MethodPost} { // answers like FastAPI
		probe := &http.Request{Method: other, URL: r.URL}
		if _, pattern := mux.Handler(probe); pattern != "" {
			w.WriteHeader(http.StatusMethodNotAllowed)
			io.WriteString(w, `{"detail": "Method Not Allowed"}`)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, `{"detail": "Not Found"}`)
}

// history returns the requests since the last call.
func (c *pathServer) history() (asked []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked, c.asked = c.asked, nil
	return asked
}

// The client probes for the registration path with one GET.
func TestPathsAreProbedOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		offered []string
		post    string
	}{
		"services":  {[]string{postServices, listServices, readServices}, postServices},
		"published": {[]string{postPublished, listServices, readPublished}, postPublished},
		"both":      {[]string{postServices, postPublished, listServices, readServices}, postPublished},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newPathServer(t, test.offered...)
			client := newInMemoryClient(t, server, caio.Options{})
			for _, id := range []string{"one", "two"} {
				if _, err := client.Register(t.Context(), newContract(t, id, "1.0.0"), nil); err != nil {
					t.Errorf("Register: %v", err)
				}
			}
			if diff := cmp.Diff([]string{probePath, test.post, test.post}, server.history()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// A registration at a path that is gone fails, and is not sent to another. The next one probes
// again.
func TestPathsAreProbedAgain(t *testing.T) {
	t.Parallel()
	server := newPathServer(t, postPublished, listServices, readPublished)
	client := newInMemoryClient(t, server, caio.Options{})
	ctx, ct := t.Context(), newContract(t, "mine", "1.0.0")
	if _, err := client.Register(ctx, ct, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Service(ctx, "mine"); err != nil {
		t.Fatal(err)
	}
	server.offer(postServices, listServices, readServices)
	server.history()
	if _, err := client.Register(ctx, ct, nil); err == nil {
		t.Error("Register at a path that is gone succeeded")
	}
	if _, err := client.Register(ctx, ct, nil); err != nil {
		t.Errorf("Register after the change: %v", err)
	}
	for range 2 {
		if _, err := client.Service(ctx, "mine"); err != nil {
			t.Errorf("Service after the change: %v", err)
		}
	}
	read := "GET /api/v1/services/mine"
	want := []string{postPublished, probePath, postServices, "GET /api/services/mine", read, read}
	if diff := cmp.Diff(want, server.history()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// One caller probes, and the others wait for its result.
func TestConcurrentCallersShareOneProbe(t *testing.T) {
	t.Parallel()
	contracts := make([]*contract.Contract, 50)
	for i := range contracts {
		contracts[i] = newContract(t, "service-"+string(rune('a'+i%26))+string(rune('a'+i/26)), "1.0.0")
	}
	for name, test := range map[string]struct {
		answer http.Handler // answer to the probe; nil for the true one
		ok     bool
	}{
		"found":   {nil, true},
		"refused": {answering(401, "application/json", `{"detail": "unauthorized"}`), false},
		"down":    {answering(503, "text/plain", ""), false},
		"page":    {answering(200, "text/html", "<html>"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPathServer(t, postServices, listServices, readServices)
				slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method+" "+r.URL.Path != probePath {
						server.ServeHTTP(w, r)
						return
					}
					time.Sleep(time.Second)
					if test.answer != nil {
						server.ServeHTTP(discard{http.Header{}}, r)
						test.answer.ServeHTTP(w, r)
						return
					}
					server.ServeHTTP(w, r)
				})
				client := newInMemoryClient(t, slow, caio.Options{MaxAttempts: 1})
				var all sync.WaitGroup
				for _, ct := range contracts {
					all.Go(func() {
						if _, err := client.Register(t.Context(), ct, nil); (err == nil) != test.ok {
							t.Errorf("Register: %v", err)
						}
					})
				}
				all.Wait()
				asked := server.history()
				probes := len(asked) - len(slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return s == probePath }))
				if probes != 1 || !test.ok && len(asked) != 1 {
					t.Errorf("probed %d times, sent %d requests in all", probes, len(asked))
				}
			})
		})
	}
}

// If the context of the probing caller ends, a waiting caller probes. Waiting ends with the
// context, too.
func TestProbeOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry(t, nil)
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(2 * time.Second):
				reg.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})
		client := newInMemoryClient(t, slow, caio.Options{MaxAttempts: 1})
		results := make([]error, 3)
		var all sync.WaitGroup
		for i, patience := range []time.Duration{time.Second, time.Hour, time.Millisecond} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, results[i] = client.Register(ctx, ct, nil)
			})
			synctest.Wait()
		}
		all.Wait()
		if results[1] != nil {
			t.Errorf("Register of the patient caller: %v", results[1])
		}
		for _, i := range []int{0, 2} {
			if !errors.Is(results[i], context.DeadlineExceeded) {
				t.Errorf("Register of caller %d: %v, want DeadlineExceeded", i, results[i])
			}
		}
	})
}

// Service reads a service from each path that CAIO may have.
func TestServiceTriesAllPaths(t *testing.T) {
	t.Parallel()
	const current, older = "/api/v1/services/mine", "/api/services/mine"
	const all = current + " " + older + " /api/v1/services"
	for name, test := range map[string]struct {
		offered []string
		paths   string
		want    [2]string // requests for a known service: the first time, and later
	}{
		"services":            {[]string{readServices, listServices}, "", [2]string{current, current}},
		"published":           {[]string{readPublished, listServices}, "", [2]string{current + " " + older, older}},
		"published, chosen":   {[]string{readPublished, listServices}, "published", [2]string{older, older}},
		"in the list only":    {[]string{listServices}, "services", [2]string{all, all}},
		"deleting is offered": {[]string{"POST /api/v1/services/{id}", listServices}, "", [2]string{all, all}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newPathServer(t, append(test.offered, postServices)...)
			client := newInMemoryClient(t, server, caio.Options{Paths: test.paths})
			other := newInMemoryClient(t, server, caio.Options{Paths: "services"})
			if _, err := other.Register(t.Context(), newContract(t, "mine", "1.0.0"), nil); err != nil {
				t.Fatal(err)
			}
			server.history()
			for _, want := range test.want {
				if service, err := client.Service(t.Context(), "mine"); err != nil || service.ID != "mine" {
					t.Errorf("Service = %+v, %v", service, err)
				}
				if got := strings.ReplaceAll(strings.Join(server.history(), " "), "GET ", ""); got != want {
					t.Errorf("asked %s, want %s", got, want)
				}
			}
			if _, err := client.Service(t.Context(), "yours"); !errors.Is(err, caio.ErrNotFound) {
				t.Errorf("Service of an unknown one: %v, want ErrNotFound", err)
			}
			if asked := server.history(); len(asked) > 3 {
				t.Errorf("asked %v for an unknown service", asked)
			}
		})
	}
}

// A failed read is not ErrNotFound.
func TestServiceWithFailingList(t *testing.T) {
	t.Parallel()
	client := newInMemoryClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[bool]int{true: 502, false: 404}[r.URL.Path == "/api/v1/services"])
	}), caio.Options{MaxAttempts: 1})
	if _, err := client.Service(t.Context(), "mine"); err == nil || errors.Is(err, caio.ErrNotFound) {
		t.Errorf("Service = %v, want the error of the list", err)
	}
}

// Announce goes on with a CAIO that replaces the first one and has other paths.
func TestAnnounceOutlastsOtherPaths(t *testing.T) {
	t.Parallel()
	ct := newContract(t, "mine", "1.0.0")
	synctest.Test(t, func(t *testing.T) {
		server := newPathServer(t, postPublished, listServices, readPublished, "DELETE /api/v1/services/{id}")
		client := newInMemoryClient(t, server, caio.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- client.Announce(ctx, ct) }()
		pass(time.Minute)
		server.registry = newRegistry(t, nil)
		server.offer(postServices, listServices, readServices, "DELETE /api/v1/services/{id}")
		pass(2 * time.Minute)
		if _, err := client.Service(t.Context(), "mine"); err != nil {
			t.Errorf("two minutes after the change: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Announce: %v", err)
		}
		if _, err := client.Service(t.Context(), "mine"); !errors.Is(err, caio.ErrNotFound) {
			t.Errorf("after the end: %v, want ErrNotFound", err)
		}
	})
}
