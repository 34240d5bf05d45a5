package bridge

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/codec"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/header"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobs"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
	"github.com/smarthaus/caio-bridge-go/internal/sse"
)

// A job is a call that goes on without its caller, by "Prefer: respond-async" (RFC 7240). The caller
// gets its outcome at jobPattern. Other principals get 404.
const jobPattern = "/jobs/{id}"

// lastEventID is the id of the event that ends the stream of a job. The number of earlier events may
// be unknown after a restart.
const lastEventID = "end"

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
	store, err := jobs.Open(jobs.Options{
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

// A recording says why a call is recorded.
type recording struct {
	key   string // Idempotency-Key (draft-ietf-httpapi-idempotency-key-header); "" for none
	async bool   // true for a job
}

func (r recording) wanted() bool { return r.key != "" || r.async }

// recordingOf reads the headers that ask for a recording. Methods without a body need no key: they are
// idempotent.
func (b *Bridge) recordingOf(x *exchange) (r recording, err error) {
	key, ok := header.IdempotencyKey(x.r.Header)
	switch {
	case !hasBody(x.r.Method):
		key = ""
	case !ok:
		return r, &Error{
			Code: CodeInvalidRequest,
			Detail: "The Idempotency-Key is malformed. Send one, of at most 255 characters: a quoted string " +
				`such as "8e03978e-40d5-43dd-bc93-6894a57f9324", or the same without quotes.`,
		}
	case key != "" && b.jobs == nil:
		const detail = "This bridge records no calls, so it cannot repeat an answer. Send no Idempotency-Key."
		return r, &Error{Code: CodeInvalidRequest, Detail: detail}
	}
	_, async := header.Preference(x.r.Header, "respond-async")
	return recording{key: key, async: async && b.jobs != nil}, nil
}

// withCallerWait shortens the operation's timeout to the caller's "Prefer: wait" in seconds (RFC 7240).
func withCallerWait(r *http.Request, op *operation) *operation {
	value, _ := header.Preference(r.Header, "wait")
	seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
	wait := time.Duration(seconds) * time.Second
	if err != nil || seconds == 0 || wait >= op.total {
		return op
	}
	short := *op
	short.total, short.deadline = wait, &deadline{}
	return &short
}

// recordedCall runs a call whose outcome is recorded: a job, or a call with an Idempotency-Key. If the
// key is known, it writes the recorded response. A call that does not run leaves no record, key or slot.
func (b *Bridge) recordedCall(
	x *exchange, op *operation, how recording, body []byte, req any, to responder,
) error {
	if how.async && b.draining.Load() { // since the request arrived: its owner could not come back
		return shuttingDown()
	}
	c := jobs.Info{
		ID: rand.Text(), Job: how.async, Principal: x.principal, RequestID: x.id,
		Method: x.r.Method, Route: x.route, Created: time.Now(),
	}
	if how.key != "" {
		c.Key = digest([]byte(x.principal), []byte(how.key))
		c.Fingerprint = digest([]byte(x.r.Method), []byte(op.endpoint.Path), body)
	}
	r, err := b.reserveOrReplay(x, op, c, to)
	if r == nil || err != nil {
		return err
	}
	begun := false
	defer func() {
		if !begun {
			_ = b.jobs.Delete(r) // the store logs its error
		}
	}()
	release, err := b.admit(x)
	if err != nil {
		return err
	}
	defer func() {
		if !begun {
			release()
		}
	}()
	if err := b.jobs.Persist(r); err != nil {
		return b.jobsError(err, "The call was not begun.")
	}
	if !how.async {
		begun = true
		return b.invokeIdempotent(x, op, req, release, to, r)
	}
	b.startJob(x, op, req, release, r)
	begun = true
	return b.accept(x, r)
}

// reserveOrReplay reserves a record. If the key is known, it writes the recorded response and returns
// nil.
func (b *Bridge) reserveOrReplay(x *exchange, op *operation, c jobs.Info, to responder) (*jobs.Record, error) {
	r, found, err := b.jobs.Reserve(c)
	switch {
	case found:
		err = b.replay(x, op, r, c.Job, to)
	case err == nil:
		return r, nil
	case errors.Is(err, jobs.ErrKeyInUse), errors.Is(err, jobs.ErrKeyReused):
		err = b.jobsError(err, "")
	default:
		return nil, b.jobsError(err, "")
	}
	b.telemetry.Repeated(x.r.Context(), x.route, codeOf(err))
	return nil, err
}

// replay writes the response of an earlier call with the same key.
func (b *Bridge) replay(x *exchange, op *operation, r *jobs.Record, async bool, to responder) error {
	x.body.Release() // the response may take long
	c := b.jobs.Info(r)
	h := x.w.Header()
	switch {
	case c.Job && async:
		x.replayed = true
		h.Set("Idempotency-Replayed", "true")
		return b.accept(x, r)
	case c.Status == jobs.Running:
		return keyInUse(pollAfter(time.Since(c.Created)))
	}
	outcome, err := b.jobs.Outcome(r)
	if err != nil {
		return b.jobsError(err, "The outcome could not be read.")
	}
	if outcome.Problem == nil && b.schemas.Result(x.r.Context(), x.route, op.endpoint.OutputSchema, outcome.Result) != nil {
		return &Error{
			Code: codeKeyReused,
			Detail: "The first call with this Idempotency-Key was answered when the contract promised answers of " +
				"another shape. Use a new key to call again.",
			Clause: "api.endpoints.output_schema",
		}
	}
	x.replayed = true
	h.Set("Idempotency-Replayed", "true")
	if outcome.Problem == nil {
		defer to.close()
		return to.writeResult(outcome.Result)
	}
	x.failure = &Error{Code: c.Code, Status: c.HTTP}
	h.Set("Cache-Control", "no-store")
	return x.writeJSON(c.HTTP, "application/problem+json", outcome.Problem)
}

// invokeIdempotent runs the handler and records an outcome that a repeated call would have, too. After
// another outcome the key is free again when the handler has returned, so that no two handlers run.
func (b *Bridge) invokeIdempotent(
	x *exchange, op *operation, req any, release func(), to responder, r *jobs.Record,
) error {
	release, returned := withDone(release)
	recorder := &recordingResponder{responder: to, jobs: b.jobs, record: r}
	defer func() { // also after a panic of the response
		if !recorder.done {
			b.releaseKeyWhenDone(returned, r)
		}
	}()
	err := b.invoke(x, op, req, release, recorder)
	if failure := publicError(err); !recorder.done && isFinal(failure) {
		state, outcome := failed(r.Info, failure, instanceOf(x.r))
		b.jobs.Finish(r, state, outcome)
		recorder.done = true
	}
	return err
}

// withDone returns release with a channel that it closes. release runs when the handler has returned,
// which may be long after the response, or was not called because of a panic.
func withDone(release func()) (_ func(), returned <-chan struct{}) {
	done := make(chan struct{})
	return func() {
		defer close(done)
		release()
	}, done
}

// releaseKeyWhenDone deletes the record of a call without an outcome when its handler has returned.
func (b *Bridge) releaseKeyWhenDone(returned <-chan struct{}, r *jobs.Record) {
	select {
	case <-returned:
		_ = b.jobs.Delete(r) // the store logs its error
	default:
		b.goroutines.Go(func() {
			<-returned
			_ = b.jobs.Delete(r)
		})
	}
}

// A recordingResponder records a result before the caller sees it. A crash between the two cannot make
// the handler run again for a known result.
type recordingResponder struct {
	responder
	jobs   *jobs.Store
	record *jobs.Record
	done   bool
}

func (a *recordingResponder) writeResult(result []byte) error {
	state, outcome := succeeded(result)
	a.jobs.Finish(a.record, state, outcome)
	a.done = true
	return a.responder.writeResult(result)
}

// startJob runs the handler without its caller.
func (b *Bridge) startJob(x *exchange, op *operation, req any, release func(), r *jobs.Record) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(x.r.Context()))
	ended := b.telemetry.Job(ctx, x.route)
	job := &exchange{
		bridge: b, service: x.service, start: time.Now(), id: x.id, principal: x.principal,
		route: x.route, telemetry: x.telemetry,
	}
	job.r = x.r.WithContext(context.WithValue(ctx, exchangeKey{}, job))
	release, returned := withDone(release)
	long := *op
	if b.opts.Jobs.Timeout > op.total {
		long.total, long.deadline = b.opts.Jobs.Timeout, &deadline{}
	}
	b.jobs.SetCancel(r, cancel)
	x.service.provider.acquire()
	b.goroutines.Go(func() {
		defer cancel(nil)
		state := b.runJob(ctx, job, &long, req, release, returned, r)
		_ = panics.Recover(func() error { // the outcome is recorded: a panic of meters, log or audit changes nothing
			defer ended(string(state.Status), state.Code)
			call := job.call(state.HTTP)
			call.Job = r.ID
			job.report(&call)
			return nil
		})
	})
}

