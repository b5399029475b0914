package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"

	"stayput.dev/e2e/localcluster"
)

const (
	deletionStatic  = `admission webhook "deletion-static.stayput.dev" denied the request: `
	deletionMade    = `admission webhook "deletion.stayput.dev" denied the request: `
	unaskableStatic = `failed calling webhook "deletion-static.stayput.dev"`
)

// A staticLab is an API server that reads guards from files, beside a Stayput.
type staticLab struct {
	side
	cluster *localcluster.Cluster
	dir     string
}

// startStatic makes a cluster as docs/static-guards.md says for kind: the directory
// is empty at first.
func startStatic(t *testing.T, o localcluster.Options) (cluster *localcluster.Cluster, dir string) {
	t.Helper()
	onlySince(t, 37, "guards from files")
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "validating"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(readFile(t, "..", "docs", "static-guards.md"), "cat > guards/admission.yaml <<END\n")
	admission, _, found := strings.Cut(page, "    END\n")
	if !ok || !found {
		t.Fatal("docs/static-guards.md has no AdmissionConfiguration")
	}
	admission = strings.ReplaceAll(strings.ReplaceAll("\n"+admission, "\n    ", "\n"), "/etc/kubernetes/stayput", dir)
	file := filepath.Join(dir, "admission.yaml")
	if err := os.WriteFile(file, []byte(admission), 0o644); err != nil {
		t.Fatal(err)
	}
	o.APIServerArgs = append(o.APIServerArgs, "--admission-control-config-file="+file)
	cluster, err := localcluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop() })
	return cluster, dir
}

// file is that of the guards.
func (l *staticLab) file() string { return filepath.Join(l.dir, "validating", "stayput.yaml") }

// guard writes the guards, and waits until the API server has read them.
func (l *staticLab) guard(args ...string) string {
	l.t.Helper()
	out, err := l.Command(l.t.Context(), append([]string{"webhooks", "--static", l.dir, "--url", "https://" + l.Address(),
		"--namespace", "stayput", "--kubernetes-version", "1.37"}, args...)...)
	if err != nil {
		l.t.Fatalf("%v\n%s", err, out)
	}
	l.read()
	return out
}

// read waits until the API server has read the file of the guards.
func (l *staticLab) read() {
	l.t.Helper()
	data, err := os.ReadFile(l.file())
	if err != nil {
		l.t.Fatal(err)
	}
	hash := fmt.Sprintf("sha256:%x", sha256.Sum256(append(data, 0)))
	began := time.Now()
	eventually(l.t, "the API server reads the guards", func() error {
		if !strings.Contains(l.kubectl("", "get", "--raw", "/metrics"), hash) {
			return errors.New("it has others")
		}
		return nil
	})
	l.t.Logf("read after %s", time.Since(began).Round(time.Millisecond))
}

// try runs kubectl, which may fail.
func (l *staticLab) try(args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	out, err := l.Kubectl(ctx, "", args...)
	if err == nil {
		return "allowed: " + out
	}
	return out
}

// refused has the deletion of each kind refused, with a text in each answer, which
// names another webhook where a label protects the object.
func (l *staticLab) refused(text string) {
	l.t.Helper()
	pv := l.kubectl("", "get", "pvc", "data-db-0", "-n", "shop", "-o", "jsonpath={.spec.volumeName}")
	for _, object := range [][]string{{"pvc", "data-db-0", "-n", "shop"}, {"pv", pv}} {
		contains(l.t, l.try(append([]string{"delete", "--dry-run=server"}, object...)...), text)
	}
	for _, object := range [][]string{{"namespace", "shop"}, {"statefulset", "db", "-n", "shop"}} {
		contains(l.t, l.try(append([]string{"delete", "--dry-run=server"}, object...)...),
			strings.Replace(text, "deletion-", "protected-", 1))
	}
}

