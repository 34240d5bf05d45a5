// Package jobstore keeps records under ids: in memory, or in a file that survives the process.
package jobstore

import "errors"

// ErrNotFound says that a store has no record of that id.
var ErrNotFound = errors.New("jobstore: no such record")

// ErrClosed says that a store has been closed.
var ErrClosed = errors.New("jobstore: the store is closed")

// A Store keeps records. It is safe for concurrent use. After an error of Put or Delete the records are as before.
type Store interface {
	// Put keeps value under id, in place of what was there. The caller must not change value afterwards.
	Put(id string, value []byte) error

	// Get returns the record of that id, which the caller must not change, or ErrNotFound.
	Get(id string) ([]byte, error)

	// Delete removes records, all or none. Ids without a record are fine.
	Delete(ids ...string) error

	// All calls f for each record, in the order of ids, until f fails. Value is valid during the call only. f must not
	// use the store.
	All(f func(id string, value []byte) error) error

	// Close gives back what the store holds. Closing twice is fine.
	Close() error
}
