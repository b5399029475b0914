package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// outside is a cluster that somebody else has made and in which Stayput is
// installed by its chart, allowing every mode. e2e/kind runs here those tests
// that only ask the API server, and neither stop Stayput nor configure it.
var outside = outsideCluster{
	kubeconfig: flag.String("outside", "",
		"kubeconfig file of a cluster with Stayput in it, instead of a local control plane; needs the other -outside flags"),
	kubectl:     flag.String("outside-kubectl", "kubectl", "kubectl to use"),
	binary:      flag.String("outside-binary", "", "stayput, as it runs in the cluster"),
	image:       flag.String("outside-image", "", "image of e2e/kind/pod, on every node"),
	provisioner: flag.String("outside-provisioner", "", "provisioner of volumes"),
	asker:       flag.String("outside-asker", "", "NAMESPACE/POD of that image, to resolve names in"),
}

type outsideCluster struct {
	kubeconfig, kubectl, binary *string
	image                       *string // what Pods run, in place of the images of the manifests
	provisioner                 *string // makes volumes for Pods that are scheduled
	asker                       *string // resolves names
}

func setUpOutside(ctx context.Context) error {
	for name, value := range map[string]string{"binary": *outside.binary, "image": *outside.image,
		"provisioner": *outside.provisioner, "asker": *outside.asker} {
		if value == "" {
			return errors.New("-outside: needs -outside-" + name)
		}
	}
	if err := exec.CommandContext(ctx, *outside.kubectl, "version", "--client").Run(); err != nil {
		return fmt.Errorf("-outside-kubectl %s: %w", *outside.kubectl, err)
	}
	env.Stayput = &harness.Stayput{Cluster: outside, Binary: *outside.binary}
	env.resolve = outside.resolve
	env.patient = 6 * time.Minute // images are unpacked, volumes made by Pods
	config, err := clientcmd.BuildConfigFromFlags("", *outside.kubeconfig)
	if err != nil {
		return fmt.Errorf("-outside: %w", err)
	}
	if env.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	out, err := env.Kubectl(ctx, strings.Replace(class, localcluster.HostPathProvisioner, *outside.provisioner,
		1)+"volumeBindingMode: WaitForFirstConsumer\n", "apply", "-f", "-")
	if err != nil {
		return fmt.Errorf("make a StorageClass: %w\n%s", err, out)
	}
	return nil
}

// Config is called after the file has been read once.
func (c outsideCluster) Config() *rest.Config {
	config, err := clientcmd.BuildConfigFromFlags("", *c.kubeconfig)
	if err != nil {
		panic(err)
	}
	return config
}

func (c outsideCluster) Kubeconfig() string { return *c.kubeconfig }
func (c outsideCluster) Kubectl() string    { return *c.kubectl }

// images are those of Pods, which are to be had from no registry.
var images = regexp.MustCompile(`image: [a-z]+\b`)

// runnable returns a manifest with an image that the nodes have.
func (c outsideCluster) runnable(manifest string) string {
	if *c.image == "" {
		return manifest
	}
	return images.ReplaceAllString(manifest, "image: '"+*c.image+"'")
}

func (c outsideCluster) resolve(ctx context.Context, name string) ([]string, error) {
	ns, pod, _ := strings.Cut(*c.asker, "/")
	out, err := exec.CommandContext(ctx, *c.kubectl, "--kubeconfig", *c.kubeconfig, "exec", "-n", ns, pod, "--", "/pod",
		"resolve", name).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return strings.Fields(string(out)), nil
}
