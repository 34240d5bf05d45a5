package registry

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/caio/registry/internal/page"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// What the page shows at a time, so that its size does not depend on what is registered.
const (
	maxListed    = 100 // services
	maxItems     = 20  // capabilities and guarantees of a service, each
	maxOffered   = 200 // capabilities to choose from
	maxSummaries = 30  // decisions
	maxWords     = 120 // characters of one text
)

// wantsPage tells browsers from clients of the API, which may ask for / too: those get what they get for any other path
// that is not offered.
func wantsPage(req *http.Request) bool {
	accept := strings.ToLower(strings.Join(req.Header.Values("Accept"), ","))
	return req.URL.Path == "/" && (req.Method == http.MethodGet || req.Method == http.MethodHead) &&
		strings.Contains(accept, "text/html") && !strings.Contains(accept, asJSON)
}

func lacksToken(err error) bool {
	var refusal *caio.Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusUnauthorized
}

// servePage answers with the page. Without the token that is asked for it says nothing about the services.
func (r *Registry) servePage(w http.ResponseWriter, req *http.Request, front *page.Page, withheld bool) {
	view := page.View{TokenNeeded: withheld}
	if !withheld {
		view.Version = r.version
		view.Services = r.pageServices(req.URL.Query())
	}
	if err := front.Write(w, view); err != nil {
		r.refuse(w, req, fmt.Errorf("page: %w", err))
	}
}

// servePageServices answers what the page asks for every other second: the services, unless they are as they were.
func (r *Registry) servePageServices(w http.ResponseWriter, req *http.Request) {
	r.sweep()
	mayDecide := roleOf(req.Context()).mayAct(forUsers) == nil
	key := fmt.Sprint(r.services.changes.Load(), mayDecide, req.URL.RawQuery)
	r.serveBoard(w, req, &r.boards.services, key, 0, func() any {
		return page.State{Services: r.pageServices(req.URL.Query()), MayDecide: mayDecide}
	})
}

// servePageDecisions answers with the latest decisions in the same way. Where a thousand are made each second, it is not worth
// while to list each.
func (r *Registry) servePageDecisions(w http.ResponseWriter, req *http.Request) {
	if err := roleOf(req.Context()).mayAct(forUsers); err != nil {
		r.refuse(w, req, err)
		return
	}
	key := fmt.Sprint(r.decided.Load(), r.unmatched.Load())
	r.serveBoard(w, req, &r.boards.decisions, key, 100*time.Millisecond, func() any { return r.summaries() })
}

// A board is a part of what the page shows as it was last put together, so that a thousand pages cost hardly more than one. No
// connection waits for a change, so the number of watchers needs no bound, and a registry that was restarted answers the next question.
type board struct {
	mu   sync.Mutex
	key  string // of what it was made from
	at   time.Time
	body []byte
}

// read returns the board for a key. It is made anew if the key is another, but not again within the pause.
func (b *board) read(key string, pause time.Duration, fresh func() any) (held string, body []byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.body == nil || b.key != key && time.Since(b.at) >= pause {
		if body, err = json.Marshal(fresh()); err != nil { // lists without elements are [], not null
			return "", nil, err
		}
		b.key, b.at, b.body = key, time.Now(), body
	}
	return b.key, b.body, nil
}

