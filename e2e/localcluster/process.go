package localcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// startTimeout is the time in which one component must be ready. It is long,
// because other tests may keep the machine busy.
const startTimeout = 2 * time.Minute

// process is a running component.
type process struct {
	name  string
	log   string // file
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	err   error         // how; read it after ended
}

// run starts a component, its output appended to a log file of its own.
func (c *Cluster) run(comp component) (*process, error) {
	log, err := os.OpenFile(c.LogFile(comp.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", comp.name, err)
	}
	defer log.Close() // the process has its own descriptor
	p := &process{name: comp.name, log: log.Name(), ended: make(chan struct{})}
	p.cmd = exec.Command(c.bin[comp.name], comp.args...)
	p.cmd.Dir = c.dir
	//         The component must not read the caller's settings (proxies, a
	// kwok.yaml in the home directory).
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = ownGroup()
	if err := c.spawner.start(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", comp.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// kill ends the process by SIGKILL and waits until it is gone. No component needs a
// graceful end, and an API server with open watches would take a minute for it.
func (p *process) kill() {
	p.cmd.Process.Kill() // an error says that it has ended already
	<-p.ended
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// wait calls ready until it succeeds, the process ends or the time is up.
func (p *process) wait(caller context.Context, ready probe) error {
	ctx, cancel := context.WithTimeoutCause(caller, startTimeout, fmt.Errorf("not ready after %s", startTimeout))
	defer cancel()
	go func() { // an end makes the question moot
		<-p.ended
		cancel()
	}()
	var last error
	for {
		err := ready(ctx)
		switch {
		case !p.running():
			return p.failed(fmt.Errorf("it ended: %v", p.err))
		case err == nil:
			return nil
		case errors.Is(caller.Err(), context.Canceled): // no fault of its own
			return fmt.Errorf("start %s: %w", p.name, context.Cause(caller))
		case ctx.Err() != nil:
			return p.failed(fmt.Errorf("%w: %v", context.Cause(ctx), last))
		}
		last = err
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// failed returns the error of a component that did not become ready, with the end
// of its log. The error wraps EADDRINUSE if that is the reason.
func (p *process) failed(reason error) error {
	log, _ := os.ReadFile(p.log)
	end := lastLines(log, 12)
	if bytes.Contains([]byte(end), []byte("address already in use")) {
		reason = fmt.Errorf("%w: %w", syscall.EADDRINUSE, reason)
	}
	return fmt.Errorf("start %s: %w; its log %s (kept where Options.Dir is set) ends with\n%s", p.name, reason, p.log, end)
}
