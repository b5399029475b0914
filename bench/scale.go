package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"

	"stayput.dev/bench/paper"
	"stayput.dev/e2e/harness"
)

const (
	small    = "a small cluster"
	spread   = "a large cluster"
	together = "a large cluster, all in one namespace"

	onAPIServer = "a large cluster in a real API server"
)

// runScale measures start, memory, answers and audit for clusters of several sizes.
func (b *bench) runScale(ctx context.Context) error {
	one := b.size
	one.Namespaces = 1
	if err := b.start(ctx, nil, clusterOf{small, paper.Size{}}, clusterOf{spread, b.size},
		clusterOf{together, one}); err != nil {
		return err
	}
	onPaper := []string{small, spread, together}
	var plan []*testCase
	for _, p := range b.payloads {
		for _, server := range onPaper {
			plan = append(plan, &testCase{server: server, payload: p, connections: 8})
		}
	}
	if err := b.measureAll(ctx, plan); err != nil {
		return err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s\nA large cluster has %s.\n", b.heading(), b.size)
	names := onPaper
	if b.real {
		// What answers cost does not depend on where the objects came from.
		if err := b.startBesideAnAPIServer(ctx, onAPIServer, b.size); err != nil {
			return err
		}
		names = append(names, onAPIServer)
	}
	if err := b.scaleTable(&out, names); err != nil {
		return err
	}
	fmt.Fprintf(&out, "\n| request, 8 connections | cluster | p50 ms | p99 ms | CPU ms | p99, ×small | CPU, ×small "+
		"|\n|---|---|---|---|---|---|---|\n")
	for i, c := range plan {
		least := plan[i-i%len(onPaper)]
		fmt.Fprintf(&out, "| %s, %s | %s | %s | %s | %s | %.2f | %.2f |\n", c.payload.title, c.payload.verdict, c.server,
			millis(p50(c)), millis(p99(c)), millis(cpu(c)), ratio(p99, c, least), ratio(cpu, c, least))
	}
	out.WriteString("\n| audit of | s | CPU s | at most MiB |\n|---|---|---|---|\n")
	for _, name := range names {
		if err := b.audit(ctx, &out, name); err != nil {
			return err
		}
	}
	return b.publish("make bench-scale", out.String())
}

// scaleTable writes the time and memory that each Stayput needed to start and to
// hold its cluster.
func (b *bench) scaleTable(out *strings.Builder, names []string) error {
	out.WriteString("\n| Stayput beside | ready after s | CPU s until then | the API server's | lists of a kind | " +
		"resident MiB | at most MiB |\n|---|---|---|---|---|---|---|\n")
	for _, name := range names {
		p := b.processes[name]
		now, err := harness.Memory(p.cmd.Process.Pid, "VmRSS")
		if err != nil {
			return err
		}
		peak, err := harness.Memory(p.cmd.Process.Pid, "VmHWM")
		if err != nil {
			return err
		}
		lists, server := "", ""
		if p.serverCPU > 0 {
			server = fmt.Sprintf("%.1f", p.serverCPU.Seconds())
		}
		if p.lists != nil {
			lists = fmt.Sprint(slices.Max(slices.Collect(maps.Values(p.lists))))
		}
		fmt.Fprintf(out, "| %s | %.1f | %.1f | %s | %s | %.0f | %.0f |\n", name, p.ready.Seconds(), p.readyCPU.Seconds(),
			server, lists, float64(now)/(1<<20), float64(peak)/(1<<20))
	}
	return nil
}

// audit runs an audit of a cluster and writes its time and memory.
func (b *bench) audit(ctx context.Context, out *strings.Builder, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.binary, "audit", "--kubeconfig", b.processes[name].kubeconfig, "--format", "json")
	var report, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &report, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// The memory that wait(2) reports includes this program's, because the child is
	// a copy of it before exec.
	peak, err := int64(0), error(nil)
	for running := true; running; {
		select {
		case err = <-ended:
			running = false
		case <-time.After(20 * time.Millisecond):
			if now, err := harness.Memory(cmd.Process.Pid, "VmHWM"); err == nil {
				peak = now
			}
		}
	}
	took := time.Since(start)
	var exit *exec.ExitError
	if found := errors.As(err, &exit) && exit.ExitCode() == 1; err != nil && !found {
		return fmt.Errorf("audit of %s: %w\n%s", name, err, stderr.String())
	}
	if report.Len() == 0 {
		return fmt.Errorf("audit of %s: it says nothing", name)
	}
	fmt.Fprintf(out, "| %s | %.1f | %.1f | %d |\n", name, took.Seconds(),
		(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), peak>>20)
	return nil
}