// serveBoard answers 304 if the caller has the board already.
func (r *Registry) serveBoard(w http.ResponseWriter, req *http.Request, b *board, key string, pause time.Duration, fresh func() any) {
	held, body, err := b.read(key, pause, fresh)
	if err != nil {
		r.refuse(w, req, fmt.Errorf("page: %w", err))
		return
	}
	sum := sha256.Sum256(fmt.Append(nil, r.started.UnixNano(), held))
	tag := fmt.Sprintf(`"%x"`, sum[:12])
	w.Header().Set("ETag", tag)
	if req.Header.Get("If-None-Match") == tag {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	r.send(w, req, http.StatusOK, encoded{asJSON, body})
}

// pageServices returns the part of the list that the query asks for: the services that have the text "q" in their id, name
// or a capability, from the id "after" on.
func (r *Registry) pageServices(query url.Values) page.Services {
	r.sweep()
	all := r.services.entries()
	s := page.Services{Total: len(all), Query: wire.Clip(query.Get("q"), maxWords)}
	s.Capabilities = clipped(r.services.capabilities(maxOffered))
	wanted, after := strings.ToLower(strings.TrimSpace(query.Get("q"))), query.Get("after")
	for _, e := range all {
		if !e.routable() {
			s.Unhealthy++
		}
		if wanted != "" && !e.mentions(wanted) {
			continue
		}
		s.Matching++
		switch {
		case e.contract.ID <= after:
		case len(s.List) < maxListed:
			if len(s.List) == 0 {
				s.First = s.Matching
			}
			row := e.row()
			if r.prober != nil && r.prober.target(e.contract.API.BaseURL, e.endpoints) == "" {
				row.Lease = strings.TrimPrefix(row.Lease+", no health check", ", ")
			}
			s.List = append(s.List, row)
		case s.Next == "":
			s.Next = s.List[maxListed-1].ID
		}
	}
	return s
}

// mentions reports whether a text in lower case is in the id, the name or a capability.
func (e *entry) mentions(text string) bool {
	return strings.Contains(e.contract.ID, text) || strings.Contains(strings.ToLower(e.contract.Name), text) ||
		slices.ContainsFunc(e.offers, func(o offer) bool { return strings.Contains(strings.ToLower(o.capability), text) })
}

func (e *entry) row() page.Service {
	row := page.Service{
		ID: e.contract.ID, Name: wire.Clip(e.contract.Name, maxWords), Version: wire.Clip(e.contract.Version, maxWords), Status: e.status(),
		Address: wire.Clip(e.contract.API.BaseURL, maxWords), Documentation: linkable(e.documentation),
	}
	if ttl := time.Duration(e.presence.ttl.Load()); ttl > 0 {
		row.Lease = "leased for " + ttl.String()
	}
	for _, o := range e.offers[:min(len(e.offers), maxItems)] {
		text := wire.Clip(o.capability, maxWords)
		if o.accuracy != nil {
			text += " ≥ " + figure(*o.accuracy)
		}
		row.Capabilities = append(row.Capabilities, text)
	}
	for _, g := range e.contract.Guarantees[:min(len(e.contract.Guarantees), maxItems)] {
		row.Guarantees = append(row.Guarantees, wire.Clip(inWords(g.Property, g.Bound), maxWords))
	}
	row.Capabilities = withMore(row.Capabilities, len(e.offers))
	row.Guarantees = withMore(row.Guarantees, len(e.contract.Guarantees))
	return row
}

// withMore adds how many items of all are missing, if there are any.
func withMore(items []string, all int) []string {
	if all > len(items) {
		return append(items, fmt.Sprintf("and %d more", all-len(items)))
	}
	return items
}

// linkable returns the URL if a browser may be sent there.
func linkable(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return u.String()
}

// inWords says what is promised or required: "p95 latency ≤ 500 ms".
func inWords(property string, b contract.Bound) string {
	name, unit := strings.CutSuffix(property, "_ms")
	name = strings.ReplaceAll(name, "_", " ")
	suffix := ""
	if unit {
		suffix = " ms"
	}
	var parts []string
	if b.Min != nil {
		parts = append(parts, "≥ "+figure(*b.Min)+suffix)
	}
	if b.Max != nil {
		parts = append(parts, "≤ "+figure(*b.Max)+suffix)
	}
	if b.SeedRequired != nil && *b.SeedRequired {
		parts = append(parts, "with a seed")
	}
	return strings.TrimSpace(name + " " + strings.Join(parts, ", "))
}

func figure(f float64) string {
	if abs := math.Abs(f); abs >= 1e15 || abs < 1e-6 && abs > 0 {
		return strconv.FormatFloat(f, 'g', 6, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func figureOf(f *float64) string {
	if f == nil {
		return ""
	}
	return figure(*f)
}
