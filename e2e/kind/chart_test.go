//go:build kind

package kind

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// upgraded goes from the previous chart and image to those of this checkout
// while Pods are created, and waits until the last old replica has drained.
func upgraded(t *testing.T, c cluster) {
	const pods = "-l=app.kubernetes.io/name=stayput"
	old := strings.Fields(c.kubectl("get", "pods", "-n", "stayput", pods, "-o", "name"))
	l := c.startLoad(c.client(), 8)
	defer l.stop()
	c.upgrade("--values", c.values(env.image, 3))
	c.eventually("the replicas of "+env.previous.ref+" are gone", 4*time.Minute, func() error {
		left := slices.DeleteFunc(strings.Fields(c.kubectl("get", "pods", "-n", "stayput", pods, "-o", "name")),
			func(p string) bool {
				return !slices.Contains(old, p)
			})
		if len(left) > 0 {
			return fmt.Errorf("%s", left)
		}
		return nil
	})
	l.stop()
	l.check(t, 0)
	if image := c.kubectl("get", "pods", "-n", "stayput", pods, "-o",
		"jsonpath={.items[*].spec.containers[0].image}"); image != strings.Join([]string{env.image, env.image, env.image},
		" ") {
		t.Errorf("the replicas run %s", image)
	}
	c.helmTest()
}

// onNodes and shared are the tests of package e2e that only ask the API server,
// and whose Pods and volumes any node and provisioner can make. The first are
// those in which nodes, DNS and provisioner have a say.
var (
	onNodes = []string{
		"TestLabelledPodHasADNSName", "TestPodInANamespaceWithInjectionHasADNSName",
		"TestEachReplicaOfADeploymentHasADNSName",
		"TestPodsOfAStatefulSetHaveDNSNames", "TestVolumesOfAStatefulSetAreRetained",
		"TestVolumesThatTheirOwnerLetsGoAreDeleted",
		"TestAClaimInUseIsKept", "TestTeardownsComplete", "TestANamespaceWithDataGoesWhenItMay",
	}
	shared = []string{
		"TestFixedHostnameInADeploymentIsDenied", "TestOperatorDeletesAClaimBeforeItsPod",
		"TestEveryClaimOfACollectionIsGuarded",
		"TestWhatIsBeingDeletedIsNotHeldBack", "TestOrphansAreNotHeldBack", "TestScaleUpRightAfterScaleDown",
		"TestModeWarnOnlyWarns",
		"TestDirectoriesApplyInEitherOrder", "TestAServiceOfAMillisecondAgoIsSeen", "TestScaleIsSeen",
		"TestTheAutoscalerIsSeen",
		"TestStorageClassRetains", "TestStorageClassIsLeft", "TestRecoverRefuses", "TestOperators",
	}
)

// suite runs them against the Stayput in the cluster; -short, the first alone.
func suite(t *testing.T, c cluster) {
	tests := slices.Concat(onNodes, shared)
	if testing.Short() {
		t.Logf("-short: NOT RUN here, only on the local control plane: %s", strings.Join(shared, ", "))
		tests = onNodes
	}
	if *chosen != "" {
		tests = strings.Fields(*chosen)
	}
	provisioner := c.kubectl("get", "storageclass", "-o", "jsonpath={.items[0].provisioner}")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-parallel=4", "-timeout=30m",
		"-run=^("+strings.Join(tests, "|")+")$", "stayput.dev/e2e",
		"-outside="+c.kubeconfig, "-outside-kubectl="+env.kubectl, "-outside-binary="+env.binary,
		"-outside-image="+env.podImage,
		"-outside-provisioner="+provisioner, "-outside-asker=names/asker")
	out, err := cmd.CombinedOutput()
	for _, name := range tests {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass", name)
		}
	}
	if err != nil || t.Failed() {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("in the cluster:\n%s", strings.Join(regexp.MustCompile(`(?m)^--- PASS: .*`).FindAllString(string(out), -1),
		"\n"))
}