// TestStaticGuards has an API server that reads the guards of deletions from a file,
// with and without those that are made through the API, from its first second on.
func TestStaticGuards(t *testing.T) {
	cluster, dir := startStatic(t, localcluster.Options{})
	l := &staticLab{replica(t, cluster, config), cluster, dir}
	l.start()
	if err := l.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.kubectl(class, "create", "-f", "-")
	l.kubectl("", "create", "namespace", "shop")
	db := strings.Replace(strings.Replace(waiting, "storageClassName: late", "storageClassName: disk", 1),
		`nodeSelector: {fast: "yes"}`, "", 1)
	l.kubectl(strings.Replace(db, "replicas: 1", "replicas: 2", 1), "create", "-n", "shop", "-f", "-")
	for _, claim := range []string{"data-db-0", "data-db-1"} {
		l.output("Bound", "get", "pvc", claim, "-n", "shop", "--ignore-not-found", "-o", "jsonpath={.status.phase}")
	}
	l.kubectl("", "label", "statefulset", "db", "-n", "shop", protect+"=true")
	l.kubectl("", "label", "namespace", "shop", protect+"=true")

	made := l.try("delete", "pvc", "data-db-0", "-n", "shop", "--dry-run=server")
	contains(t, made, deletionMade+"claim-in-use: ")
	contains(t, l.guard("--ca-file", filepath.Join(l.Dir, "tls.crt")),
		"deletion-static.stayput.dev, protected-static.stayput.dev")
	l.besideThoseOfTheAPI(made)

	if err := l.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	static := l.try("delete", "pvc", "data-db-0", "-n", "shop", "--dry-run=server")
	if want := strings.Replace(made, deletionMade, deletionStatic, 1); static != want {
		t.Errorf("the guard says\n%s\nand that of the API said\n%s", static, made)
	}
	l.refused(deletionStatic)
	if out := l.kubectl("", "get", "validatingwebhookconfigurations", "-o", "name"); out != "" {
		t.Errorf("in the API: %s", out)
	}
	contains(t, l.try("delete", "validatingwebhookconfiguration", "stayput.static.k8s.io"), "NotFound")
	if left := l.metric("stayput_static_guard_expiry_seconds"); left < 360*24*3600 || left > 366*24*3600 {
		t.Errorf("they trust Stayput for %f s", left)
	}

	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"the first second", l.firstSecond}, {"a cold start", l.coldStart}, {"another CA", l.anotherCA},
		{"the emergency exit", l.emergencyExit}, {"a broken file", l.brokenFile},
	} {
		t.Run(part.name, func(t *testing.T) {
			l.t = t
			part.run(t)
		})
	}
}

// besideThoseOfTheAPI asks twice, and gets one answer.
func (l *staticLab) besideThoseOfTheAPI(made string) {
	l.t.Helper()
	calls := func(name string) int {
		return strings.Count(l.kubectl("", "get", "--raw", "/metrics"),
			`apiserver_admission_webhook_rejection_count{error_type="no_error",name="`+name+`"`)
	}
	names := regexp.MustCompile(`deletion(-static)?[.]stayput[.]dev`)
	for range 5 {
		out := l.try("delete", "pvc", "data-db-0", "-n", "shop", "--dry-run=server")
		if names.ReplaceAllString(out, "") != names.ReplaceAllString(made, "") {
			l.t.Errorf("asked twice:\n%s\nasked once:\n%s", out, made)
		}
	}
	if calls("deletion-static.stayput.dev") != 1 || calls("deletion.stayput.dev") != 1 {
		l.t.Error("not both were asked")
	}
	l.kubectl("", "label", "namespace", "shop", "stayput.dev/mode=warn")
	eventually(l.t, "warned once", func() error {
		out := l.try("delete", "pvc", "data-db-0", "-n", "shop", "--dry-run=server")
		if strings.Count(out, "Warning: claim-in-use: ") != 1 || !strings.HasPrefix(out, "allowed: ") {
			return errors.New(out)
		}
		return nil
	})
	l.kubectl("", "label", "namespace", "shop", "stayput.dev/mode-")
	eventually(l.t, "denied again", func() error {
		if out := l.try("delete", "pvc", "data-db-0", "-n", "shop", "--dry-run=server"); strings.HasPrefix(out, "allowed: ") {
			return errors.New(out)
		}
		return nil
	})
}

