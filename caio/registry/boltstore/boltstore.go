// Package boltstore keeps a registry in one file, for one machine.
package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	boltfault "go.etcd.io/bbolt/errors"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/internal/storefault"
)

// lockTimeout is how long to wait for a process that is on its way out.
const lockTimeout = 2 * time.Second

// A Store is a [registry.Store] in a file. What was saved survives the end of the process at any moment, and, as far as the
// disk keeps its word, of the machine. It is safe for concurrent use; one process at a time has the file open.
type Store struct {
	db *bbolt.DB
}

// Open opens the file, and makes it, readable for its owner only, if there is none. It must be
// closed. On a read-only file system it opens a file that is there, and Save fails.
func Open(path string) (*Store, error) {
	info, err := os.Stat(path)
	isNew := errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if storefault.Unwritable(err) {
		if isNew {
			_ = os.Remove(path) // bbolt may have written a part of its first pages, which it would take for damage
		} else if readable, failed := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true}); failed == nil {
			return &Store{readable}, nil
		}
	}
	switch {
	case errors.Is(err, boltfault.ErrTimeout):
		return nil, fmt.Errorf("boltstore: %s is in use: is another registry running?", path)
	case err != nil:
		return nil, fmt.Errorf("boltstore: opening %s: %w", path, err)
	}
	return &Store{db}, nil
}

// Close waits for what is being done, and closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Load implements [registry.Store].
func (s *Store) Load(ctx context.Context, kind string, each func(id string, data []byte) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(kind))
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(id, data []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return each(string(id), bytes.Clone(data)) // it is the file's otherwise
		})
	})
}

// Save implements [registry.Store].
func (s *Store) Save(_ context.Context, records ...registry.Record) error {
	if len(records) == 0 {
		return nil
	}
	if s.db.IsReadOnly() {
		return fmt.Errorf("boltstore: %s: %w", s.db.Path(), syscall.EROFS)
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, r := range records {
			if err := save(tx, r); err != nil {
				return fmt.Errorf("boltstore: %s %s: %w", r.Kind, r.ID, err)
			}
		}
		return nil
	})
}

func save(tx *bbolt.Tx, r registry.Record) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(r.Kind))
	switch {
	case err != nil:
		return err
	case r.ID == "":
		return errors.New("the record has no id")
	case r.Data == nil:
		return bucket.Delete([]byte(r.ID))
	}
	return bucket.Put([]byte(r.ID), r.Data) // the transaction, which reads it, ends before Save does
}
