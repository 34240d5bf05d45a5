package registry

import (
	"context"
	"iter"
)

// A SharedStore is a [Store] that several registries use at the same time, which then serve the same services: they swap
// and watch services, and save and get traces. Their clocks should agree: a lease is dated by the registry that granted it.
type SharedStore interface {
	Store

	// Swap saves the record if what is held under its kind and id has its Version, and changes nothing otherwise. Without
	// Data it deletes. It returns what is held then, a zero Version for nothing, and, if that is by this call, the place of
	// the change among all changes (see [Changes]), else 0. If it had to try more than once, an earlier attempt may have
	// swapped: then it returns what it saved itself, and 0. With an error it may have swapped, or do so yet.
	Swap(ctx context.Context, next Record) (held Record, at int64, err error)

	// Get returns what is held under a kind and id, a zero Version for nothing.
	Get(ctx context.Context, kind, id string) (Record, error)

	// Watch yields all records of a kind, then what changes as it changes, and, while nothing does, every now and then
	// something empty. Whenever it is out of touch it yields an error, and goes on trying, until ctx ends.
	Watch(ctx context.Context, kind string) iter.Seq2[Changes, error]
}

// Changes are what happened in a [SharedStore] since the ones before.
type Changes struct {
	At      int64    // their place among all changes, which rises; those up to it are known now
	Whole   bool     // all that is held is in Saved: forget the rest
	Saved   []Record // that are new or have other data, with Version
	Renewed []Record // of which only Until is different; without Data
	Gone    []string // ids
}
