package storefault_test

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/smarthaus/caio-bridge-go/internal/storefault"
)

func TestUnwritable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want bool
	}{
		{syscall.ENOSPC, true},
		{syscall.EDQUOT, true},
		{syscall.EFBIG, true},
		{&fs.PathError{Op: "write", Path: "jobs.db", Err: syscall.ENOSPC}, true},
		{fmt.Errorf("jobstore: %w", &fs.PathError{Op: "open", Path: "jobs.db", Err: syscall.EROFS}), true},
		{errors.Join(errors.New("not stored"), syscall.ENOSPC), true},
		{nil, false},
		{syscall.ENOENT, false},
		{syscall.EACCES, false},
		{syscall.EIO, false},
		{errors.New("no space left on device"), false},
	} {
		if got := storefault.Unwritable(test.err); got != test.want {
			t.Errorf("Unwritable(%v) = %t, want %t", test.err, got, test.want)
		}
	}
}
