package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"stayput.dev/bench/paper"
	"stayput.dev/cluster"
	"stayput.dev/e2e/harness"
)

// memoryLimit is the limit that the Helm chart sets.
const memoryLimit = "471859KiB" // nine tenths of 512 MiB

// A clusterOf is the name of the Stayput beside a cluster of a size.
type clusterOf struct {
	server string
	size   paper.Size
}

// startBesidePaper starts Stayput beside a cluster in memory, of package paper.
func (b *bench) startBesidePaper(ctx context.Context, name string, size paper.Size) error {
	objects, err := filled(size)
	if err != nil {
		return err
	}
	return b.startBeside(ctx, name, b.binary, objects)
}

// startBeside starts a program of Stayput beside a cluster of the objects.
func (b *bench) startBeside(ctx context.Context, name, binary string, objects []cluster.Object) (err error) {
	p := &process{name: name, kubeconfig: b.file(name, "kubeconfig")}
	if p.cluster, err = paper.Start(objects); err != nil {
		return err
	}
	b.processes[name], p.stopCluster = p, p.cluster.Stop
	config := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: paper\nclusters: [{name: paper, cluster: "+
		"{server: %q}}]\ncontexts: [{name: paper, context: {cluster: paper, user: bench}}]\nusers: [{name: bench, user: "+
		"{}}]\n", p.cluster.URL)
	if err := os.WriteFile(p.kubeconfig, []byte(config), 0o600); err != nil {
		return err
	}
	if err := b.startStayput(ctx, p, binary); err != nil {
		return err
	}
	p.lists = map[string]int{}
	for request, n := range p.cluster.Requests() {
		if verb, resource, _ := strings.Cut(request, " "); verb == "LIST" {
			p.lists[resource] = n
		}
	}
	return nil
}

// filled returns the objects of a cluster of a size.
func filled(size paper.Size) ([]cluster.Object, error) {
	data, err := payloadFiles.ReadFile("payloads/cluster.json")
	if err != nil {
		return nil, err
	}
	objects, err := paper.Read("cluster.json", data)
	if err != nil {
		return nil, err
	}
	return paper.Fill(objects, size)
}

// startStayput starts a program of Stayput with the process's kubeconfig, and
// measures its time and memory until it is ready.
func (b *bench) startStayput(ctx context.Context, p *process, binary string) error {
	//         Repair is off: the cluster in memory stores no changes, and repair
	// answers no request.
	settings, health := filepath.Join(b.dir, "config.yaml"), ""
	if err := os.WriteFile(settings, []byte("apiVersion: stayput.dev/v1alpha1\nkind: Configuration\nrepair: \"off\"\n"),
		0o600); err != nil {
		return err
	}
	if err := harness.FreeAddresses(&p.address, &health, &p.metrics); err != nil {
		return err
	}
	p.cmd = exec.Command(binary, "serve", "--listen", p.address, "--health-listen", health, "--metrics-listen",
		p.metrics,
		"--kubeconfig", p.kubeconfig, "--config", settings, "--tls-cert-file", b.certFile, "--tls-key-file", b.keyFile,
		"--drain", "100ms", "--namespace", "stayput")
	p.cmd.Env = append(os.Environ(), "GOMEMLIMIT="+memoryLimit)
	logFile := b.file(p.name, "log")
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	start := time.Now()
	if err := p.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := p.waitReady(ctx, health, func() string { return tail(logFile) }); err != nil {
		return err
	}
	p.ready = time.Since(start)
	p.readyCPU, err = p.cpu()
	return err
}

// file returns the path of a file of a server.
func (b *bench) file(server, ext string) string {
	return filepath.Join(b.dir, strings.ReplaceAll(server, " ", "-")+"."+ext)
}

// tail returns the last lines of a log.
func tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4000):])
}

// lookups counts the requests of Stayput to the API server so far, except those for
// its caches and its Lease. Other servers send none.
func (p *process) lookups() (n int) {
	if p.cluster == nil {
		return 0
	}
	for request, count := range p.cluster.Requests() {
		if verb, resource, _ := strings.Cut(request, " "); resource != "leases" && resource != "configmaps" &&
			verb != "WATCH" && !strings.HasSuffix(resource, "webhookconfigurations") {
			n += count
		}
	}
	return n
}
