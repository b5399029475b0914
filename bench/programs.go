package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stayput.dev/e2e/harness"
)

// The programs that serve: the command line, and the program of the image.
var programs = []string{"stayput", "stayput-webhook"}

// programTable writes the size of each program that serves, stripped as in a
// release, and its time and memory until it is ready beside the cluster of the main
// table. The values are medians of rounds, in which the programs take turns.
func (b *bench) programTable(ctx context.Context, out *strings.Builder) error {
	ready, cpu := map[string][]time.Duration{}, map[string][]time.Duration{}
	binaries := map[string]string{}
	for _, name := range programs {
		binaries[name] = filepath.Join(b.dir, "released", name)
		if err := harness.BuildProgram(ctx, name, binaries[name], "-trimpath", "-ldflags=-s -w"); err != nil {
			return err
		}
	}
	for round := range b.rounds {
		for i := range programs {
			name := programs[(i+round)%len(programs)]
			p := &process{name: name, kubeconfig: b.processes["stayput"].kubeconfig}
			if err := b.startStayput(ctx, p, binaries[name]); err != nil {
				return err
			}
			ready[name], cpu[name] = append(ready[name], p.ready), append(cpu[name], p.readyCPU)
			if err := p.stop(); err != nil {
				return err
			}
		}
	}
	out.WriteString("\n| program | MB on disk | ready after s | CPU s until then |\n|---|---|---|---|\n")
	for _, name := range programs {
		info, err := os.Stat(binaries[name])
		if err != nil {
			return err
		}
		slices.Sort(ready[name])
		slices.Sort(cpu[name])
		fmt.Fprintf(out, "| %s | %.1f | %.2f | %.2f |\n", name, float64(info.Size())/1e6,
			ready[name][b.rounds/2].Seconds(), cpu[name][b.rounds/2].Seconds())
	}
	return nil
}
