package bridge

import "strconv"

// What is kept of a job's events for those who come late or again. Beyond that the oldest go.
const (
	maxJobEvents     = 1000
	maxJobEventBytes = 1 << 20
)

// An eventBuffer holds the last events of a job, whose ids count from 1. The ledger's lock guards it.
type eventBuffer struct {
	kept  []keptEvent
	size  int64
	total int // so many were sent; the id of the last
}

type keptEvent struct {
	name string
	data []byte
}

func (e keptEvent) size() int64 { return int64(len(e.name)+len(e.data)) + 64 }

// addEvent keeps an event and lets watchers know.
func (l *ledger) addEvent(e *entry, name string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	event := keptEvent{name, data}
	e.events.kept = append(e.events.kept, event)
	e.events.total++
	e.events.size += event.size()
	e.size += event.size()
	l.bytes += event.size()
	for n := len(e.events.kept); n > 0 && (n > maxJobEvents || e.events.size > maxJobEventBytes || l.bytes > l.maxBytes); n-- {
		l.dropEvents(e, n-1)
	}
	close(e.changed)
	e.changed = make(chan struct{})
}

// dropEvents leaves the last n events.
func (l *ledger) dropEvents(e *entry, n int) {
	for len(e.events.kept) > n {
		size := e.events.kept[0].size()
		e.events.kept[0] = keptEvent{}
		e.events.kept = e.events.kept[1:]
		e.events.size -= size
		e.size -= size
		l.bytes -= size
	}
}

// A jobView is what there is to tell someone who has seen a job's events up to some id.
type jobView struct {
	keptCall
	events  []keptEvent
	first   int             // id of the first of events
	missed  int             // events before it that are no longer kept
	changed <-chan struct{} // closed when there is more
}

func (l *ledger) view(e *entry, seen int) jobView {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := jobView{keptCall: e.keptCall, changed: e.changed}
	total := max(e.events.total, e.Events) // after a restart the number alone is known
	seen = min(seen, total)
	oldest := total - len(e.events.kept) + 1
	v.first = max(seen+1, oldest)
	v.missed = v.first - seen - 1
	v.events = append(v.events, e.events.kept[v.first-oldest:]...)
	return v
}

// watch counts someone who follows a job, as long as there are not too many.
func (l *ledger) watch(e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.watchers >= maxWatchers {
		return false
	}
	e.watchers++
	return true
}

func (l *ledger) unwatch(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.watchers--
}

// parseEventID reads a Last-Event-ID as the bridge sent it: the number of an event, or lastID.
func parseEventID(id string) (seen int, ended bool, err error) {
	if id == "" || id == lastEventID {
		return 0, id == lastEventID, nil
	}
	seen, err = strconv.Atoi(id)
	if err != nil || seen < 0 || strconv.Itoa(seen) != id {
		return 0, false, &Error{Code: CodeInvalidRequest, Detail: "Last-Event-ID is not one that this bridge sent. Leave it out to get all events that are kept."}
	}
	return seen, false, nil
}
