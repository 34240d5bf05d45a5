package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"
)

var errCancelled = errors.New("the job was cancelled by its owner")

// newKeptCall describes the call of a request for the ledger.
func newKeptCall(x *exchange, async bool) keptCall {
	return keptCall{
		ID: rand.Text(), Job: async, Principal: x.principal, RequestID: x.id,
		Method: x.r.Method, Route: x.route, Created: time.Now(),
	}
}

// accept answers that a job has begun.
func (b *Bridge) accept(x *exchange, e *entry) error {
	x.w.Header().Set("Location", jobPath(e.ID))
	x.w.Header().Set("Preference-Applied", "respond-async")
	return b.writeJob(x, e, http.StatusAccepted)
}

// start runs the handler as a job: its context is the caller's request no longer, but its own.
// After an error it does not run.
func (b *Bridge) start(x *exchange, bound *binding, req any, release func(), e *entry) error {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(x.r.Context()))
	job := &exchange{bridge: b, service: x.service, start: time.Now(), id: x.id, principal: x.principal, route: x.route, span: x.span, traced: x.traced}
	job.r = x.r.WithContext(context.WithValue(ctx, exchangeKey{}, job))
	ended, err := guarded(func() (func(keptState), error) { return b.telemetry.job(ctx, x.route), nil }) // meters are the operator's
	if err != nil {
		cancel(nil)
		return err
	}
	release, returned := tracked(release)
	long := *bound
	if b.opts.JobTimeout > bound.total {
		long.total, long.deadline = b.opts.JobTimeout, &deadline{}
	}
	b.ledger.own(e, cancel)
	x.service.provider.acquire()
	b.calls.Go(func() {
		leave := sync.OnceFunc(func() { b.release(x.service) })
		defer leave()
		defer cancel(nil)
		to := &jobAnswer{ledger: b.ledger, entry: e, limit: bound.maxResponse}
		_, err := guarded(func() (any, error) { return nil, b.invoke(job, &long, req, release, to, b.runApart) })
		record := e.succeed(to.result)
		if err != nil {
			job.failure = blameForJob(ctx, err)
			record = e.fail(job.failure, jobPath(e.ID))
		}
		select {
		case <-returned:
		default:
			if e.Key != "" { // nobody may run beside a handler that goes on
				defer b.ledger.occupy(e.Key, returned)()
			}
		}
		leave() // before anybody sees the end: it may be that of the provider's last call
		b.ledger.finish(e, record)
		_, _ = guarded(func() (any, error) { // meters and loggers are the operator's, and nobody is left to tell of their panics
			ended(record.keptState)
			return nil, nil
		})
		_, _ = guarded(func() (any, error) {
			call := job.call(record.HTTP)
			call.Job = e.ID
			job.tell(&call)
			return nil, nil
		})
	})
	return nil
}

// blameForJob is [blame] for a call that has no caller to leave it.
func blameForJob(ctx context.Context, err error) *Error {
	if _, ok := errors.AsType[*panicError](err); ok {
		return classify(err)
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errCancelled):
		return &Error{Code: codeCancelled, Detail: "The job was cancelled.", Cause: err}
	case errors.Is(cause, errStopping):
		return interrupted(err)
	}
	return classify(err)
}

// own gives the ledger what it needs to end a job.
func (l *ledger) own(e *entry, cancel context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.cancel = cancel
	if l.stopping {
		cancel(errStopping)
	}
}

// cancel ends a job if it is in progress, which it reports.
func (l *ledger) cancel(e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Status != jobRunning {
		return false
	}
	if e.cancel != nil {
		e.cancel(errCancelled)
	}
	return true
}

// A jobAnswer collects what a job has to say.
type jobAnswer struct {
	ledger *ledger
	entry  *entry
	limit  int64 // of an event, in bytes
	result []byte

	mu     sync.Mutex
	closed bool
}

func (a *jobAnswer) listens() bool { return true }

func (a *jobAnswer) send(ctx context.Context, event any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, data, err := encodeEvent(event, a.limit)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errors.New("the job has ended")
	}
	a.ledger.addEvent(a.entry, name, data)
	return nil
}

func (a *jobAnswer) finish(result []byte) error {
	a.result = result
	return nil
}

func (a *jobAnswer) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
}

func (a *jobAnswer) attach(context.CancelCauseFunc) {}
func (a *jobAnswer) fail(error)                     {}