// asking deletes the claim by dry run again and again until the end is called, and
// counts answers by what they say.
func (l *staticLab) asking(t *testing.T) (end func() (guarded, allowed int64, other map[string]int)) {
	t.Helper()
	config := l.cluster.Config()
	config.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	var guarded, allowed atomic.Int64
	other := map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			err := client.CoreV1().PersistentVolumeClaims("shop").Delete(ctx, "data-db-0",
				metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
			switch {
			case ctx.Err() != nil:
			case err == nil:
				allowed.Add(1)
			case strings.Contains(err.Error(), deletionStatic+"claim-in-use: "):
				guarded.Add(1)
			default:
				other[err.Error()]++
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() (int64, int64, map[string]int) {
		cancel()
		<-done
		return guarded.Load(), allowed.Load(), other
	}
}

// firstSecond asks while the API server starts.
func (l *staticLab) firstSecond(t *testing.T) {
	end := l.asking(t)
	if err := l.cluster.Restart(t.Context(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	guarded, allowed, other := end()
	t.Logf("%d times denied; answered otherwise: %v", guarded, other)
	if allowed > 0 || guarded == 0 {
		t.Errorf("%d times allowed, %d times denied: %v", allowed, guarded, other)
	}
}

// coldStart starts the control plane while Stayput is away, the API server first.
func (l *staticLab) coldStart(t *testing.T) {
	l.kubectl("", "create", "namespace", "going")
	l.kubectl("", "create", "configmap", "some", "-n", "going")
	if err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := l.cluster.Restart(t.Context(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	l.refused(unaskableStatic)
	contains(t, l.try("delete", "namespace", "going"), unaskableStatic)
	for _, component := range []string{"kube-controller-manager", "kube-scheduler", "kwok"} {
		if err := l.cluster.Restart(t.Context(), component); err != nil {
			t.Fatal(err)
		}
	}

	// The control plane and workloads go on.
	l.kubectl("", "delete", "pod", "db-1", "-n", "shop", "--grace-period=0", "--force")
	l.output("2", "get", "statefulset", "db", "-n", "shop", "-o", "jsonpath={.status.readyReplicas}")
	l.kubectl("", "create", "deployment", "web", "--image=web", "-n", "shop")
	web := []string{"get", "deployment", "web", "-n", "shop", "-o", "jsonpath={.status.readyReplicas}"}
	// Controllers and kwok ask the API server again after pauses that grow.
	for deadline := time.Now().Add(3 * time.Minute); l.kubectl("", web...) != "1" && time.Now().Before(deadline); {
		time.Sleep(time.Second)
	}
	l.output("1", web...)
	l.kubectl("", "delete", "deployment", "web", "-n", "shop")
	l.kubectl("", "label", "pvc", "data-db-0", "-n", "shop", "seen=yes")
	// A claim that its controller deletes, and the volume after it.
	l.kubectl("", "patch", "statefulset", "db", "-n", "shop", "-p",
		`{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenScaled":"Delete"}}}`)
	l.kubectl("", "scale", "statefulset", "db", "-n", "shop", "--replicas=1")
	l.output("", "get", "pvc", "data-db-1", "-n", "shop", "--ignore-not-found", "-o", "name")
	// All that may be needed in Stayput's own namespace, and its removal.
	l.kubectl("", "create", "deployment", "own", "--image=own", "-n", "stayput")
	l.output("1", "get", "deployment", "own", "-n", "stayput", "-o", "jsonpath={.status.readyReplicas}")
	l.kubectl("", "delete", "deployment", "own", "-n", "stayput")
	l.kubectl("", "delete", "namespace", "stayput", "--dry-run=server")

	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.refused(deletionStatic)
	l.kubectl("", "delete", "namespace", "going")
}

// anotherCA has the guards trust another CA, and then Stayput serve under it.
func (l *staticLab) anotherCA(t *testing.T) {
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(t.TempDir(), "next.crt")
	if err := os.WriteFile(next, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	end := l.asking(t)
	contains(t, l.guard("--ca-file", next), ", and what they trusted before until ")
	l.serve(t, certPEM, keyPEM)
	contains(t, l.guard("--ca-file", next, "--name", "stayput"), "is as it must be")
	guarded, allowed, other := end()
	if allowed > 0 || guarded == 0 || len(other) > 0 {
		t.Errorf("%d times denied, %d times allowed: %v", guarded, allowed, other)
	}
	t.Logf("%d denials meanwhile", guarded)
	// The connections are new.
	if err := l.cluster.Restart(t.Context(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	l.refused(deletionStatic)
	l.guard("--ca-file", next, "--drop-old-ca")
	l.refused(deletionStatic)

	// Without the CA that signs, all waits, until the file has it.
	stranger, _, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	strange := filepath.Join(t.TempDir(), "stranger.crt")
	if err := os.WriteFile(strange, stranger, 0o600); err != nil {
		t.Fatal(err)
	}
	l.guard("--ca-file", strange, "--drop-old-ca")
	l.refused("certificate signed by unknown authority")
	l.guard("--ca-file", next)
	l.refused(deletionStatic)
}

// serve has Stayput serve another certificate, and waits until it does.
func (l *staticLab) serve(t *testing.T, certPEM, keyPEM []byte) {
	t.Helper()
	for name, data := range map[string][]byte{"tls.crt": certPEM, "tls.key": keyPEM} {
		if err := os.WriteFile(filepath.Join(l.Dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other certificate is served", func() error {
		conn, err := tls.Dial("tcp", l.Address(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		defer conn.Close()
		if !conn.ConnectionState().PeerCertificates[0].Equal(pair.Leaf) {
			return errors.New("not yet")
		}
		return nil
	})
}

// emergencyExit takes the file away, and puts it back.
func (l *staticLab) emergencyExit(t *testing.T) {
	for _, step := range []struct{ from, to, want string }{
		{l.file(), l.file() + ".off", "allowed: "}, {l.file() + ".off", l.file(), deletionStatic},
	} {
		if err := os.Rename(step.from, step.to); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		eventually(t, step.to, func() error {
			if out := l.try("delete", "pvc", "data-db-0", "-n", "shop",
				"--dry-run=server"); !strings.Contains(out, step.want) {
				return errors.New(out)
			}
			return nil
		})
		t.Logf("%s: after %s", filepath.Base(step.to), time.Since(began).Round(time.Millisecond))
	}
}

// brokenFile has the API server read what it cannot.
func (l *staticLab) brokenFile(t *testing.T) {
	good := readFile(t, l.file())
	write := func(text string) { // at once: of a file that is emptied first the API server reads that it is empty
		err := os.WriteFile(l.file()+".new", []byte(text), 0o644)
		if err = errors.Join(err, os.Rename(l.file()+".new", l.file())); err != nil {
			t.Fatal(err)
		}
	}
	write("webhooks: [\n")
	eventually(t, "the failure is counted", func() error {
		if !regexp.MustCompile(`automatic_reloads_total\{[^}]*plugin="ValidatingAdmissionWebhook",status="failure"\} [1-9]`).
			MatchString(l.kubectl("", "get", "--raw", "/metrics")) {
			return errors.New("not yet")
		}
		return nil
	})
	l.refused(deletionStatic)
	if err := l.cluster.Restart(t.Context(), "kube-apiserver"); err == nil ||
		!strings.Contains(err.Error(), "failed to load static webhook manifests") {
		t.Errorf("started with a broken file: %v", err)
	}
	write(good)
	if err := l.cluster.Restart(t.Context(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	l.refused(deletionStatic)
}

// TestStaticGuardsFollowARotatedKey changes the key of a self-signed CA as
// docs/static-guards.md says, without a configuration in the API that would learn
// of it.
func TestStaticGuardsFollowARotatedKey(t *testing.T) {
	t.Parallel()
	cluster, dir := startStatic(t, localcluster.Options{Bare: true})
	s := startBinary(t, cluster, t.TempDir())
	s.kubectl("", "create", "namespace", "shop")
	s.kubectl("", "label", "namespace", "shop", protect+"=true")
	ca := filepath.Join(t.TempDir(), "ca.crt")
	guard := func(args ...string) string {
		t.Helper()
		var data []byte
		eventually(t, "the Secret of the CA", func() error {
			out, err := env.KubectlAs(t.Context(), cluster.Kubeconfig(), "", "get", "secret", "stayput-ca", "-n", "stayput",
				"-o", `jsonpath={.data.ca\.crt}`)
			if err != nil || out == "" {
				return fmt.Errorf("%w: %s", err, out)
			}
			data, err = base64.StdEncoding.DecodeString(out)
			return err
		})
		if err := os.WriteFile(ca, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return s.stayput(append([]string{"webhooks", "--static", dir, "--url", "https://" + s.address, "--namespace",
			"stayput", "--ca-file", ca}, args...)...)
	}
	denied := func(what string) {
		t.Helper()
		eventually(t, what, func() error {
			out, err := env.KubectlAs(t.Context(), cluster.Kubeconfig(), "", "delete", "namespace", "shop", "--dry-run=server")
			if err == nil || !strings.Contains(out, `"protected-static.stayput.dev" denied the request: protected: `) {
				return errors.New(out)
			}
			return nil
		})
	}
	contains(t, guard(), "wrote ")
	denied("guarded")
	rotate := []string{"certs", "rotate-key", "--kubeconfig", cluster.Kubeconfig()}
	contains(t, s.stayput(append(rotate, "--prepare")...), "made a new key", "write static guards again before")
	contains(t, guard(), "wrote ")
	if n := strings.Count(readFile(t, ca), "BEGIN CERTIFICATE"); n != 2 {
		t.Errorf("%d CAs", n)
	}
	denied("guarded with both")
	contains(t, s.stayput(append(rotate, "--keep-old", "1s")...), "begun earlier", "the new key signs")
	eventually(t, "the old key is dropped", func() error {
		status := s.stayput("certs", "status", "--kubeconfig", cluster.Kubeconfig(), "--connect", s.address)
		if strings.Count(status, "  CA ") != 1 || strings.Contains(status, "WRONG") {
			return errors.New(status)
		}
		return nil
	})
	s.restartAPIServer() // which keeps the connections it has
	denied("guarded under the new key")
	contains(t, guard("--drop-old-ca"), "wrote ")
	denied("guarded without the old key")
}
