package storefault

import "syscall"

// System error codes of Windows, and the errors that package syscall invents there.
var unwritable = []syscall.Errno{
	19,   // ERROR_WRITE_PROTECT
	39,   // ERROR_HANDLE_DISK_FULL
	112,  // ERROR_DISK_FULL
	223,  // ERROR_FILE_TOO_LARGE
	1295, // ERROR_DISK_QUOTA_EXCEEDED
	syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS,
}
