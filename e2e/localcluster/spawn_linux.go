package localcluster

import "syscall"

// ownGroup keeps a terminal's Ctrl-C away from a process, which its cluster
// stops, and lets the kernel kill it when the program is gone.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
