package jobstore

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

	"github.com/smarthaus/caio-bridge-go/internal/storefault"
)

// lockTimeout is how long to wait for a process that is on its way out.
const lockTimeout = 2 * time.Second

// bucket names the layout of the file, so that a later one can be told apart.
var bucket = []byte("records-1")

// file is a store in a bbolt file: every Put and Delete is a transaction that is on the disk when it returns.
type file struct {
	path string

	mu     sync.RWMutex // held for writing while db is replaced
	db     *bbolt.DB    // read-only, or nil, as long as the file system takes no data
	closed bool
}

// OpenFile opens the store at path. If there is no file, OpenFile makes one that only its owner can
// read. A file that is damaged, or in use by another process, is an error.
//
// On a file system that is full or read-only (see [storefault.Unwritable]) OpenFile returns a Store
// and an error. That Store has the records of the file. Its Put and Delete fail until the file
// system takes data again.
func OpenFile(path string) (Store, error) {
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
	err = fmt.Errorf("jobstore: open %s: %w", path, err)
	if unwritable {
		return f, err
	}
	return nil, err
}

// open sets db. If the file system takes no data, db is read-only, or nil if there is no file to
// read.
func (f *file) open() error {
	info, err := os.Stat(f.path)
	isNew := errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
	f.db, err = f.openBolt(&bbolt.Options{Timeout: lockTimeout})
	if !storefault.Unwritable(err) {
		return err
	}
	if isNew {
		_ = os.Remove(f.path) // bbolt may have written a part of its first pages, which it would take for damage
	} else if readable, failed := f.openBolt(&bbolt.Options{Timeout: lockTimeout, ReadOnly: true}); failed == nil {
		f.db = readable
	}
	return err
}

// openBolt writes nothing to a file that is there: on a full disk that would fail.
func (f *file) openBolt(opts *bbolt.Options) (db *bbolt.DB, err error) {
	err = f.guarded(func() (err error) {
		if db, err = bbolt.Open(f.path, 0o600, opts); err != nil {
			return err
		}
		return db.View(func(tx *bbolt.Tx) error {
			_ = tx.Bucket(bucket) // reads the root, which may be damaged
			return nil
		})
	})
	if err != nil && db != nil {
		_ = f.guarded(db.Close)
		db = nil
	}
	return db, err
}

func (f *file) Put(id string, value []byte) error {
	return f.update("write", func(b *bbolt.Bucket) error { return b.Put([]byte(id), value) })
}

func (f *file) Get(id string) (value []byte, err error) {
	err = f.view(func(b *bbolt.Bucket) error {
		value = bytes.Clone(b.Get([]byte(id))) // what Get returns is part of the file
		return nil
	})
	if err == nil && value == nil {
		err = ErrNotFound
	}
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

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.db == nil {
		return nil
	}
	return f.guarded(f.db.Close)
}

func (f *file) update(verb string, change func(*bbolt.Bucket) error) error {
	err := f.makeWritable()
	if err == nil {
		f.mu.RLock()
		defer f.mu.RUnlock()
		err = f.guarded(func() error {
			return f.db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists(bucket)
				if err != nil {
					return err
				}
				return change(b)
			})
		})
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("jobstore: %s %s: %w", verb, f.path, err)
	}
	return err
}

// makeWritable opens the file again if its file system took no data before.
func (f *file) makeWritable() error {
	f.mu.RLock()
	writable, closed := f.db != nil && !f.db.IsReadOnly(), f.closed
	f.mu.RUnlock()
	if closed {
		return ErrClosed
	}
	if writable {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	if f.db != nil {
		if !f.db.IsReadOnly() { // another caller has opened it
			return nil
		}
		if err := f.guarded(f.db.Close); err != nil {
			return err
		}
	}
	return f.open()
}

// view calls look with the records, unless there are none yet.
func (f *file) view(look func(*bbolt.Bucket) error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return ErrClosed
	}
	if f.db == nil {
		return nil
	}
	return f.guarded(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			if b := tx.Bucket(bucket); b != nil {
				return look(b)
			}
			return nil
		})
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
