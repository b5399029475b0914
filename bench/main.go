// Command bench measures the cost of an answer of Stayput, beside that of a minimal
// webhook and of one built with controller-runtime. Each server is a process of its
// own. The servers get requests over loopback, as from the API server, in turns.
//
//	make bench
package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/util/cert"

	"stayput.dev/bench/paper"
	made "stayput.dev/bench/payloads"
	"stayput.dev/e2e/harness"
)

//go:embed payloads/*.json
var payloadFiles embed.FS

var stdin io.Reader = os.Stdin

type options struct {
	serve, cert, key string
	rounds           int
	during           time.Duration
	size             paper.Size
	docs, only       string
	scale, real      bool
	latency, lint    bool
	claims, memory   bool
	jobs             int
	against          string
}

func main() {
	var o options
	flag.StringVar(&o.serve, "serve", "", "run one of the servers that Stayput is compared with")
	flag.StringVar(&o.cert, "cert", "", "with --serve: its certificate")
	flag.StringVar(&o.key, "key", "", "with --serve: its key")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured; medians are shown")
	flag.DurationVar(&o.during, "during", 500*time.Millisecond, "how long each measurement takes")
	flag.IntVar(&o.size.StatefulSets, "statefulsets", 1000, "StatefulSets in Stayput's cache, each with a Service")
	flag.IntVar(&o.size.Replicas, "replicas", 10, "Pods, claims and volumes of each")
	flag.IntVar(&o.size.Namespaces, "namespaces", 100, "namespaces that they are in")
	flag.StringVar(&o.only, "only", "", "measure only this payload")
	flag.BoolVar(&o.scale, "scale", false, "measure how Stayput and audit bear a large cluster, instead of beside others")
	flag.BoolVar(&o.real, "real", false, "with --scale: beside a real API server, too")
	flag.BoolVar(&o.latency, "latency", false, "measure what is added to requests through a real API server, instead")
	flag.BoolVar(&o.lint, "lint", false, "measure one run of lint beside kube-score, instead")
	flag.BoolVar(&o.claims, "claims", false, "measure the deletion of claims beside CronJobs and Jobs, and beside an "+
		"earlier build, instead")
	flag.IntVar(&o.jobs, "jobs", 10_000, "with --claims: CronJobs in Stayput's cache, and as many Jobs")
	flag.BoolVar(&o.memory, "memory", false, "measure memory, quiet and busy, beside an earlier build, instead; in a "+
		"cluster of that size, and in one ten times as large")
	flag.StringVar(&o.against, "against", "", "with --claims or --memory: the commit of the earlier build, "+
		"instead of the last one before the change that the measurement is about")
	flag.StringVar(&o.docs, "docs", "", "file whose generated part is written, as docs/measurements.md")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := o.run
	if o.serve != "" {
		run = func(context.Context) error { return serve(o.serve, o.cert, o.key) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// A payload is an AdmissionReview, with the answer of Stayput to it.
type payload struct {
	name, title, verdict string
	body                 []byte
}

// payloads lists the payloads that are measured, the main one first.
func payloads() ([]payload, error) {
	list := []payload{
		{name: "statefulset-create", title: "StatefulSet, create", verdict: "allowed"},
		{name: "statefulset-warned", title: "StatefulSet, create", verdict: "warned"},
		{name: "statefulset-denied", title: "StatefulSet, create", verdict: "denied"},
		{name: "statefulset-update", title: "StatefulSet, update", verdict: "allowed"},
		{name: "statefulset-update-nothing", title: "StatefulSet with faults, update of nothing", verdict: "allowed"},
		{name: "statefulset-update-unrelated", title: "the same, update of an annotation", verdict: "allowed"},
		{name: "statefulset-create-mutate", title: "StatefulSet, create, mutating", verdict: "allowed"},
		{name: "pod-create-mutate", title: "Pod, create, mutating", verdict: "mutated"},
		{name: "pod-create", title: "Pod, create", verdict: "allowed"},
		{name: "claim-create", title: "Claim, create", verdict: "allowed"},
		{name: "claim-delete-denied", title: "Claim, delete", verdict: "denied"},
		{name: "volume-create-mutate", title: "Volume, create, mutating", verdict: "mutated"},
		{name: "volume-create", title: "Volume on a hostPath, create", verdict: "warned"},
	}
	for i := range list {
		var err error
		if list[i].body, err = read(list[i].name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// read returns the body of a payload, which was captured, or is derived from one
// that was.
func read(name string) ([]byte, error) {
	annotated, silent := made.Silent[name]
	if !silent {
		return payloadFiles.ReadFile("payloads/" + name + ".json")
	}
	creation, err := read(made.Faulty)
	if err != nil {
		return nil, err
	}
	return made.Update(creation, annotated)
}

func (p payload) mutating() bool { return strings.HasSuffix(p.name, "-mutate") }

// path is the URL path at which Stayput answers the payload. The other servers
// answer at every path.
func (p payload) path() string {
	if p.mutating() {
		return "/mutate"
	}
	return "/validate"
}

func (o options) run(ctx context.Context) error {
	list, err := payloads()
	if err != nil {
		return err
	}
	if o.only != "" {
		list = slices.DeleteFunc(list, func(p payload) bool { return p.name != o.only })
		if len(list) == 0 {
			return fmt.Errorf("--only %s: no payload has this name", o.only)
		}
	}
	dir, err := os.MkdirTemp("", "stayput-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir, payloads: list}
	defer b.stop()
	if o.lint {
		return b.runLint(ctx)
	}
	if o.claims {
		b.against = cmp.Or(o.against, beforeJobs)
		return b.runClaims(ctx)
	}
	if o.memory {
		b.against = cmp.Or(o.against, beforeSharing)
		return b.runMemory(ctx)
	}
	if o.scale {
		return b.runScale(ctx)
	}
	if o.latency {
		return b.runLatency(ctx)
	}
	plan := b.plan()
	if err := b.start(ctx, []string{"bare", "floor", "cr-validate", "cr-patch"},
		clusterOf{"stayput", o.size}); err != nil {
		return err
	}
	if err := b.measureAll(ctx, plan); err != nil {
		return err
	}
	text, err := b.report(ctx, plan)
	if err != nil {
		return err
	}
	return b.publish("make bench", text)
}

// publish prints the results of a command, and writes them to a file if a flag
// names one.
func (b *bench) publish(command, text string) error {
	fmt.Print(text)
	if b.docs == "" {
		return nil
	}
	return writeGenerated(b.docs, command, text)
}

// measureAll checks the servers, and measures all cases.
func (b *bench) measureAll(ctx context.Context, plan []*testCase) error {
	if err := b.check(); err != nil {
		return err
	}
	return b.measureInTurns(ctx, plan)
}

// measureInTurns measures all cases in turns, round after round.
func (b *bench) measureInTurns(ctx context.Context, plan []*testCase) error {
	fmt.Printf("Measuring %d cases in %d rounds, each for %v: about %v.\n", len(plan), b.rounds, b.during,
		(time.Duration(len(plan)*b.rounds) * (b.during + b.during/10)).Round(time.Second))
	for round := range b.rounds {
		fmt.Printf("round %d of %d\n", round+1, b.rounds)
		for i := range plan {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// Every other round backwards, so that nobody always comes after the same.
			c := plan[i]
			if round%2 == 1 {
				c = plan[len(plan)-1-i]
			}
			if err := b.measure(c); err != nil {
				return fmt.Errorf("%s, %s: %w", c.server, c.payload.name, err)
			}
		}
	}
	return nil
}

// A bench holds the servers and the connections to them.
type bench struct {
	options
	dir      string
	payloads []payload

	binary, certFile, keyFile string
	processes                 map[string]*process
	ca                        *x509.CertPool
}

// A testCase is a payload sent to a server over some connections.
type testCase struct {
	server      string
	payload     payload
	connections int
	samples     []sample
}

// plan lists the cases. Cases that are compared are next to each other.
func (b *bench) plan() (cases []*testCase) {
	for _, p := range b.payloads {
		for _, s := range []string{"bare", "floor", "cr-validate", "cr-patch", "stayput"} {
			if (s == "cr-patch") != p.mutating() && (s == "cr-patch" || s == "cr-validate") {
				continue
			}
			cases = append(cases, &testCase{server: s, payload: p, connections: 8})
			if p.name == b.payloads[0].name {
				cases = append(cases, &testCase{server: s, payload: p, connections: 1},
					&testCase{server: s, payload: p, connections: 64})
			}
		}
	}
	return cases
}

// start starts the servers to compare with, and Stayput beside clusters of several
// sizes.
func (b *bench) start(ctx context.Context, baselines []string, clusters ...clusterOf) error {
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return err
	}
	b.ca = x509.NewCertPool()
	b.ca.AppendCertsFromPEM(certPEM)
	b.certFile, b.keyFile = filepath.Join(b.dir, "tls.crt"), filepath.Join(b.dir, "tls.key")
	if err := errors.Join(os.WriteFile(b.certFile, certPEM, 0o600), os.WriteFile(b.keyFile, keyPEM, 0o600)); err != nil {
		return err
	}
	b.processes = map[string]*process{}
	for _, name := range baselines {
		if b.processes[name], err = startBaseline(name, b.certFile, b.keyFile); err != nil {
			return err
		}
	}
	if b.binary, err = harness.Build(ctx, b.dir); err != nil {
		return err
	}
	for _, c := range clusters {
		if err := b.startBesidePaper(ctx, c.server, c.size); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) stop() {
	for _, p := range b.processes {
		if p != nil {
			_ = p.stop()
		}
		if p != nil && p.stopCluster != nil {
			p.stopCluster()
		}
	}
}

// check fails if a server gives a wrong answer, before anything is measured.
func (b *bench) check() error {
	for _, p := range b.payloads {
		for name, server := range b.processes {
			want := "allowed"
			if server.cluster != nil {
				want = p.verdict
			} else if name == "cr-patch" && p.verdict == "mutated" {
				want = "mutated"
			}
			if name == "cr-patch" && !p.mutating() {
				continue
			}
			if err := b.answers(server, name, p, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// answers fails if a server does not give the wanted answer.
func (b *bench) answers(server *process, name string, p payload, want string) error {
	c, err := dial(server.address, b.ca, 1)
	if err != nil {
		return err
	}
	defer c.close()
	got, text, err := c.verdict(p.path(), p.body)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", name, p.name, err)
	}
	if got != want {
		return fmt.Errorf("%s, %s: is %s, and should be %s: %s", name, p.name, got, want, text)
	}
	return nil
}

// A sample is one measurement.
type sample struct {
	n, rps, allocs, bytes float64
	p50, p99, cpu         time.Duration
	live                  int // requests to the API server, of Stayput
}

func (b *bench) measure(c *testCase) error {
	p := b.processes[c.server]
	cl, err := dial(p.address, b.ca, c.connections)
	if err != nil {
		return err
	}
	defer cl.close()
	if _, err := cl.load(c.payload.path(), c.payload.body, c.connections, b.during/10); err != nil { // warm up
		return err
	}
	mallocs, bytes, err := p.allocated()
	if err != nil {
		return err
	}
	live := p.lookups()
	before, err := p.cpu()
	if err != nil {
		return err
	}
	start := time.Now()
	times, err := cl.load(c.payload.path(), c.payload.body, c.connections, b.during)
	if err != nil {
		return err
	}
	took := time.Since(start)
	after, err := p.cpu()
	if err != nil {
		return err
	}
	mallocsAfter, bytesAfter, err := p.allocated()
	if err != nil {
		return err
	}
	n := float64(len(times))
	c.samples = append(c.samples, sample{
		n: n, rps: n / took.Seconds(), p50: times[len(times)/2], p99: times[len(times)*99/100],
		cpu: (after - before) / time.Duration(len(times)), allocs: (mallocsAfter - mallocs) / n,
		bytes: (bytesAfter - bytes) / n,
	})
	c.samples[len(c.samples)-1].live = p.lookups() - live
	return nil
}