// ownCertificate has Stayput serve a certificate of ours, and then its own
// again. On the way there both authorities are trusted, as docs/install.md says,
// and no creation fails; on the way back there is a gap, of which it tells.
func ownCertificate(t *testing.T, c cluster) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("stayput.stayput.svc", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	crt, pem := filepath.Join(env.dir, "tls.crt"), filepath.Join(env.dir, "tls.key")
	both := filepath.Join(env.dir, "ca.crt")
	old, err := base64.StdEncoding.DecodeString(c.kubectl("get", "secret", "stayput-ca", "-n", "stayput", "-o",
		`jsonpath={.data.ca\.crt}`))
	if err != nil || len(old) == 0 {
		t.Fatalf("ca.crt of the Secret stayput-ca: %q: %v", old, err)
	}
	for file, data := range map[string][]byte{crt: certificate, pem: key, both: slices.Concat(certificate, old)} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.kubectl("create", "secret", "tls", "own-certificate", "-n", "stayput", "--cert", crt, "--key", pem)
	const mounted = `jsonpath={.spec.template.spec.volumes[?(@.name=="tls")].secret.secretName}`
	l := c.startLoad(c.client(), 8)
	defer func() { l.stop() }()
	c.upgrade("--force-conflicts", "--set", "certificates.mode=files,certificates.files.secretName=own-certificate",
		"--set-file", "certificates.files.caBundle="+both)
	l.stop()
	l.check(t, 0)
	if got := c.kubectl("get", "deployment", "stayput", "-n", "stayput", "-o", mounted); got != "own-certificate" {
		t.Fatalf("the Secret %q is mounted", got)
	}
	c.eventually("Stayput denies with a certificate of ours", time.Minute, c.denied)
	l = c.startLoad(c.client(), 8)
	c.upgrade("--set", "certificates.mode=self-signed")
	l.stop()
	l.check(t, math.MaxInt64)
	c.eventually("Stayput denies with its own", time.Minute, c.denied)
	if got := c.kubectl("get", "deployment", "stayput", "-n", "stayput", "-o", mounted); got != "" {
		t.Errorf("the Secret %q is still mounted", got)
	}
}

// networkPolicy has one made. Whether it is enforced is for the network of the
// node's image: kind's own does it, that of kind-node does not.
func networkPolicy(t *testing.T, c cluster) {
	c.upgrade("--set", "networkPolicy.enabled=true")
	if out := c.kubectl("get", "networkpolicy", "stayput", "-n", "stayput", "-o",
		"jsonpath={.spec.policyTypes}"); out != `["Ingress","Egress"]` {
		t.Errorf("policyTypes %s", out)
	}
	c.kubectl("rollout", "restart", "deployment/stayput", "-n", "stayput")
	c.kubectl("rollout", "status", "deployment/stayput", "-n", "stayput", "--timeout=300s")
	c.eventually("Stayput denies behind it", time.Minute, c.denied)
	c.helmTest()
}

// certManager has cert-manager issue the certificate and fill in the caBundles,
// and Stayput its own again. Its controllers run beside the cluster: there is
// no image of them here, but a program built from their packages.
func certManager(t *testing.T, c cluster) {
	dir, err := harness.ModuleDir(t.Context(), "../..", "github.com/cert-manager/cert-manager")
	if err != nil {
		t.Fatal(err)
	}
	crds := filepath.Join(dir, "deploy", "crds")
	c.kubectl("create", "-f", crds)
	c.eventually("cert-manager's definitions are established", time.Minute, func() error {
		_, err := c.try("", "wait", "--for=condition=Established", "-f", crds)
		return err // at once where a definition has no status yet
	})
	program, err := localcluster.BuildCertManager(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	log, err := os.Create(filepath.Join(t.TempDir(), "cert-manager.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe() // it ends when this does
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil || t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Errorf("cert-manager: %v\n%s", err, text[max(0, len(text)-4000):])
		}
	}()
	c.upgrade("--set", "certificates.mode=cert-manager")
	c.eventually("Stayput denies with a certificate of cert-manager", time.Minute, c.denied)
	// Old replicas, as long as they drain, see to it that theirs is there too.
	c.eventually("every caBundle has cert-manager's authority", 3*time.Minute, func() error {
		issued := c.kubectl("get", "secret", "stayput-tls", "-n", "stayput", "-o", `jsonpath={.data.ca\.crt}`)
		authority, err := base64.StdEncoding.DecodeString(issued)
		if err != nil || len(authority) == 0 {
			return fmt.Errorf("ca.crt of the Secret: %q: %v", issued, err)
		}
		for _, kind := range []string{"validatingwebhookconfiguration", "mutatingwebhookconfiguration"} {
			for _, bundle := range strings.Fields(c.kubectl("get", kind, "stayput", "-o",
				"jsonpath={.webhooks[*].clientConfig.caBundle}")) {
				if text, err := base64.StdEncoding.DecodeString(bundle); err != nil ||
					!bytes.Contains(text, bytes.TrimSpace(authority)) {
					return fmt.Errorf("one of the %s has another: %v", kind, err)
				}
			}
		}
		return nil
	})
	c.upgrade("--set", "certificates.mode=self-signed")
	c.eventually("Stayput denies with its own", time.Minute, c.denied)
	c.kubectl("delete", "-f", crds)
	c.kubectl("delete", "secret", "stayput-tls", "stayput-cert-manager-ca", "-n", "stayput") // cert-manager leaves them
}
