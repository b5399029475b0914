//go:build unix && !linux

package localcluster

import "syscall"

// ownGroup keeps a terminal's Ctrl-C away from a process, which its cluster
// stops. Only Linux also ends it when the program is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
