package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// A record is at PREFIX KIND/data/ID. If it ends, PREFIX KIND/lease/ID says when, and etcd removes both.
func (s *Store) kindKey(kind string) string      { return s.prefix + kind + "/" }
func (s *Store) dataKey(kind, id string) string  { return s.kindKey(kind) + "data/" + id }
func (s *Store) leaseKey(kind, id string) string { return s.kindKey(kind) + "lease/" + id }

func check(r registry.Record) error {
	switch {
	case r.Kind == "" || r.ID == "":
		return errors.New("etcdstore: a record has no kind or no id")
	case strings.Contains(r.Kind, "/"):
		return fmt.Errorf("etcdstore: the kind %q has a slash", r.Kind)
	case len(r.Kind) > 100 || len(r.ID) > maxID:
		return fmt.Errorf("etcdstore: an id has %d bytes, more than %d", len(r.ID), maxID)
	case len(r.Data) > maxData:
		return fmt.Errorf("etcdstore: %s %s has %d bytes, more than the %d that fit into a request to etcd", r.Kind, r.ID, len(r.Data), maxData)
	}
	return nil
}

// Load implements [registry.Store].
func (s *Store) Load(ctx context.Context, kind string, each func(id string, data []byte) error) error {
	prefix := s.kindKey(kind) + "data/"
	held, _, err := s.list(ctx, prefix)
	if err != nil {
		return err
	}
	for _, kv := range held {
		if err := each(strings.TrimPrefix(string(kv.Key), prefix), kv.Value); err != nil {
			return err
		}
	}
	return nil
}

// list returns all that begins with the prefix, as it was at one revision, in pages.
func (s *Store) list(ctx context.Context, prefix string) (held []*mvccpb.KeyValue, revision int64, err error) {
	end := clientv3.GetPrefixRangeEnd(prefix)
	for from, begun := prefix, 1; ; {
		var page *clientv3.GetResponse
		err := s.try(ctx, "listing", func(ctx context.Context, _ bool) (err error) {
			page, err = s.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(pageSize), clientv3.WithRev(revision))
			return err
		})
		switch {
		case errors.Is(err, rpctypes.ErrCompacted) && begun < attempts: // between two pages: begin again
			held, revision, from = nil, 0, prefix
			begun++
			continue
		case err != nil:
			return nil, 0, err
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		if held = append(held, page.Kvs...); !page.More || len(page.Kvs) == 0 {
			return held, revision, nil
		}
		from = string(held[len(held)-1].Key) + "\x00"
	}
}

// Save implements [registry.Store]. It takes up to 128 records of together somewhat more than 1 MiB.
func (s *Store) Save(ctx context.Context, records ...registry.Record) error {
	size, at := 0, make(map[string]int, len(records)) // of the operation on each key: etcd takes one
	var ops []clientv3.Op
	for _, r := range records {
		if err := check(r); err != nil {
			return err
		}
		key := s.dataKey(r.Kind, r.ID)
		op := clientv3.OpDelete(key)
		if r.Data != nil {
			op = clientv3.OpPut(key, string(r.Data))
		}
		size += len(r.Data)
		if i, twice := at[key]; twice {
			ops[i] = op
			continue
		}
		at[key] = len(ops)
		ops = append(ops, op)
	}
	switch {
	case len(ops) == 0:
		return nil
	case len(ops) > maxRecords || size > maxData:
		return fmt.Errorf("etcdstore: %d records of %d bytes are saved at once, more than %d or %d bytes", len(ops), size, maxRecords, maxData)
	}
	return s.try(ctx, "saving", func(ctx context.Context, _ bool) error {
		_, err := s.client.Txn(ctx).Then(ops...).Commit()
		return err
	})
}

// Get implements [registry.SharedStore].
func (s *Store) Get(ctx context.Context, kind, id string) (held registry.Record, err error) {
	if err := check(registry.Record{Kind: kind, ID: id}); err != nil {
		return held, err
	}
	err = s.try(ctx, "reading", func(ctx context.Context, _ bool) error {
		answer, err := s.client.Txn(ctx).Then(s.reads(kind, id)...).Commit()
		if err == nil {
			held, _ = heldIn(kind, id, answer)
		}
		return err
	})
	return held, err
}

// reads is what heldIn reads.
func (s *Store) reads(kind, id string) []clientv3.Op {
	return []clientv3.Op{clientv3.OpGet(s.dataKey(kind, id)), clientv3.OpGet(s.leaseKey(kind, id))}
}

// heldIn returns the record that was read, and its lease.
func heldIn(kind, id string, answer *clientv3.TxnResponse) (held registry.Record, lease clientv3.LeaseID) {
	data, dated := answer.Responses[0].GetResponseRange().Kvs, answer.Responses[1].GetResponseRange().Kvs
	if len(data) == 0 {
		return held, 0
	}
	held = recordOf(kind, id, data[0])
	if len(dated) > 0 {
		held.Until = untilOf(dated[0])
	}
	return held, clientv3.LeaseID(data[0].Lease)
}

func recordOf(kind, id string, kv *mvccpb.KeyValue) registry.Record {
	data := kv.Value
	if data == nil {
		data = []byte{}
	}
	return registry.Record{Kind: kind, ID: id, Data: data, Version: kv.ModRevision}
}

// untilOf reads when a lease ends. What is not a time is long ago, so that nothing is kept for ever by a fault.
func untilOf(kv *mvccpb.KeyValue) time.Time {
	until, err := time.Parse(time.RFC3339Nano, string(kv.Value))
	if err != nil {
		return time.Unix(0, 0)
	}
	return until
}
