package main

import (
	"context"
	_ "embed"
	"os"

	"stayput.dev/bench/latency"
)

// surroundings is the manifest of the objects that existed when the payloads were
// captured.
//
//go:embed capture/cluster.yaml
var surroundings string

// runLatency measures the time that admission adds to requests through a real API
// server.
func (b *bench) runLatency(ctx context.Context) error {
	if err := b.start(ctx, []string{"cr-validate", "cr-patch"}); err != nil {
		return err
	}
	o := latency.Options{
		Dir: b.dir, Binary: b.binary, Cluster: surroundings, Rounds: b.rounds, During: b.during, Connections: 8,
		Log:      os.Stdout,
		Validate: b.serverOf("cr-validate"), Patch: b.serverOf("cr-patch"),
	}
	for name, into := range map[string]*[]byte{
		"statefulset-create-mutate": &o.StatefulSet, "pod-create-mutate": &o.Pod, "claim-delete": &o.Claim,
	} {
		var err error
		if *into, err = payloadFiles.ReadFile("payloads/" + name + ".json"); err != nil {
			return err
		}
	}
	var err error
	if o.CA, err = os.ReadFile(b.certFile); err != nil {
		return err
	}
	text, err := latency.Measure(ctx, o)
	if err != nil {
		return err
	}
	return b.publish("make bench-latency", "\n"+b.heading()+" "+text)
}

func (b *bench) serverOf(name string) latency.Server {
	p := b.processes[name]
	return latency.Server{Address: p.address, PID: p.cmd.Process.Pid}
}
