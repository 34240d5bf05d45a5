//go:build !windows

package storefault

import "syscall"

var unwritable = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS}
