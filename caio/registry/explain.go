package registry

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/caio/registry/internal/page"
	"github.com/smarthaus/caio-bridge-go/contract"
)

const (
	maxRefusals = 50 // requests without a match that the page remembers
	maxRefused  = 10 // services of which an explanation says why they do not qualify
	maxFailed   = 10 // clauses of such a service
)

// refusals remember the latest requests that no service met, of which there are no traces, for the page.
type refusals struct {
	mu   sync.Mutex
	list []explainedRefusal // the latest last
}

type explainedRefusal struct {
	error
	explained *page.Decision
}

func (l *refusals) add(d *draft, err *caio.Error) {
	explained := &page.Decision{Summary: page.Summary{ID: d.id, At: d.at, Asked: asked(d.request)}, Message: wire.Clip(err.Message, 500)}
	details, _ := err.Details.(map[string]any)
	missing, _ := details["missing_capabilities"].([]string)
	offered, _ := details["available_capabilities"].([]string)
	explained.Missing, explained.Offered = clipped(missing), clipped(offered)
	if nearest, _ := details["nearest"].([]nearMiss); len(nearest) > 0 {
		explained.Message = fmt.Sprintf("Services with the capabilities: %v. None meets all requirements.", details["candidates"])
		explained.Steps = append(explained.Steps, page.Step{Refused: refused(nearest)})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == maxRefusals {
		l.list = slices.Delete(l.list, 0, 1)
	}
	l.list = append(l.list, explainedRefusal{err, explained})
}

// find returns the explanation of the refusal with an id, or of that which the error is; nil if it is forgotten.
func (l *refusals) find(id string, err error) *page.Decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.list {
		if one.explained.ID == id || one.error == err {
			return one.explained
		}
	}
	return nil
}

func (l *refusals) summaries() []page.Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]page.Summary, len(l.list))
	for i := range l.list {
		list[i] = l.list[i].explained.Summary
	}
	return list
}

// summaries lists the latest decisions and refusals, the latest first.
func (r *Registry) summaries() []page.Summary {
	list := r.refusals.summaries()
	for _, text := range r.traces.latest(maxSummaries) {
		var trace struct {
			ID       string         `json:"decision_id"`
			At       time.Time      `json:"timestamp"`
			Request  jsontext.Value `json:"request"`
			Decision caio.Decision  `json:"decision"`
		}
		if json.Unmarshal(text, &trace) != nil {
			continue
		}
		request, err := decodeRouting(trace.Request)
		if err == nil {
			list = append(list, page.Summary{ID: trace.ID, At: trace.At, Asked: asked(&request), Service: servicesOf(&trace.Decision)})
		}
	}
	slices.SortStableFunc(list, func(a, b page.Summary) int { return cmp.Or(b.At.Compare(a.At), strings.Compare(a.ID, b.ID)) })
	return list[:min(len(list), maxSummaries)]
}

func (r *Registry) getExplanation(req *http.Request) (any, error) {
	id := req.PathValue("id")
	if explained := r.refusals.find(id, nil); explained != nil {
		return encodeExplanation(explained, nil)
	}
	text, err := r.traceText(req.Context(), id)
	if err != nil {
		return nil, err
	}
	return r.getExplained(req.Context(), text)
}

// postExplanation routes a request like orchestrate and explains the outcome, which may be that no service matches.
func (r *Registry) postExplanation(req *http.Request) (any, error) {
	request, err := readRouting(req)
	if err != nil {
		return nil, err
	}
	s, err := r.route(req.Context(), request)
	if err == nil {
		return r.getExplained(req.Context(), s.trace)
	}
	if explained := r.refusals.find("", err); explained != nil {
		return encodeExplanation(explained, nil)
	}
	return nil, err
}

// getExplained explains a trace, which has the contract of each step.
func (r *Registry) getExplained(ctx context.Context, trace []byte) (explained any, err error) {
	err = r.loads.do(ctx, func() (err error) {
		explained, err = encodeExplanation(r.explain(trace))
		return err
	})
	return explained, err
}

// encodeExplanation writes lists without elements as [], not null.
func encodeExplanation(explained *page.Decision, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(explained)
	return encoded{asJSON, body}, err
}

