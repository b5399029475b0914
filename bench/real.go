package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"stayput.dev/bench/paper"
	"stayput.dev/cluster"
	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// startBesideAnAPIServer stores a cluster of a size in a real API server, with a
// real etcd, and starts Stayput beside it.
func (b *bench) startBesideAnAPIServer(ctx context.Context, name string, size paper.Size) error {
	control, err := localcluster.Start(ctx, localcluster.Options{
		Bare: true,
		APIServerArgs: []string{"--max-requests-inflight=0", "--max-mutating-requests-inflight=0",
			"--enable-priority-and-fairness=false"},
	})
	if err != nil {
		return err
	}
	p := &process{name: name, kubeconfig: control.Kubeconfig(), stopCluster: func() { _ = control.Stop() }}
	b.processes[name] = p
	objects, err := filled(size)
	if err != nil {
		return err
	}
	if err := store(ctx, control, objects); err != nil {
		return err
	}
	server := control.PIDs()["kube-apiserver"]
	before, err := atRest(ctx, server)
	if err != nil {
		return err
	}
	if err := b.startStayput(ctx, p, b.binary); err != nil {
		return err
	}
	after, err := harness.CPU(server)
	p.serverCPU = after - before
	return err
}

// atRest waits until a process has used hardly any CPU for some seconds, for a
// minute at most, because an API server works for a while after many writes. It
// returns the CPU time that the process has used.
func atRest(ctx context.Context, pid int) (time.Duration, error) {
	const look = 3 * time.Second
	used, err := harness.CPU(pid)
	for range time.Minute / look {
		if err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(look):
		}
		before := used
		if used, err = harness.CPU(pid); used-before < look/20 {
			break
		}
	}
	return used, err
}

// writers is the number of concurrent requests that create objects.
const writers = 32

// store creates the objects, the namespaces first. It does not store their status.
func store(ctx context.Context, control *localcluster.Cluster, objects []cluster.Object) error {
	config := control.Config()
	config.QPS, config.ContentType = -1, runtime.ContentTypeProtobuf
	log.SetLogger(logr.Discard()) // or the client asks for one
	c, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	//         The API server has created this one by itself.
	others := slices.DeleteFunc(slices.Clone(objects),
		func(obj cluster.Object) bool { return obj.GetNamespace() == "default" && obj.GetName() == "kubernetes" })
	namespaces := 0
	for i, obj := range others {
		if _, ok := obj.(*corev1.Namespace); ok {
			others[namespaces], others[i] = obj, others[namespaces]
			namespaces++
		}
	}
	start := time.Now()
	for _, part := range [][]cluster.Object{others[:namespaces], others[namespaces:]} {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(writers)
		for _, obj := range part {
			g.Go(func() error {
				obj.SetResourceVersion("")
				obj.SetUID("")
				if err := c.Create(ctx, obj); err != nil && !apierrors.IsAlreadyExists(err) {
					return fmt.Errorf("store %T %s/%s: %w", obj, obj.GetNamespace(), obj.GetName(), err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "Stored %d objects in an API server in %.0f s.\n", len(objects), time.Since(start).Seconds())
	return nil
}
