package etcdtest

import "syscall"

// endingWithParent returns attributes of a process that the kernel kills at the end of this one.
func endingWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// detached returns attributes of a process that survives this one and signals to its group.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
