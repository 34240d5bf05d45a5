//go:build !linux

package etcdtest

import "syscall"

func endingWithParent() *syscall.SysProcAttr { return nil }
func detached() *syscall.SysProcAttr         { return nil }
