package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/header"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobs"
)

// A job is a call that goes on without its caller, by "Prefer: respond-async" (RFC 7240). The
// caller gets its outcome at jobPattern. Other principals get 404.
const jobPattern = "/jobs/{id}"

func jobPath(id string) string { return "/jobs/" + id }

func isJobPath(path string) bool { return path == "/jobs" || strings.HasPrefix(path, "/jobs/") }

// openJobs opens the store of jobs, or returns nil if jobs are off.
func openJobs(opts *Options) (*jobs.Store, error) {
	if opts.Jobs.off() {
		return nil, nil
	}
	backend := jobs.Backend(opts.Jobs.Store)
	if opts.Jobs.Store == nil {
		backend = jobs.NewMemory()
	}
	store, err := jobs.Open(jobs.Config{
		Backend:    backend,
		Log:        opts.Logger,
		Retention:  opts.Jobs.Retention,
		MaxRecords: opts.Jobs.MaxRecords,
		MaxBytes:   opts.Jobs.MaxBytes,
		MaxOutcome: opts.MaxResponseBytes,
		Interrupted: func(c jobs.Info) (jobs.State, jobs.Outcome) {
			return failed(c, interrupted(nil), jobPath(c.ID))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("bridge: Options.Jobs.Store: %w", err)
	}
	return store, nil
}

// withOwnedJob calls f with the caller's job of the path's id.
func withOwnedJob(f func(*exchange, *jobs.Record) error) func(*exchange) error {
	return func(x *exchange) error {
		if err := x.service.access.authenticate(x); err != nil {
			return err
		}
		r := x.bridge.jobs.Job(x.r.PathValue("id"), x.principal)
		if r == nil {
			return noJob()
		}
		return f(x, r)
	}
}

// accept answers that a job has begun.
func (b *Bridge) accept(x *exchange, r *jobs.Record) error {
	x.w.Header().Set("Location", jobPath(r.ID))
	x.w.Header().Set("Preference-Applied", "respond-async")
	return b.writeJob(x, r, http.StatusAccepted)
}

// showJob answers with the state of a job, or with its events.
func (b *Bridge) showJob(x *exchange, r *jobs.Record) error {
	route := Route{pattern: "GET " + jobPattern, streams: x.r.Method == http.MethodGet}
	stream, err := negotiate(x.r, &operation{Route: route})
	if err != nil {
		return err
	}
	if stream {
		return b.followJob(x, r)
	}
	return b.writeJob(x, r, http.StatusOK)
}

// deleteJob cancels a running job, or deletes a finished one.
func (b *Bridge) deleteJob(x *exchange, r *jobs.Record) error {
	if b.jobs.Cancel(r) {
		return b.writeJob(x, r, http.StatusAccepted)
	}
	if err := b.jobs.Delete(r); err != nil {
		return storeFailed("The job is not shown any more, but its record could not be deleted, which is tried again.", err)
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// A jobReport is a job on the wire.
type jobReport struct {
	ID        string          `json:"id"`
	Status    jobs.Status     `json:"status"`
	Endpoint  string          `json:"endpoint"`
	RequestID string          `json:"request_id"` // id of the request that began the job
	Created   time.Time       `json:"created_at"`
	Finished  time.Time       `json:"finished_at,omitzero"`
	Expires   time.Time       `json:"expires_at,omitzero"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

func (b *Bridge) writeJob(x *exchange, r *jobs.Record, status int) error {
	c := b.jobs.Info(r)
	report := jobReport{
		ID: c.ID, Status: c.Status, Endpoint: c.Method + " " + c.Route, RequestID: c.RequestID,
		Created: c.Created.UTC(), Finished: c.Finished.UTC(),
	}
	if c.Status == jobs.Running {
		x.w.Header().Set("Retry-After", strconv.Itoa(header.Seconds(pollAfter(time.Since(c.Created)))))
	} else {
		outcome, err := b.jobs.Outcome(r)
		if err != nil {
			return b.jobsError(err, "The outcome could not be read.")
		}
		report.Expires = c.Finished.Add(b.opts.Jobs.Retention).UTC()
		report.Result, report.Error = outcome.Result, outcome.Problem
	}
	body, err := codec.Encode(report)
	if err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store")
	return x.writeJSON(status, "application/json", body)
}

// pollAfter returns the pause before the next poll, which grows with the age of the job.
func pollAfter(age time.Duration) time.Duration {
	return min(max(age/10, time.Second), 30*time.Second)
}

// followJob streams the events of a job after Last-Event-ID, and then its outcome. A caller that
// has seen the outcome gets 204, which ends its reconnects by the specification of server-sent
// events.
func (b *Bridge) followJob(x *exchange, r *jobs.Record) error {
	seen, ended, ok := jobs.ParseEventID(x.r.Header.Get("Last-Event-ID"))
	if !ok {
		const detail = "Last-Event-ID is not one that this bridge sent. Leave it out to get all events that are kept."
		return &Error{Code: CodeInvalidRequest, Detail: detail}
	}
	if ended {
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if !b.jobs.Watch(r) {
		detail := fmt.Sprintf("%d streams follow this job already.", jobs.MaxWatchers)
		return &Error{Code: CodeRateLimited, Detail: detail, RetryAfter: time.Second}
	}
	defer b.jobs.Unwatch(r)
	s := newSSEResponder(x, 0)
	defer s.Close()
	if err := s.BeginWith(": job " + r.ID + "\n\n"); err != nil { // the first event may take long
		return err
	}
	for {
		v := b.jobs.View(r, seen)
		if err := s.writeView(v); err != nil {
			return err
		}
		seen = v.First + len(v.Events) - 1
		if v.Status != jobs.Running {
			return b.writeOutcome(s, r)
		}
		select {
		case <-v.Changed:
		case <-s.Heartbeats():
			if err := s.Heartbeat(); err != nil {
				return err
			}
		case <-x.r.Context().Done():
			return fmt.Errorf("%w: %w", errClientGone, context.Cause(x.r.Context()))
		}
	}
}

// writeView sends events. If older events were evicted, it first sends a "gap" event with their
// ids.
func (s *sseResponder) writeView(v jobs.View) error {
	if v.Missed > 0 {
		gap := fmt.Sprintf(`{"first":%d,"last":%d}`, v.First-v.Missed, v.First-1)
		if err := s.WriteEvent(strconv.Itoa(v.First-1), "gap", []byte(gap)); err != nil {
			return err
		}
	}
	for i, event := range v.Events {
		if err := s.WriteEvent(strconv.Itoa(v.First+i), event.Name, event.Data); err != nil {
			return err
		}
	}
	return nil
}

// writeOutcome sends the event that ends the stream of a job.
func (b *Bridge) writeOutcome(s *sseResponder, r *jobs.Record) error {
	outcome, err := b.jobs.Outcome(r)
	switch {
	case err != nil:
		err = b.jobsError(err, "The outcome could not be read.")
		if body, err := codec.Encode(newProblem(publicError(err), jobPath(r.ID), s.x.id)); err == nil {
			_ = s.WriteEvent("", "error", body) // without an id, so that a reconnect tries again
		}
		return err
	case outcome.Problem != nil:
		return s.WriteEvent(jobs.LastEventID, "error", outcome.Problem)
	}
	return s.WriteEvent(jobs.LastEventID, "result", outcome.Result)
}

// failed returns the record of an error. instance is the path in its problem details.
func failed(c jobs.Info, e *Error, instance string) (jobs.State, jobs.Outcome) {
	problem, err := codec.Encode(newProblem(e, instance, c.RequestID))
	if err != nil {
		problem = []byte("{}") // unreachable: a problem is text and numbers
	}
	return jobs.Failure(e.code(), e.status(), problem)
}

// jobsError returns the public error of the store of jobs. consequence ends the detail of a failed
// backend.
func (b *Bridge) jobsError(err error, consequence string) error {
	switch {
	case errors.Is(err, jobs.ErrStopping):
		return shuttingDown()
	case errors.Is(err, jobs.ErrFull):
		detail := fmt.Sprintf("This bridge keeps at most %d jobs and calls with an Idempotency-Key, and all of them are "+
			"in progress. Try again when one has ended.", b.opts.Jobs.MaxRecords)
		return &Error{Code: CodeUnavailable, Detail: detail, RetryAfter: time.Second}
	case errors.Is(err, jobs.ErrKeyInUse):
		return keyInUse(time.Second)
	case errors.Is(err, jobs.ErrKeyReused):
		const detail = "This Idempotency-Key came with another request before. " +
			"Use a new key for a new request, and send the very same body to repeat one."
		return &Error{Code: codeKeyReused, Detail: detail}
	case errors.Is(err, jobs.ErrNotFound):
		return noJob()
	}
	return storeFailed(consequence, err)
}

func keyInUse(retryAfter time.Duration) error {
	const detail = "The first call with this Idempotency-Key is still in progress. " +
		"Repeat the call later to get its answer."
	return &Error{Code: codeKeyInUse, Detail: detail, RetryAfter: retryAfter}
}

func noJob() error {
	const detail = "There is no such job, or no more: finished jobs are kept for a limited time."
	return &Error{Code: CodeNotFound, Detail: detail}
}

func storeFailed(consequence string, err error) error {
	detail := "The bridge's store of jobs and answers failed. " + consequence + " Try again later."
	return &Error{Code: CodeUnavailable, Detail: detail, RetryAfter: 10 * time.Second, Cause: err}
}

// interrupted returns the error of a call that was in progress when the bridge stopped or died.
func interrupted(cause error) *Error {
	const detail = "The bridge stopped before the call had ended. Send the request again."
	return &Error{Code: codeInterrupted, Detail: detail, Cause: cause}
}
