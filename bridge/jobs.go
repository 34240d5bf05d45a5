package bridge

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A job is a call that goes on without its caller, who asked for that with "Prefer: respond-async" (RFC 7240) and comes
// back for its outcome. It belongs to the principal that began it; for all others it is not there.
const jobPattern = "/jobs/{id}"

func jobPath(id string) string { return "/jobs/" + id }

func isJobPath(path string) bool { return path == "/jobs" || strings.HasPrefix(path, "/jobs/") }

var errNoJob = &Error{Code: CodeNotFound, Detail: "There is no such job, or no more: finished jobs are kept for a limited time."}

// prefersAsync reports whether the caller would rather come back later.
func prefersAsync(r *http.Request) bool {
	_, ok := preference(r, "respond-async")
	return ok
}

// hurried is the binding with no more time than the caller waits ("wait" of RFC 7240, in seconds). A job has its own time.
func hurried(r *http.Request, bound *binding) *binding {
	value, _ := preference(r, "wait")
	seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
	wait := time.Duration(seconds) * time.Second
	if err != nil || seconds == 0 || wait >= bound.total || prefersAsync(r) {
		return bound
	}
	short := *bound
	short.total, short.deadline = wait, &deadline{}
	return &short
}

// preference returns what the caller says of a preference (RFC 7240), the first time if it does so twice.
func preference(r *http.Request, token string) (value string, stated bool) {
	for _, line := range r.Header.Values("Prefer") {
		for _, preference := range splitUnquoted(line, ',') {
			preference = splitUnquoted(preference, ';')[0] // without its parameters
			name, value, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), token) {
				return strings.TrimSpace(value), true
			}
		}
	}
	return "", false
}

// splitUnquoted splits a header at a separator outside of quoted strings (RFC 9110 section 5.6.4).
func splitUnquoted(s string, separator byte) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == separator:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

// forOwner hands the job that the path names to f, if it is the caller's.
func forOwner(f func(*exchange, *entry) error) func(*exchange) {
	return func(x *exchange) {
		var err error
		if x.principal, err = x.service.guard.checkCaller(x.r); err != nil {
			x.fail(err)
			return
		}
		e := x.bridge.ledger.job(x.r.PathValue("id"), x.principal)
		if e == nil {
			x.fail(errNoJob)
			return
		}
		if err := f(x, e); err != nil {
			x.fail(err)
		}
	}
}

// showJob answers with the state of a job, or follows it.
func (b *Bridge) showJob(x *exchange, e *entry) error {
	stream, err := negotiate(x.r, &binding{Route: Route{pattern: "GET " + jobPattern, streams: x.r.Method == http.MethodGet}})
	if err != nil {
		return err
	}
	if stream {
		return b.followJob(x, e)
	}
	return b.writeJob(x, e, http.StatusOK)
}

// endJob cancels a job that is in progress, and removes one that has finished.
func (b *Bridge) endJob(x *exchange, e *entry) error {
	if b.ledger.cancel(e) {
		return b.writeJob(x, e, http.StatusAccepted)
	}
	if err := b.ledger.forget(e); err != nil {
		return storeFailed("The job is not shown any more, but its record could not be deleted, which is tried again.", err)
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// A jobReport is a job on the wire.
type jobReport struct {
	ID        string          `json:"id"`
	Status    jobStatus       `json:"status"`
	Endpoint  string          `json:"endpoint"`
	RequestID string          `json:"request_id"` // of the request that began it
	Created   time.Time       `json:"created_at"`
	Finished  time.Time       `json:"finished_at,omitzero"`
	Expires   time.Time       `json:"expires_at,omitzero"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

func (b *Bridge) writeJob(x *exchange, e *entry, status int) error {
	c, _ := b.ledger.look(e)
	report := jobReport{
		ID: c.ID, Status: c.Status, Endpoint: c.Method + " " + c.Route, RequestID: c.RequestID,
		Created: c.Created.UTC(), Finished: c.Finished.UTC(),
	}
	if c.Status == jobRunning {
		x.w.Header().Set("Retry-After", strconv.Itoa(ceilSeconds(pollAfter(time.Since(c.Created)))))
	} else {
		outcome, err := b.ledger.outcome(e)
		if err != nil {
			return err
		}
		report.Expires = c.Finished.Add(b.opts.KeepFor).UTC()
		report.Result, report.Error = outcome.Result, outcome.Problem
	}
	body, err := encode(report)
	if err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store")
	return x.writeJSON(status, "application/json", body)
}

// pollAfter paces callers that poll: the longer a job has taken, the longer it may take.
func pollAfter(age time.Duration) time.Duration {
	return min(max(age/10, time.Second), 30*time.Second)
}
