package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// Watch implements [registry.SharedStore]. It is out of touch when etcd has not answered for two timeouts, or the member
// it is connected to has lost the leader. It goes on where it was; if etcd has compacted that away, it yields all anew.
func (s *Store) Watch(ctx context.Context, kind string) iter.Seq2[registry.Changes, error] {
	return func(yield func(registry.Changes, error) bool) {
		known := int64(0) // revision up to which changes were yielded; 0 for none
		for ctx.Err() == nil {
			var err error
			if known == 0 {
				var all registry.Changes
				if all, err = s.all(ctx, kind); err == nil {
					known = all.At
					if !yield(all, nil) {
						return
					}
				}
			}
			if err == nil {
				var goOn bool
				if known, goOn, err = s.watch(ctx, kind, known, yield); !goOn {
					return
				}
			}
			if ctx.Err() != nil || err != nil && !yield(registry.Changes{}, err) {
				return
			}
			select {
			case <-time.After(s.timeout/20 + rand.N(s.timeout/10)):
			case <-ctx.Done():
			}
		}
	}
}

// all returns everything of the kind.
func (s *Store) all(ctx context.Context, kind string) (registry.Changes, error) {
	prefix := s.kindKey(kind)
	held, revision, err := s.list(ctx, prefix)
	if err != nil {
		return registry.Changes{}, errors.Join(err, s.diagnose(ctx))
	}
	var events []*clientv3.Event
	for _, kv := range held {
		events = append(events, &clientv3.Event{Type: clientv3.EventTypePut, Kv: kv})
	}
	all := changesIn(kind, prefix, events)
	all.At, all.Whole, all.Renewed = revision, true, nil
	return all, nil
}

// watch yields what changes after the revision. It returns how far it came, 0 if it must begin anew, and why it ended.
func (s *Store) watch(ctx context.Context, kind string, known int64, yield func(registry.Changes, error) bool) (reached int64, goOn bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	watcher := clientv3.NewWatcher(s.client) // the client's own would reuse a connection that is stuck
	defer watcher.Close()
	prefix := s.kindKey(kind)
	late := time.AfterFunc(s.timeout, cancel) // it waits for a member that can be reached
	answers := watcher.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(known+1), clientv3.WithCreatedNotify())
	if !late.Stop() {
		return known, true, s.explain("watching", context.DeadlineExceeded)
	}
	asks := time.NewTicker(s.timeout / 2)
	defer asks.Stop()
	heard, patience := time.Now(), s.timeout // till it is created
	for {
		select {
		case answer, ok := <-answers:
			switch err := answer.Err(); {
			case errors.Is(err, rpctypes.ErrCompacted):
				return 0, true, nil
			case err != nil:
				return known, true, s.explain("watching", err)
			case !ok:
				return known, true, fmt.Errorf("etcdstore: watching etcd at %s ended", s.names)
			}
			heard, patience = time.Now(), 2*s.timeout
			for _, changes := range byRevision(kind, prefix, answer.Events) {
				known = changes.At
				if !yield(changes, nil) {
					return known, false, nil
				}
			}
			if len(answer.Events) == 0 && !yield(registry.Changes{At: known}, nil) {
				return known, false, nil
			}
		case <-asks.C:
			if time.Since(heard) >= patience {
				return known, true, s.explain("watching", context.DeadlineExceeded)
			}
			asking, stop := context.WithTimeout(ctx, s.timeout/4)
			watcher.RequestProgress(asking) // the answer counts, not whether asking worked
			stop()
		case <-ctx.Done():
			return known, false, nil
		}
	}
}

// byRevision makes changes of the events of each revision.
func byRevision(kind, prefix string, events []*clientv3.Event) []registry.Changes {
	var all []registry.Changes
	for len(events) > 0 {
		n, revision := 1, events[0].Kv.ModRevision
		for n < len(events) && events[n].Kv.ModRevision == revision {
			n++
		}
		changes := changesIn(kind, prefix, events[:n])
		changes.At = revision
		all, events = append(all, changes), events[n:]
	}
	return all
}

// changesIn reads the events of one revision: those of a record's data and of its lease belong together.
func changesIn(kind, prefix string, events []*clientv3.Event) (changes registry.Changes) {
	data, leases := make(map[string]*clientv3.Event), make(map[string]*mvccpb.KeyValue)
	var ids []string
	for _, event := range events {
		key := strings.TrimPrefix(string(event.Kv.Key), prefix)
		if id, ok := strings.CutPrefix(key, "data/"); ok {
			data[id] = event
			ids = append(ids, id)
		} else if id, ok := strings.CutPrefix(key, "lease/"); ok && event.Type == clientv3.EventTypePut {
			leases[id] = event.Kv
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		var until time.Time
		if lease := leases[id]; lease != nil {
			until = untilOf(lease)
		}
		switch event := data[id]; {
		case event == nil:
			changes.Renewed = append(changes.Renewed, registry.Record{Kind: kind, ID: id, Until: until})
		case event.Type == clientv3.EventTypeDelete:
			changes.Gone = append(changes.Gone, id)
		default:
			saved := recordOf(kind, id, event.Kv)
			saved.Until = until
			changes.Saved = append(changes.Saved, saved)
		}
	}
	return changes
}
