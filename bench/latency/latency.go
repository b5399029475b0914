// Package latency measures what admission adds to a request, end to end through
// a real API server: with Stayput, with webhooks of controller-runtime, with
// policies that the API server runs itself, and with nothing.
//
// One API server has all of them, and a label of the object selects one, so that
// the same request can be sent through each in turn, and other load on the machine
// affects all equally. All requests are dry runs: nothing is stored, and the times
// are those of admission, not of a disk.
package latency

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// Options set the cases that are measured, and for how long.
type Options struct {
	Dir    string // for files
	Binary string // the stayput program

	// Two servers of controller-runtime: one allows everything, the other sets the
	// fields that Stayput would set. CA is the PEM of the authority of their
	// certificates.
	Validate, Patch Server
	CA              []byte

	// Cluster is the manifest of the objects that exist before. The objects of the
	// requests are those of three AdmissionReviews: two of CREATE, one of DELETE.
	Cluster                 string
	StatefulSet, Pod, Claim []byte

	// In each round every case runs twice for During: with one request after
	// another, in turn with the other cases, and with all connections at the same
	// time.
	Rounds      int
	During      time.Duration
	Connections int
	Log         io.Writer
}

// A Server is a process that answers at an address.
type Server struct {
	Address string
	PID     int
}

// A run holds the cluster and all servers that take part.
type run struct {
	Options
	stayput *harness.Stayput
	client  kubernetes.Interface
	http    *http.Client
	url     string
	cases   []*testCase
	pids    map[string][]int // of the API server, and of those that it asks
}

// Measure runs everything and returns the tables, as Markdown.
func Measure(ctx context.Context, o Options) (text string, err error) {
	load := loadAverage()
	fmt.Fprintln(o.Log, "Starting etcd and kube-apiserver on loopback ...")
	cluster, err := localcluster.Start(ctx, localcluster.Options{Bare: true, Log: o.Log})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	r := &run{Options: o, stayput: &harness.Stayput{Cluster: cluster, Binary: o.Binary, Dir: o.Dir}}
	if err := r.connect(cluster.Config()); err != nil {
		return "", err
	}
	if err := r.stayput.Prepare(ctx); err != nil {
		return "", err
	}
	if out, err := r.stayput.Kubectl(ctx, o.Cluster, "apply", "-f", "-"); err != nil {
		return "", fmt.Errorf("make what there is before: %w\n%s", err, out)
	}
	if err := r.makeCases(ctx); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.stayput.Stop()) }()
	if err := r.stayput.Start(ctx); err != nil {
		return "", err
	}
	r.pids = map[string][]int{
		apiServer: {cluster.PIDs()[apiServer]}, byStayput: {r.stayput.PID()}, byMutatingAlone: {r.stayput.PID()},
		byControllerRuntime: {o.Validate.PID, o.Patch.PID},
	}
	if err := r.install(ctx); err != nil {
		return "", err
	}
	if err := r.awake(ctx); err != nil {
		return "", err
	}
	if err := r.measure(ctx); err != nil {
		return "", err
	}
	return r.report(load), nil
}

// connect returns a client in which each connection carries one request at a time.
func (r *run) connect(config *rest.Config) (err error) {
	if r.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	config.NextProtos = []string{"http/1.1"}
	r.url = config.Host
	r.http, err = rest.HTTPClientFor(config)
	return err
}
