package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/storefault"
)

// A Store keeps what a registry holds beyond its life. Package storetest checks implementations; package boltstore is one
// for a file, package etcdstore one for several machines. A Store must be safe for concurrent use. At most one registry
// uses it at a time, unless it is a [SharedStore].
type Store interface {
	// Load calls each for every record of a kind, in the order of their ids, and stops with the first error, which it
	// returns. each may keep the data, and does not call the Store.
	Load(ctx context.Context, kind string, each func(id string, data []byte) error) error

	// Save writes the records, all of them or, with an error, none. When it returns, they outlast the process and the
	// machine. It does not keep the data. It takes at least 100 records of together 1 MiB; a registry gives it no more.
	Save(ctx context.Context, records ...Record) error
}

// A Record is something that a [Store] keeps under its kind and id.
type Record struct {
	Kind string // "service" or "trace"
	ID   string // not empty
	Data []byte // nil to delete the record, which need not be there

	// The following are for [SharedStore.Swap] and what it swapped.
	Until   time.Time // when the record ends, unless it is swapped again before; zero for never
	Version int64     // of the data; 0 if there is none
}

const (
	kindService = "service"
	kindTrace   = "trace"

	maxLeftOut = 10 // log lines at a time about services for which there is no room

	maxBatch      = 100 // records that are saved at once
	maxBatchBytes = 1 << 20

	maxSharedTraces = 64 // that a registry stores per second in a SharedStore, so that decisions do not fill it
)

// A serviceRecord is what is stored of a service. Its lease starts anew when it is loaded, because nobody could renew it
// while there was no registry.
type serviceRecord struct {
	Contract   json.RawMessage `json:"contract"`
	TTLSeconds int             `json:"ttl_seconds,omitempty"`
}

// load fills an empty registry from its store. It reports all records that are not what this package stored.
func (r *Registry) load(ctx context.Context) error {
	if r.store == nil {
		return nil
	}
	if r.replica != nil {
		if err := r.loadShared(ctx); err != nil {
			return err
		}
		return r.loadTraces(ctx)
	}
	var records []Record
	err := r.store.Load(ctx, kindService, func(id string, data []byte) error {
		records = append(records, Record{Kind: kindService, ID: id, Data: data})
		return nil
	})
	var faults []error
	var entries []*entry
	for _, s := range decodeServices(records) {
		if s.err != nil {
			faults = append(faults, s.err)
			continue
		}
		s.presence.lease(s.ttl)
		r.expireFrom(s.presence.expires.Load())
		entries = append(entries, s.entry)
	}
	r.addAll(entries)
	return errors.Join(err, errors.Join(faults[:min(len(faults), 10)]...), r.loadTraces(ctx))
}

// addAll adds services from the store. A service that exceeds a limit is logged and not served, and stays in the store.
func (r *Registry) addAll(entries []*entry) {
	for i, left := range r.services.add(entries...) {
		if i == maxLeftOut {
			r.log.Error("further services of the store are not served for want of room")
			break
		}
		r.log.Error("a service of the store is not served", "service_id", left.contract.ID, "error", left.err)
	}
}

func (r *Registry) loadTraces(ctx context.Context) error {
	var faults []error
	type dated struct {
		id   string
		at   time.Time
		data []byte
	}
	var traces []dated
	size := 0
	err := r.store.Load(ctx, kindTrace, func(id string, data []byte) error {
		var trace struct{ Timestamp time.Time }
		if err := json.Unmarshal(data, &trace); err != nil && len(faults) < 10 {
			faults = append(faults, fmt.Errorf("stored trace %s: %w", wire.Clip(id, 100), err))
		}
		traces = append(traces, dated{id, trace.Timestamp, data})
		size += len(data)
		return nil
	})
	slices.SortStableFunc(traces, func(a, b dated) int { return a.at.Compare(b.at) })
	var old []Record // for which there is no room
	for r.traces.overflows(len(traces), size) {
		old = append(old, Record{Kind: kindTrace, ID: traces[0].id})
		traces, size = traces[1:], size-len(traces[0].data)
	}
	for batch := range batches(old) {
		if failed := r.saveRecords(ctx, batch...); failed != nil { // the next start deletes them, or the one after that
			r.log.Error("old traces are still stored", "error", failed)
			break
		}
	}
	for _, trace := range traces {
		r.traces.add(trace.id, trace.data)
	}
	r.traces.settle()
	return errors.Join(err, errors.Join(faults...))
}

