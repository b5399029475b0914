package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"stayput.dev/bench/paper"
	"stayput.dev/e2e/harness"
)

// A process is a server under measurement.
type process struct {
	name             string
	cmd              *exec.Cmd
	stdin            io.Closer
	address, metrics string
	exited           chan error

	// These fields are of Stayput only: its cluster, the cost until it was ready,
	// and the number of lists of each kind until then.
	cluster         *paper.Cluster // nil if it is a real one
	stopCluster     func()
	kubeconfig      string
	ready, readyCPU time.Duration
	serverCPU       time.Duration // of a real API server, until Stayput was ready
	lists           map[string]int
}

// startBaseline starts this program as one of its servers.
func startBaseline(name, certFile, keyFile string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(self, "--serve", name, "--cert", certFile, "--key", keyFile)}
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s says no address: %w", name, err), p.stop())
	}
	p.address, p.metrics, _ = strings.Cut(strings.TrimSpace(line), " ")
	return p, nil
}

func (p *process) start() error {
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.exited = make(chan error, 1)
	go func() { p.exited <- p.cmd.Wait() }()
	return nil
}

// stop ends the process by SIGTERM, and by SIGKILL if that takes too long.
func (p *process) stop() error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil // it never started
	}
	if p.stdin != nil {
		_ = p.stdin.Close()
	} else if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	return nil
}

// waitReady waits until a health endpoint reports that the server is ready.
func (p *process) waitReady(ctx context.Context, address string, log func() string) error {
	for {
		resp, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-p.exited:
			p.exited <- err
			return fmt.Errorf("%s ended: %w\n%s", p.name, err, log())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", p.name, ctx.Err(), log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// cpu returns the CPU time that the process has used.
func (p *process) cpu() (time.Duration, error) { return harness.CPU(p.cmd.Process.Pid) }

// allocated returns the number of allocations of the process, and their total size
// in bytes.
func (p *process) allocated() (mallocs, bytes float64, err error) {
	resp, err := http.Get("http://" + p.metrics + "/metrics")
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, 0, err
	}
	for name, value := range map[string]*float64{"go_memstats_mallocs_total": &mallocs,
		"go_memstats_alloc_bytes_total": &bytes} {
		if *value, err = harness.Metric(string(text), name); err != nil {
			return 0, 0, fmt.Errorf("the metrics of %s: %w", p.name, err)
		}
	}
	return mallocs, bytes, nil
}