// runJob runs the handler of a job and records the outcome.
func (b *Bridge) runJob(
	ctx context.Context, job *exchange, op *operation, req any, release func(), returned <-chan struct{}, r *jobs.Record,
) jobs.State {
	releaseService := sync.OnceFunc(func() { b.releaseService(job.service) })
	defer releaseService()
	to := &jobResponder{jobs: b.jobs, record: r, maxEvent: op.maxResponse}
	err := panics.Recover(func() error { return b.invoke(job, op, req, release, to) })
	state, outcome := succeeded(to.result)
	if err != nil {
		job.failure = jobError(ctx, err)
		state, outcome = failed(r.Info, job.failure, jobPath(r.ID))
	}
	select {
	case <-returned:
	default:
		if r.Key != "" { // no other handler may run beside one that goes on
			defer b.jobs.HoldKey(r.Key, returned)()
		}
	}
	releaseService() // before the end is visible: the job may be the last call of a replaced provider
	b.jobs.Finish(r, state, outcome)
	return state
}

// jobError returns the public error of a failed job, which has no caller that could leave.
func jobError(ctx context.Context, err error) *Error {
	if !panics.Is(err) {
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, jobs.ErrCancelled):
			return &Error{Code: codeCancelled, Detail: "The job was cancelled.", Cause: err}
		case errors.Is(cause, errStopping):
			return interrupted(err)
		}
	}
	return publicError(err)
}

