package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"stayput.dev/bench/paper"
	"stayput.dev/e2e/harness"
)

// beforeSharing is the last commit at which each object was kept in bytes of its own, and
// the same garbage was permitted to a quiet server and a busy one.
const beforeSharing = "8adcd0a82da9ec42992a9fb72f9430110b5de518"

// quietPeriod is how long a server gets no requests before its memory is read: the Go
// runtime gives memory back to the system little by little.
const quietPeriod = 20 * time.Second

// runMemory measures the memory, the start and the answers of this build and of an earlier
// one, beside the same clusters.
func (b *bench) runMemory(ctx context.Context) error {
	if err := b.start(ctx, nil); err != nil {
		return err
	}
	binaries := map[string]string{builds[0]: filepath.Join(b.dir, "earlier"), builds[1]: b.binary}
	if err := b.buildAt(ctx, b.against, binaries[builds[0]]); err != nil {
		return err
	}
	large := b.size
	large.StatefulSets, large.Namespaces = 10*large.StatefulSets, 10*large.Namespaces
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s\n", b.heading())
	out.WriteString("\n| beside | build | ready after s | CPU s until then | quiet: resident MiB | busy | at most | " +
		"quiet, ×earlier |\n|---|---|---|---|---|---|---|---|\n")
	var answers []*testCase
	for _, size := range []paper.Size{b.size, large} {
		cases, err := b.memoryBeside(ctx, &out, size, binaries)
		if err != nil {
			return err
		}
		answers = append(answers, cases...)
	}
	out.WriteString("\n| request, 8 connections | beside | build | p50 ms | p99 ms | CPU ms | p50, ×earlier | " +
		"CPU, ×earlier |\n|---|---|---|---|---|---|---|---|\n")
	for i, c := range answers {
		name, pods, _ := strings.Cut(c.server, " ")
		earlier := answers[i-i%len(builds)]
		fmt.Fprintf(&out, "| %s, %s | %s Pods | %s | %s | %s | %s | %.2f | %.2f |\n", c.payload.title,
			c.payload.verdict, pods, b.build(name),
			millis(p50(c)), millis(p99(c)), millis(cpu(c)), ratio(p50, c, earlier), ratio(cpu, c, earlier))
	}
	return b.publish("make bench-memory", out.String())
}

// memoryBeside measures both builds beside one cluster, each in a process of its own, and
// ends these.
func (b *bench) memoryBeside(ctx context.Context, out *strings.Builder, size paper.Size, binaries map[string]string) (
	cases []*testCase, err error,
) {
	objects, err := filled(size)
	if err != nil {
		return nil, err
	}
	pods := size.StatefulSets * size.Replicas
	servers := make([]string, len(builds))
	for i, build := range builds {
		servers[i] = fmt.Sprintf("%s %d", build, pods)
		if err := b.startBeside(ctx, servers[i], binaries[build], objects); err != nil {
			return nil, err
		}
	}
	for _, p := range b.payloads {
		if p.verdict != "allowed" && p.verdict != "mutated" {
			continue // what is said differs from build to build
		}
		for _, server := range servers {
			if err := b.answers(b.processes[server], server, p, p.verdict); err != nil {
				return nil, err
			}
			cases = append(cases, &testCase{server: server, payload: p, connections: 8})
		}
	}
	if err := b.measureInTurns(ctx, cases); err != nil {
		return nil, err
	}
	read := func(server, field string) float64 {
		n, e := harness.Memory(b.processes[server].cmd.Process.Pid, field)
		if e != nil {
			err = e
		}
		return float64(n) / (1 << 20)
	}
	busy := map[string]float64{}
	for _, server := range servers {
		busy[server] = read(server, "VmRSS")
	}
	fmt.Printf("Waiting for %v without requests.\n", quietPeriod)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(quietPeriod):
	}
	earlier := read(servers[0], "VmRSS")
	for i, server := range servers {
		p := b.processes[server]
		quiet, most := read(server, "VmRSS"), read(server, "VmHWM")
		fmt.Fprintf(out, "| %d Pods, claims, volumes | %s | %.1f | %.1f | %.0f | %.0f | %.0f | %.2f |\n", pods,
			b.build(builds[i]), p.ready.Seconds(), p.readyCPU.Seconds(), quiet, busy[server], most, quiet/earlier)
	}
	for _, server := range servers {
		p := b.processes[server]
		delete(b.processes, server)
		if e := p.stop(); err == nil {
			err = e
		}
		p.stopCluster()
	}
	return cases, err
}
