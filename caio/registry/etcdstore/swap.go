package etcdstore

import (
	"bytes"
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// Swap implements [registry.SharedStore]. The place of a change is its revision. A renewal writes the lease only.
func (s *Store) Swap(ctx context.Context, next registry.Record) (held registry.Record, at int64, err error) {
	if err := check(next); err != nil {
		return held, 0, err
	}
	if next.Data == nil && next.Version == 0 {
		held, err := s.Get(ctx, next.Kind, next.ID)
		return held, 0, err
	}
	err = s.try(ctx, "swapping", func(ctx context.Context, again bool) (err error) {
		switch {
		case next.Data == nil:
			held, at, err = s.remove(ctx, next, again)
		case next.Until.IsZero():
			held, at, err = s.commit(ctx, next, clientv3.OpPut(s.dataKey(next.Kind, next.ID), string(next.Data)), clientv3.OpDelete(s.leaseKey(next.Kind, next.ID)))
		default:
			held, at, err = s.lease(ctx, next)
		}
		return err
	})
	return held, at, err
}

// commit does what it is told if the record's version is that of next, and otherwise reads what is held.
func (s *Store) commit(ctx context.Context, next registry.Record, ops ...clientv3.Op) (held registry.Record, at int64, err error) {
	same := clientv3.Compare(clientv3.ModRevision(s.dataKey(next.Kind, next.ID)), "=", next.Version)
	answer, err := s.client.Txn(ctx).If(same).Then(ops...).Else(s.reads(next.Kind, next.ID)...).Commit()
	switch {
	case err != nil:
		return held, 0, err
	case !answer.Succeeded:
		held, _ = heldIn(next.Kind, next.ID, answer)
		return held, 0, nil
	}
	at = answer.Header.Revision
	if len(ops) > 1 { // more than a renewal
		next.Version = at
	}
	return next, at, nil
}

// remove deletes the record. If it is gone after an attempt whose outcome is not known, this call removed it.
func (s *Store) remove(ctx context.Context, next registry.Record, again bool) (held registry.Record, at int64, err error) {
	held, at, err = s.commit(ctx, next, clientv3.OpDelete(s.dataKey(next.Kind, next.ID)), clientv3.OpDelete(s.leaseKey(next.Kind, next.ID)))
	switch {
	case err != nil || at == 0 && held.Version != 0:
		return held, at, err
	case at == 0 && again:
		at = next.Version
	}
	return registry.Record{}, at, nil
}

// lease saves a record that ends. etcd removes it then, whether or not a registry runs.
func (s *Store) lease(ctx context.Context, next registry.Record) (held registry.Record, at int64, err error) {
	seconds := max(1, int64((time.Until(next.Until)+time.Second-1)/time.Second))
	dated := next.Until.UTC().Format(time.RFC3339Nano)
	if next.Version != 0 {
		answer, err := s.client.Txn(ctx).Then(s.reads(next.Kind, next.ID)...).Commit()
		if err != nil {
			return held, 0, err
		}
		held, lease := heldIn(next.Kind, next.ID, answer)
		if held.Version != next.Version {
			return held, 0, nil
		}
		if lease != 0 && bytes.Equal(held.Data, next.Data) {
			kept, err := s.client.KeepAliveOnce(ctx, lease)
			switch {
			case err == nil && kept.TTL >= seconds:
				return s.commit(ctx, next, clientv3.OpPut(s.leaseKey(next.Kind, next.ID), dated, clientv3.WithLease(lease)))
			case err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound):
				return held, 0, err
			}
		}
	}
	granted, err := s.client.Grant(ctx, seconds)
	if err != nil {
		return held, 0, err
	}
	held, at, err = s.commit(ctx, next,
		clientv3.OpPut(s.dataKey(next.Kind, next.ID), string(next.Data), clientv3.WithLease(granted.ID)),
		clientv3.OpPut(s.leaseKey(next.Kind, next.ID), dated, clientv3.WithLease(granted.ID)))
	if err == nil && at == 0 {
		s.client.Revoke(ctx, granted.ID) // or it ends by itself
	}
	return held, at, err
}