func encodeService(e *entry, ttl time.Duration) ([]byte, error) {
	text, err := e.contract.MarshalJSON()
	if err != nil {
		return nil, err
	}
	// Not by encoding/json, which escapes what it takes for HTML: that could become too large to be read again.
	return fmt.Appendf(nil, `{"contract":%s,"ttl_seconds":%d}`, text, int(ttl/time.Second)), nil
}

// A stored is a service that was read from a record, or why it could not be.
type stored struct {
	*entry
	ttl time.Duration
	err error
}

// decodeServices reads records, on all processors: a contract takes half a millisecond.
func decodeServices(records []Record) []stored {
	list := make([]stored, len(records))
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(len(records), runtime.GOMAXPROCS(0)) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(records)); i = next.Add(1) - 1 {
				list[i] = decodeService(records[i].ID, records[i].Data)
			}
		})
	}
	running.Wait()
	return list
}

func decodeService(id string, data []byte) (s stored) {
	var record serviceRecord
	err := json.Unmarshal(data, &record)
	var ct *contract.Contract
	if err == nil {
		ct, err = contract.Parse(id, record.Contract)
	}
	if err == nil && ct.ID != id {
		err = fmt.Errorf("its contract is that of %s", wire.Clip(ct.ID, 100))
	}
	if err == nil {
		s.ttl = time.Duration(record.TTLSeconds) * time.Second
		s.entry, err = newEntry(ct)
	}
	if err != nil {
		s.err = fmt.Errorf("stored service %s: %w", wire.Clip(id, 100), err)
	}
	return s
}

// save stores the service with a lease.
func (r *Registry) save(ctx context.Context, e *entry, ttl time.Duration) error {
	if r.store == nil {
		return nil
	}
	data, err := encodeService(e, ttl)
	if err != nil {
		return err
	}
	return r.orFull("register", r.saveRecords(ctx, Record{Kind: kindService, ID: e.contract.ID, Data: data}))
}

// forget removes services from the store.
func (r *Registry) forget(ctx context.Context, services ...*entry) error {
	if r.store == nil {
		return nil
	}
	records := make([]Record, len(services))
	for i, e := range services {
		records[i] = Record{Kind: kindService, ID: e.contract.ID}
	}
	for batch := range batches(records) {
		if err := r.saveRecords(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}

// orFull returns err, as a refusal that callers may repeat if the store takes no data.
func (r *Registry) orFull(op string, err error) error {
	if !storefault.Unwritable(err) {
		return err
	}
	r.log.Error("the store takes no data", "op", op, "error", err)
	return errors.Join(&caio.Error{
		Op: op, Status: http.StatusServiceUnavailable, Code: wire.StoreUnavailable, RetryAfter: storeRetryAfter,
		Message: "the store of this registry takes no data, so this is not done: try again later; services are still listed and routed to",
	}, err)
}

// saveRecords finishes what it began even if the caller goes away.
func (r *Registry) saveRecords(ctx context.Context, records ...Record) error {
	if err := r.store.Save(context.WithoutCancel(ctx), records...); err != nil {
		return fmt.Errorf("registry: storing: %w", err)
	}
	return nil
}

// saveTraces stores traces as they come, those of one commit's duration together, until ctx ends, and then the last.
func (r *Registry) saveTraces(ctx context.Context) {
	for {
		select {
		case <-r.traces.changed:
		case <-ctx.Done():
		}
		records := r.traces.unsaved()
		if len(records) == 0 && ctx.Err() != nil {
			return
		}
		if r.replica != nil {
			records = newest(records, maxSharedTraces)
		}
		for batch := range batches(records) {
			if err := r.saveRecords(ctx, batch...); err != nil {
				r.log.Error("traces are not stored", "count", len(records), "error", err)
				break
			}
		}
		if r.replica != nil {
			wait(ctx, time.Second)
		}
	}
}

// batches splits records into what a [Store] takes at once.
func batches(records []Record) iter.Seq[[]Record] {
	return func(yield func([]Record) bool) {
		for len(records) > 0 {
			n, size := 0, 0
			for n < min(len(records), maxBatch) && (n == 0 || size+len(records[n].Data) <= maxBatchBytes) {
				size += len(records[n].Data)
				n++
			}
			if !yield(records[:n]) {
				return
			}
			records = records[n:]
		}
	}
}