// A jobResponder records the events and the result of a job.
type jobResponder struct {
	jobs     *jobs.Store
	record   *jobs.Record
	maxEvent int64 // bytes
	result   []byte

	mu     sync.Mutex
	closed bool
}

func (j *jobResponder) wantsEvents() bool            { return true }
func (j *jobResponder) heartbeats() <-chan time.Time { return nil }
func (j *jobResponder) heartbeat() error             { return nil }
func (j *jobResponder) fail(error)                   {}

func (j *jobResponder) send(ctx context.Context, event any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := eventName(event)
	if err != nil {
		return err
	}
	data, err := encodeEvent(event, j.maxEvent)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errors.New("the job has ended")
	}
	j.jobs.AddEvent(j.record, jobs.Event{Name: name, Data: data})
	return nil
}

func (j *jobResponder) writeResult(result []byte) error {
	j.result = result
	return nil
}

func (j *jobResponder) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}

// withOwnedJob calls f with the caller's job of the path's id.
func withOwnedJob(f func(*exchange, *jobs.Record) error) func(*exchange) {
	return func(x *exchange) {
		if err := x.service.access.authenticate(x); err != nil {
			x.fail(err)
			return
		}
		r := x.bridge.jobs.Job(x.r.PathValue("id"), x.principal)
		if r == nil {
			x.fail(noJob())
			return
		}
		if err := f(x, r); err != nil {
			x.fail(err)
		}
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

// followJob streams the events of a job after Last-Event-ID, and then its outcome. A caller that has
// seen the outcome gets 204, which ends its reconnects by the specification of server-sent events.
func (b *Bridge) followJob(x *exchange, r *jobs.Record) error {
	seen, ended, err := parseEventID(x.r.Header.Get("Last-Event-ID"))
	if err != nil {
		return err
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
	defer s.close()
	s.begin()
	if err := s.writeRaw([]byte(": job " + r.ID + "\n\n")); err != nil { // begins the response before the first event
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
		case <-s.heartbeats():
			if err := s.heartbeat(); err != nil {
				return err
			}
		case <-x.r.Context().Done():
			return fmt.Errorf("%w: %w", errClientGone, context.Cause(x.r.Context()))
		}
	}
}

// writeView sends events. If older events were evicted, it first sends a "gap" event with their ids.
func (s *sseResponder) writeView(v jobs.View) error {
	if v.Missed > 0 {
		gap := fmt.Sprintf(`{"first":%d,"last":%d}`, v.First-v.Missed, v.First-1)
		if err := s.writeRaw(sse.AppendEvent(nil, strconv.Itoa(v.First-1), "gap", []byte(gap))); err != nil {
			return err
		}
	}
	for i, event := range v.Events {
		if err := s.writeRaw(sse.AppendEvent(nil, strconv.Itoa(v.First+i), event.Name, event.Data)); err != nil {
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
			_ = s.writeRaw(sse.AppendEvent(nil, "", "error", body)) // without an id, so that a reconnect tries again
		}
		return err
	case outcome.Problem != nil:
		return s.writeRaw(sse.AppendEvent(nil, lastEventID, "error", outcome.Problem))
	}
	return s.writeRaw(sse.AppendEvent(nil, lastEventID, "result", outcome.Result))
}

// parseEventID reads a Last-Event-ID: the number of an event, or lastEventID.
func parseEventID(id string) (seen int, ended bool, err error) {
	if id == "" || id == lastEventID {
		return 0, id == lastEventID, nil
	}
	seen, err = strconv.Atoi(id)
	if err != nil || seen < 0 || strconv.Itoa(seen) != id {
		const detail = "Last-Event-ID is not one that this bridge sent. Leave it out to get all events that are kept."
		return 0, false, &Error{Code: CodeInvalidRequest, Detail: detail}
	}
	return seen, false, nil
}

// succeeded returns the record of a result.
func succeeded(result []byte) (jobs.State, jobs.Outcome) {
	state := jobs.State{Status: jobs.Succeeded, Finished: time.Now(), HTTP: http.StatusOK, Final: true}
	return state, jobs.Outcome{Result: result}
}

// failed returns the record of an error. instance is the path in its problem details.
func failed(c jobs.Info, e *Error, instance string) (jobs.State, jobs.Outcome) {
	state := jobs.State{
		Status: jobs.Failed, Finished: time.Now(), Code: e.code(), HTTP: e.status(), Final: isFinal(e),
	}
	if e.code() == codeCancelled {
		state.Status = jobs.Cancelled
	}
	problem, err := codec.Encode(newProblem(e, instance, c.RequestID))
	if err != nil {
		problem = []byte("{}") // unreachable: a problem is text and numbers
	}
	return state, jobs.Outcome{Problem: problem}
}

// isFinal reports if a repeated request would have the same error.
func isFinal(e *Error) bool {
	switch status := e.status(); status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooEarly,
		http.StatusTooManyRequests, statusClientGone:
		return false
	default:
		return status < 500
	}
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

// digest hashes parts. Their lengths keep ("ab", "c") and ("a", "bc") apart.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
