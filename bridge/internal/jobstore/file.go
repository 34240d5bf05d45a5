package jobstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long to wait for a process that is on its way out.
const lockTimeout = 2 * time.Second

// bucket names the layout of the file, so that a later one can be told apart.
var bucket = []byte("records-1")

// file is a store in a bbolt file: every Put and Delete is a transaction that is on the disk when it returns.
type file struct {
	path string
	db   *bbolt.DB
}

// OpenFile opens the store at path, and makes it, readable for its owner only, if it is not there. A file that is damaged,
// or in use by another process, is an error.
func OpenFile(path string) (Store, error) {
	f := &file{path: path}
	err := f.guarded(func() (err error) {
		if f.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout}); err != nil {
			return err
		}
		return f.db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(bucket)
			return err
		})
	})
	if err == nil {
		return f, nil
	}
	if f.db != nil {
		_ = f.guarded(f.db.Close)
	}
	if errors.Is(err, berrors.ErrTimeout) {
		err = errors.New("another process uses it")
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err // the path is in the error below
	}
	return nil, fmt.Errorf("jobstore: open %s: %w", path, err)
}

func (f *file) Put(id string, value []byte) error {
	return f.update("write", func(b *bbolt.Bucket) error { return b.Put([]byte(id), value) })
}

func (f *file) Get(id string) (value []byte, err error) {
	err = f.view(func(b *bbolt.Bucket) error {
		found := b.Get([]byte(id))
		if found == nil {
			return ErrNotFound
		}
		value = bytes.Clone(found) // found is part of the file
		return nil
	})
	return value, err
}

func (f *file) Delete(ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	return f.update("delete from", func(b *bbolt.Bucket) error {
		for _, id := range ids {
			if err := b.Delete([]byte(id)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *file) All(each func(string, []byte) error) error {
	return f.view(func(b *bbolt.Bucket) error {
		return b.ForEach(func(id, value []byte) error { return each(string(id), value) })
	})
}

func (f *file) Close() error { return f.guarded(f.db.Close) }

func (f *file) update(verb string, change func(*bbolt.Bucket) error) error {
	err := f.guarded(func() error {
		return f.db.Update(func(tx *bbolt.Tx) error { return change(tx.Bucket(bucket)) })
	})
	if err != nil && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("jobstore: %s %s: %w", verb, f.path, err)
	}
	return err
}

func (f *file) view(look func(*bbolt.Bucket) error) error {
	return f.guarded(func() error {
		return f.db.View(func(tx *bbolt.Tx) error { return look(tx.Bucket(bucket)) })
	})
}

// guarded makes errors of what bbolt panics about, which is a damaged file, and of reading a file that was cut off: it is
// mapped into memory, so that is a fault.
func (f *file) guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s is damaged, restore or remove it: %v", f.path, p)
		}
	}()
	err = do()
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}
