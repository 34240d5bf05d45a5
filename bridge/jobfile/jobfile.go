// Package jobfile keeps the jobs of a bridge in a file.
package jobfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/internal/storefault"
)

// lockTimeout is the time to wait for another process to close the file.
const lockTimeout = 2 * time.Second

// bucket names the layout of the file, so that another layout can have another name.
var bucket = []byte("records-1")

var errClosed = errors.New("jobfile: the store is closed")

// file is a store in a bbolt file. Each Put and Delete is a transaction on the disk when it
// returns.
type file struct {
	path string

	mu     sync.RWMutex // held for writing while db is replaced
	db     *bbolt.DB    // read-only or nil while the file system takes no data
	fault  error        // why it takes no data; nil with a writable db
	closed bool
}

// Open opens the store at path for [bridge.JobOptions].Store. It creates a missing file, readable
// by its owner only. A file that is damaged, or in use by another process, is an error. One process
// at a time can use the file.
//
// On a file system that is full or read-only Open returns a store with the records of the file. Its
// Put and Delete fail until the file system takes data again.
func Open(path string) (bridge.JobStore, error) {
	f := &file{path: path}
	err := f.open()
	if err == nil {
		return f, nil
	}
	unwritable := storefault.Unwritable(err)
	if errors.Is(err, berrors.ErrTimeout) {
		err = errors.New("another process uses it")
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err // the path is in the error below
	}
	err = fmt.Errorf("jobfile: open %s: %w", path, err)
	if unwritable {
		f.fault = err
		return f, nil
	}
	return nil, err
}

// open sets db. If the file system takes no data, db becomes read-only, or nil without a file.
func (f *file) open() error {
	info, err := os.Stat(f.path)
	isNew := errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
	f.db, err = f.openBolt(&bbolt.Options{Timeout: lockTimeout})
	if !storefault.Unwritable(err) {
		return err
	}
	if isNew {
		_ = os.Remove(f.path) // bbolt would take a part of its first pages for damage
	} else if readable, failed := f.openBolt(&bbolt.Options{Timeout: lockTimeout, ReadOnly: true}); failed == nil {
		f.db = readable
	}
	return err
}

// openBolt opens the file without a write to an existing one: it would fail on a full disk.
func (f *file) openBolt(opts *bbolt.Options) (db *bbolt.DB, err error) {
	err = f.recovering(func() (err error) {
		if db, err = bbolt.Open(f.path, 0o600, opts); err != nil {
			return err
		}
		return db.View(func(tx *bbolt.Tx) error {
			_ = tx.Bucket(bucket) // reads the root, to find damage
			return nil
		})
	})
	if err != nil && db != nil {
		_ = f.recovering(db.Close)
		db = nil
	}
	return db, err
}

func (f *file) Put(id string, value []byte) error {
	return f.update("write", func(b *bbolt.Bucket) error { return b.Put([]byte(id), value) })
}

func (f *file) Get(id string) (value []byte, err error) {
	err = f.view(func(b *bbolt.Bucket) error {
		value = bytes.Clone(b.Get([]byte(id))) // the original is part of the mapped file
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

func (f *file) Writable() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.fault
}

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.db == nil {
		return nil
	}
	return f.recovering(f.db.Close)
}

func (f *file) update(verb string, change func(*bbolt.Bucket) error) error {
	err := f.makeWritable()
	if err == nil {
		f.mu.RLock()
		defer f.mu.RUnlock()
		err = f.recovering(func() error {
			return f.db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists(bucket)
				if err != nil {
					return err
				}
				return change(b)
			})
		})
	}
	if err != nil && !errors.Is(err, errClosed) {
		return fmt.Errorf("jobfile: %s %s: %w", verb, f.path, err)
	}
	return err
}

// makeWritable opens the file again if its file system took no data before.
func (f *file) makeWritable() error {
	f.mu.RLock()
	writable, closed := f.db != nil && !f.db.IsReadOnly(), f.closed
	f.mu.RUnlock()
	if closed {
		return errClosed
	}
	if writable {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errClosed
	}
	if f.db != nil {
		if !f.db.IsReadOnly() { // another caller has opened it
			return nil
		}
		if err := f.recovering(f.db.Close); err != nil {
			return err
		}
	}
	f.fault = f.open()
	return f.fault
}

// view calls look with the bucket of records, if there is one.
func (f *file) view(look func(*bbolt.Bucket) error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return errClosed
	}
	if f.db == nil {
		return nil
	}
	return f.recovering(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			if b := tx.Bucket(bucket); b != nil {
				return look(b)
			}
			return nil
		})
	})
}

// recovering turns panics of bbolt into errors: they mean a damaged file. A read beyond the end of
// a truncated file is a memory fault, because the file is mapped.
func (f *file) recovering(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s is damaged, restore or remove it: %v", f.path, p)
		}
	}()
	err = do()
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return errClosed
	}
	return err
}
