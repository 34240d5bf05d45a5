package etcdtest

import "syscall"

// endingWithParent makes a process end with this one, however that ends.
func endingWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// detached makes a process outlive this one, and the signals to its group.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
