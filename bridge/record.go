package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobs"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/panics"
)

// recordedCall runs a call whose outcome is recorded: a job, or a call with an Idempotency-Key. If
// the key is known, it writes the recorded response. A call that does not run leaves no record, key
// or slot.
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
		c.Key = jobs.Digest([]byte(x.principal), []byte(how.key))
		c.Fingerprint = jobs.Digest([]byte(x.r.Method), []byte(op.endpoint.Path), body)
	}
	r, err := b.reserveOrReplay(x, op, c, to)
	if r == nil || err != nil {
		return err
	}
	begun := false
	defer func() {
		if !begun {
			_ = b.jobs.Delete(r) // frees the key of a call that was refused; the store logs its error
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

// reserveOrReplay reserves a record. If the key is known, it writes the recorded response and
// returns nil.
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
	schema := op.endpoint.OutputSchema
	if outcome.Problem == nil && b.schemas.Result(x.r.Context(), x.route, schema, outcome.Result) != nil {
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
		defer to.Close()
		return to.writeResult(outcome.Result)
	}
	x.failure = &Error{Code: c.Code, Status: c.HTTP}
	// The stored bytes are sent, so that the replay equals the first answer.
	setProblemHeaders(h, c.HTTP, 0)
	return x.writeJSON(c.HTTP, "application/problem+json", outcome.Problem)
}

// invokeIdempotent runs the handler and records an outcome that a repeated call would have, too.
// After another outcome the key is free again when the handler has returned, so that no two
// handlers run. The limiter has admitted the call before.
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
	if failure := publicError(err); !recorder.done && jobs.IsFinal(failure.status()) {
		state, outcome := failed(r.Info, failure, instanceOf(x.r))
		b.jobs.Finish(r, state, outcome)
		recorder.done = true
	}
	return err
}

// withDone returns release with a channel that it closes. release runs when the handler has
// returned, which may be long after the response, or was not called because of a panic.
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

// A recordingResponder records a result before the caller sees it. A crash between the two cannot
// make the handler run again for a known result.
type recordingResponder struct {
	responder
	jobs   *jobs.Store
	record *jobs.Record
	done   bool
}

func (a *recordingResponder) writeResult(result []byte) error {
	state, outcome := jobs.Success(result)
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
	if b.opts.Jobs.Timeout > op.Total {
		long.Bounds = op.WithTotal(b.opts.Jobs.Timeout)
	}
	b.jobs.SetCancel(r, cancel)
	x.service.provider.Acquire()
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
	to := b.newJobResponder(r, op.MaxResponse)
	err := panics.Recover(func() error { return b.invoke(job, op, req, release, to) })
	state, outcome := jobs.Success(to.Result())
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
type jobResponder struct{ jobs.Collector }

func (b *Bridge) newJobResponder(r *jobs.Record, maxEvent int64) *jobResponder {
	return &jobResponder{jobs.Collector{Store: b.jobs, Record: r, Encode: func(event any) (jobs.Event, error) {
		name, err := eventName(event)
		if err != nil {
			return jobs.Event{}, err
		}
		data, err := encodeEvent(event, maxEvent)
		return jobs.Event{Name: name, Data: data}, err
	}}}
}

func (j *jobResponder) wantsEvents() bool                         { return true }
func (j *jobResponder) send(ctx context.Context, event any) error { return j.Send(ctx, event) }
func (j *jobResponder) Heartbeats() <-chan time.Time              { return nil }
func (j *jobResponder) Heartbeat() error                          { return nil }
func (j *jobResponder) fail(error)                                {}

func (j *jobResponder) writeResult(result []byte) error {
	j.SetResult(result)
	return nil
}
