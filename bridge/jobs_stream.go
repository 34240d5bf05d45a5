package bridge

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	maxWatchers = 16    // that follow one job at the same time
	lastEventID = "end" // of the event that ends the stream of a job: how many came before may be known no longer
)

// followJob streams a job's events, from the one after Last-Event-ID on, and then its outcome. Whoever has seen that
// already is told by 204 not to come again, as the specification of server-sent events has it.
func (b *Bridge) followJob(x *exchange, e *entry) error {
	seen, ended, err := parseEventID(x.r.Header.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	if ended {
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if !b.ledger.watch(e) {
		return &Error{Code: CodeRateLimited, Detail: fmt.Sprintf("%d streams follow this job already.", maxWatchers), RetryAfter: time.Second}
	}
	defer b.ledger.unwatch(e)
	s := newEventStream(x, 0)
	s.begin()
	if err := s.put([]byte(": job " + e.ID + "\n\n")); err != nil { // the response begins, however long the first event takes
		return err
	}
	defer s.close()
	for {
		v := b.ledger.view(e, seen)
		if err := s.putView(v); err != nil {
			return err
		}
		seen = v.first + len(v.events) - 1
		if v.Status != jobRunning {
			return s.end(b.ledger, e)
		}
		select {
		case <-v.changed:
		case <-s.heartbeats():
			if err := s.heartbeat(); err != nil {
				return err
			}
		case <-x.r.Context().Done():
			return fmt.Errorf("%w: %w", errClientGone, context.Cause(x.r.Context()))
		}
	}
}

// putView sends events. Those that are no longer kept are missed aloud.
func (s *eventStream) putView(v jobView) error {
	if v.missed > 0 {
		gap := fmt.Sprintf(`{"first":%d,"last":%d}`, v.first-v.missed, v.first-1)
		if err := s.put(frameOf(strconv.Itoa(v.first-1), "gap", []byte(gap))); err != nil {
			return err
		}
	}
	for i, event := range v.events {
		if err := s.put(frameOf(strconv.Itoa(v.first+i), event.name, event.data)); err != nil {
			return err
		}
	}
	return nil
}

// end sends the one event that ends the stream of a job.
func (s *eventStream) end(l *ledger, e *entry) error {
	outcome, err := l.outcome(e)
	switch {
	case err != nil:
		if body, err := encode(newProblem(classify(err), jobPath(e.ID), s.x.id)); err == nil {
			_ = s.put(frameOf("", "error", body)) // without an id: who comes again may be luckier
		}
		return err
	case outcome.Problem != nil:
		return s.put(frameOf(lastEventID, "error", outcome.Problem))
	}
	return s.put(frameOf(lastEventID, "result", outcome.Result))
}
