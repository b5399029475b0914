//go:build operators && linux

package e2e

import (
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"k8s.io/client-go/tools/clientcmd"
)

// runIsolated runs a program as runOperator does, in its own network namespace,
// from which it can reach the API server only. Connections to Pods and Services,
// whose addresses exist nowhere here, are refused at once, and do not leave the
// machine.
func runIsolated(t *testing.T, r *tap, program string, args ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := clientcmd.LoadFromFile(r.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(kubeconfig.Clusters["local"].Server)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "api")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go forward(l, "tcp", server.Host)
	runOperator(t, r, self, append([]string{isolated, socket, server.Host, program}, args...)...)
}

// isolated makes this program, as its first argument, run the others in a
// network of their own, in which the third leads to the socket that is the
// second. inside is the same, where that network is.
const isolated, inside = "run-isolated", "run-inside"

func init() {
	if len(os.Args) < 5 {
		return
	}
	switch os.Args[1] {
	case isolated:
		os.Args[1] = inside
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		group := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, UidMappings: id, GidMappings: group,
			Pdeathsig: syscall.SIGKILL,
		}
		passOn(cmd)
	case inside:
		if err := loopback(); err != nil {
			panic(err)
		}
		l, err := net.Listen("tcp", os.Args[3])
		if err != nil {
			panic(err)
		}
		go forward(l, "unix", os.Args[2])
		cmd := exec.Command(os.Args[4], os.Args[5:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		passOn(cmd)
	}
}

// passOn runs a command in place of this program.
func passOn(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// loopback brings up the only interface that a new network has.
func loopback() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	request := struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}{name: [16]byte{'l', 'o'}, flags: syscall.IFF_UP}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS,
		uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// forward carries what comes in at l to an address, and back.
func forward(l net.Listener, network, address string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			defer in.Close()
			out, err := net.Dial(network, address)
			if err != nil {
				return
			}
			defer out.Close()
			go func() {
				_, _ = io.Copy(out, in)
				_ = out.Close()
			}()
			_, _ = io.Copy(in, out)
		}()
	}
}