// explain words a trace: why these services, and why not the others. Services that do not qualify are not in the trace; they are
// held against the request as they are registered now.
func (r *Registry) explain(trace []byte) (*page.Decision, error) {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(trace, &members); err != nil {
		return nil, fmt.Errorf("registry: the trace: %w", err)
	}
	recorded, err := readTrace(members)
	if err != nil {
		return nil, err
	}
	decision := decide(&recorded.draft)
	explained := &page.Decision{Summary: page.Summary{ID: recorded.id, At: recorded.at, Asked: asked(recorded.request), Service: servicesOf(decision)}}
	if err := verify(trace, members, recorded); err != nil {
		explained.Faults = wire.Clip(err.Error(), 1000)
	}
	json.Unmarshal(members["hash"], &explained.Hash) // Verify says if it is none
	r.sweep()
	for i, step := range stepsOf(recorded.request) {
		p := &recorded.picks[i]
		shown := page.Step{Service: p.contract.ID, Reasons: clipped(p.reasons(&recorded.draft, step)), Weights: recorded.weights.inWords()}
		for _, c := range p.candidates {
			shown.Candidates = append(shown.Candidates, page.Candidate{Service: c.ServiceID, Score: fmt.Sprintf("%.4f", c.Score), Accuracy: figureOf(c.Accuracy),
				Latency: figureOf(c.P95Latency), Price: figureOf(c.Price), Availability: figureOf(c.Availability)})
		}
		offering, _ := r.services.having(step.Capabilities)
		others, _ := misses(offering, &recorded.draft, requirementsOf(step), maxRefused)
		shown.Refused = refused(others)
		explained.Steps = append(explained.Steps, shown)
	}
	for _, proof := range prove(&recorded.draft) {
		explained.Proofs = append(explained.Proofs, page.Proof{Type: proof.Type, Step: proof.Step, Valid: proof.Valid, Statement: proof.Statement, Clauses: shownClauses(proof.Clauses)})
	}
	return explained, nil
}

func refused(nearest []nearMiss) (list []page.Refused) {
	for _, miss := range nearest {
		list = append(list, page.Refused{Service: miss.ServiceID, Failed: shownClauses(miss.Failed[:min(len(miss.Failed), maxFailed)])})
	}
	return list
}

func shownClauses(clauses []contract.Clause) (list []page.Clause) {
	for _, c := range clauses {
		list = append(list, page.Clause{Requirement: wire.Clip(c.Requirement, maxWords), Met: c.Met, Detail: wire.Clip(c.Detail, 300)})
	}
	return list
}

func (w *Weights) inWords() string {
	return fmt.Sprintf("Weights: guarantees %s, performance %s, cost %s, reliability %s.", figure(w.Guarantees), figure(w.Performance), figure(w.Cost), figure(w.Reliability))
}

// asked says in words what a request is for.
func asked(req *caio.Request) string {
	var steps []string
	for _, step := range stepsOf(req) {
		parts := slices.Clone(step.Capabilities)
		for _, property := range slices.Sorted(maps.Keys(step.Guarantees)) {
			parts = append(parts, inWords(property, step.Guarantees[property]))
		}
		for _, field := range slices.Sorted(maps.Keys(step.Constraints)) {
			parts = append(parts, fmt.Sprintf("%s = %v", field, step.Constraints[field]))
		}
		steps = append(steps, strings.Join(parts, ", "))
	}
	text := strings.Join(steps, " → ")
	switch n := len(req.Policies); {
	case n == 1:
		text += ", 1 policy"
	case n > 1:
		text += fmt.Sprintf(", %d policies", n)
	}
	if req.Sensitive {
		text += ", sensitive"
	}
	return wire.Clip(text, 300)
}

// servicesOf names the chosen services in order.
func servicesOf(d *caio.Decision) string {
	if len(d.Steps) == 0 {
		return d.ServiceID
	}
	ids := make([]string, len(d.Steps))
	for i := range d.Steps {
		ids[i] = d.Steps[i].ServiceID
	}
	return strings.Join(ids, " → ")
}

func clipped(texts []string) (list []string) {
	for _, text := range texts {
		list = append(list, wire.Clip(text, 300))
	}
	return list
}
