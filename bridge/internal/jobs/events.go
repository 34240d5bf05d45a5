package jobs

import "strconv"

// Bounds of the events in memory for one job. The oldest are evicted first.
const (
	maxEvents     = 1000
	maxEventBytes = 1 << 20
)

// MaxWatchers is the number of streams that may follow one job at the same time.
const MaxWatchers = 16

// An eventBuffer holds the last events of a job. Their ids count from 1.
type eventBuffer struct {
	kept  []Event
	size  int64
	total int // number of events so far, which is the id of the last
}

// An Event is one event of a job.
type Event struct {
	Name string
	Data []byte // JSON
}

func (e Event) size() int64 { return int64(len(e.Name)+len(e.Data)) + 64 }

// AddEvent adds an event to a running job.
func (s *Store) AddEvent(r *Record, event Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.events.kept = append(r.events.kept, event)
	r.events.total++
	r.events.size += event.size()
	r.size += event.size()
	s.bytes += event.size()
	for n := len(r.events.kept); n > 0; n-- {
		if n <= maxEvents && r.events.size <= maxEventBytes && s.bytes <= s.config.MaxBytes {
			break
		}
		s.dropEvents(r, n-1)
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// dropEvents evicts all events but the last n.
func (s *Store) dropEvents(r *Record, n int) {
	for len(r.events.kept) > n {
		size := r.events.kept[0].size()
		r.events.kept[0] = Event{}
		r.events.kept = r.events.kept[1:]
		r.events.size -= size
		r.size -= size
		s.bytes -= size
	}
}

// A View is a job as seen by a stream that follows it.
type View struct {
	Info
	Events  []Event
	First   int             // id of the first of Events
	Missed  int             // number of evicted events before it
	Changed <-chan struct{} // closed at the next change
}

// View returns a job with its events after the id seen.
func (s *Store) View(r *Record, seen int) View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := View{Info: r.Info, Changed: r.changed}
	total := max(r.events.total, r.Info.Events) // only the record has the number after a restart
	seen = min(seen, total)
	oldest := total - len(r.events.kept) + 1
	v.First = max(seen+1, oldest)
	v.Missed = v.First - seen - 1
	v.Events = append(v.Events, r.events.kept[v.First-oldest:]...)
	return v
}

// Watch counts a stream that follows a job. It reports false if there are MaxWatchers already. The
// caller calls Unwatch at its end.
func (s *Store) Watch(r *Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.watchers >= MaxWatchers {
		return false
	}
	r.watchers++
	return true
}

// Unwatch ends a Watch.
func (s *Store) Unwatch(r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.watchers--
}

// LastEventID is the id of the event that ends the stream of a job. The number of earlier events
// may be unknown after a restart.
const LastEventID = "end"

// ParseEventID reads a Last-Event-ID: the number of an event, or LastEventID, which has ended true.
func ParseEventID(id string) (seen int, ended, ok bool) {
	if id == "" || id == LastEventID {
		return 0, id == LastEventID, true
	}
	seen, err := strconv.Atoi(id)
	return seen, false, err == nil && seen >= 0 && strconv.Itoa(seen) == id
}
