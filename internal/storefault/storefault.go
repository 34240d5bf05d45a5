// Package storefault tells a full or read-only file system from other errors of a store.
package storefault

import (
	"errors"
	"slices"
	"syscall"
)

// Unwritable reports whether err says that a file system takes no more data: it is full, a quota or
// the largest size of a file is reached, or it is read-only. The operator mends that while the
// process runs.
func Unwritable(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(unwritable, errno)
}
