// Command demo shows Stayput at work on a real API server, with the manifests
// of the notes that its conventions come from. With --record FILE it writes the
// denial and its remedy to a file. docs/generate makes a picture of that.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	record := flag.String("record", "", "file to write the denial to")
	flag.Parse()
	if err := run(ctx, *record); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, record string) (err error) {
	dir, err := os.MkdirTemp("", "stayput-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("Starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and CoreDNS on loopback ...")
	cluster, err := localcluster.Start(ctx, localcluster.Options{Log: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	binary, err := harness.Build(ctx, dir)
	if err != nil {
		return err
	}
	s := &harness.Stayput{Cluster: cluster, Binary: binary, Dir: dir}
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	fmt.Println("Starting Stayput beside it, and installing its two webhook configurations ...")
	if err := errors.Join(s.Start(ctx), s.Install(ctx)); err != nil {
		return err
	}
	d := &demo{Context: ctx, Stayput: s, resolver: cluster.Resolver(), Writer: os.Stdout}
	for _, part := range []func() error{d.names, d.data, d.closing} {
		if err := part(); err != nil {
			return err
		}
	}
	if record == "" {
		return nil
	}
	return os.WriteFile(record, bytes.TrimLeft(d.denial.Bytes(), "\n"), 0o644)
}

// A demo runs commands before the reader's eyes, and stops where the outcome
// is not the one that it promised.
type demo struct {
	context.Context
	*harness.Stayput
	resolver  *net.Resolver
	io.Writer              // what the reader sees
	denial    bytes.Buffer // the part of it that begins with the denial
}

func (d *demo) names() error {
	d.title("1. Names", "A headless Service, and a Deployment whose Pods all have one hostname, as in the notes.")
	if err := d.apply("headless.yaml", service); err != nil {
		return err
	}
	d.Writer = io.MultiWriter(os.Stdout, &d.denial)
	if err := d.refused("deployment-hostname", deployment("hostname: mysql-pod, subdomain: mysql-h, ", ""), "apply", "-f",
		"deployment.yaml"); err != nil {
		return err
	}
	d.say("Mended as the message says: a label on the template, and every replica has a name of its own.")
	if err := d.apply("deployment.yaml", deployment("", ", stayput.dev/subdomain: mysql-h")); err != nil {
		return err
	}
	if err := d.kubectl("", "rollout", "status", "deployment/mysql-deployment"); err != nil {
		return err
	}
	pods, err := d.out("get", "pods", "-l", "app=mysql", "-o", `jsonpath={range .items[*]}{.metadata.name}{" "}{end}`)
	if err != nil {
		return err
	}
	for _, pod := range strings.Fields(pods) {
		if err := d.resolve(pod + ".mysql-h.default.svc.cluster.local"); err != nil {
			return err
		}
	}
	d.Writer = os.Stdout
	d.say("A bare Pod, with nothing but the label.")
	if err := d.apply("pod.yaml", pod); err != nil {
		return err
	}
	return d.resolve("mysql-pod.mysql-h.default.svc.cluster.local")
}

func (d *demo) data() error {
	d.title("2. Data", "A StorageClass that deletes volumes with their claims, as most do, and a database without a "+
		"serviceName.")
	if err := d.apply("class.yaml", class); err != nil {
		return err
	}
	if err := d.kubectl("", "create", "namespace", "shop"); err != nil {
		return err
	}
	if err := d.kubectl(service, "apply", "-n", "shop", "-f", "headless.yaml"); err != nil {
		return err
	}
	if err := d.kubectl(database, "apply", "-n", "shop", "-f", "statefulset.yaml"); err != nil {
		return err
	}
	d.say("The serviceName was filled in: exactly one headless Service selects the Pods.")
	if err := d.kubectl("", "rollout", "status", "statefulset/mysql", "-n", "shop"); err != nil {
		return err
	}
	if err := d.resolve("mysql-0.mysql-h.shop.svc.cluster.local"); err != nil {
		return err
	}
	volumes := []string{"get", "pv", "-o",
		"custom-columns=VOLUME:.metadata.name,CLAIM:.spec.claimRef.name,CLASS:.spec.storageClassName," +
			"POLICY:.spec.persistentVolumeReclaimPolicy,PHASE:.status.phase"}
	d.say("The volumes are retained, whatever their class says.")
	if err := d.shows([]string{"Retain"}, volumes...); err != nil {
		return err
	}
	d.say("A claim in use cannot be deleted by mistake.")
	if err := d.refused("claim-in-use", "", "delete", "pvc", "data-mysql-1", "-n", "shop"); err != nil {
		return err
	}
	d.say("The StatefulSet, its claims and the whole namespace go. The volumes stay.")
	for _, args := range [][]string{{"delete", "statefulset", "mysql", "-n", "shop"},
		{"delete", "pvc", "--all", "-n", "shop"}, {"delete", "namespace", "shop"}} {
		if err := d.kubectl("", args...); err != nil {
			return err
		}
	}
	return d.shows([]string{"Retain", "Released"}, volumes...)
}

func (d *demo) closing() error {
	text, err := d.Metrics(d)
	if err != nil {
		return err
	}
	d.title("3. What the API server asked", "From Stayput's /metrics:")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "stayput_requests_total") {
			fmt.Fprint(d, "  ", line)
		}
	}
	d.say("Everything that was started is being stopped. `make cluster` gives you an API server to try rules on.")
	return nil
}

func (d *demo) title(title, text string) {
	fmt.Fprintf(d, "\n\033[1m%s\033[0m\n", title)
	d.say(text)
}

func (d *demo) say(text string) { fmt.Fprintf(d, "\n# %s\n", text) }

// apply applies a manifest to the default namespace; it must be taken.
func (d *demo) apply(file, manifest string) error {
	return d.kubectl(manifest, "apply", "-f", file)
}

// kubectl runs kubectl, which must succeed, and prints the command, the
// manifest and the answer.
func (d *demo) kubectl(manifest string, args ...string) error {
	out, err := d.show(manifest, args...)
	if err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// refused runs kubectl, which must be denied by a rule.
func (d *demo) refused(rule, manifest string, args ...string) error {
	out, err := d.show(manifest, args...)
	if err == nil || !strings.Contains(out, rule) {
		return fmt.Errorf("kubectl %s: not denied by %s", strings.Join(args, " "), rule)
	}
	return nil
}

// shows runs kubectl until each line of a table, but the first, has the words.
func (d *demo) shows(words []string, args ...string) error {
	for range 100 {
		out, err := d.out(args...)
		if err != nil {
			return err
		}
		rows := strings.Split(strings.TrimSpace(out), "\n")[1:]
		right := len(rows) > 0
		for _, row := range rows {
			for _, w := range words {
				right = right && strings.Contains(row, w)
			}
		}
		if right {
			_, err = d.show("", args...)
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("kubectl %s: not all rows say %q", strings.Join(args, " "), words)
}

func (d *demo) show(manifest string, args ...string) (string, error) {
	shown := make([]string, 0, len(args))
	for i, a := range args {
		if strings.HasSuffix(a, ".yaml") {
			args[i] = "-" // from standard input
		}
		if strings.ContainsAny(a, " {}[]") {
			a = "'" + a + "'"
		}
		shown = append(shown, a)
	}
	fmt.Fprintf(d, "\n$ kubectl %s\n", strings.Join(shown, " "))
	for line := range strings.Lines(manifest) {
		fmt.Fprint(d, "  | ", line)
	}
	out, err := d.Kubectl(d, manifest, args...)
	fmt.Fprint(d, out)
	return out, err
}

func (d *demo) out(args ...string) (string, error) {
	out, err := d.Kubectl(d, "", args...)
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return out, nil
}

// resolve asks CoreDNS for a name until it has one address.
func (d *demo) resolve(name string) error {
	var last error
	for range 100 {
		found, err := d.resolver.LookupHost(d, name+".")
		if err == nil && len(found) == 1 {
			fmt.Fprintf(d, "  DNS: %s -> %s\n", name, found[0])
			return nil
		}
		last = errors.Join(err, d.Err())
		if d.Err() != nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("resolve %s: %w", name, last)
}
