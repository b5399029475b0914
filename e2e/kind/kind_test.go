//go:build kind

package kind

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestACluster goes through the life of Stayput in one cluster of three nodes:
// the order matters, and the first thing that is wrong ends it.
func TestACluster(t *testing.T) {
	c := newCluster(t, "e2e", 2)
	c.install(env.previous.chart, env.previous.image, 3)
	for _, step := range []struct {
		name string
		f    func(*testing.T, cluster)
	}{
		{"upgraded under load", upgraded},
		{"a name for a Pod, from inside another", names},
		{"data outlives claim and namespace", data},
		{"rolling restarts under load", rollingRestarts},
		{"one replica killed", killed},
		{"a worker stopped", workerStopped},
		{"deleted and installed again", installedAgain},
		{"caBundle blanked", blanked},
		{"the emergency exit, and back", emergencyExit},
		{"a certificate from files, and back", ownCertificate},
		{"a certificate of cert-manager, and back", certManager},
		{"a NetworkPolicy", networkPolicy},
		{"the suite of the local control plane", suite},
		{"the API server's metrics", metrics},
		{"uninstalled", uninstalled},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			mine := *c
			mine.t = t
			step.f(t, mine)
		}) {
			asked := slices.DeleteFunc(strings.Split(c.kubectl("logs", "-n", "kube-system", "-l", "component=kube-apiserver",
				"--tail=-1"), "\n"), func(line string) bool {
				return !strings.Contains(line, "ailed calling webhook")
			})
			t.Fatalf("log of the API server:\n%s\nlogs of Stayput:\n%s", strings.Join(asked[max(0, len(asked)-40):], "\n"),
				c.kubectl("logs", "-n", "stayput", "-l", "app.kubernetes.io/name=stayput", "--tail=40", "--prefix"))
		}
	}
}

func pod(name, ns, labels, more string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {%s}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: pod, image: %q%s}]
---
`, name, ns, labels, env.podImage, more)
}

// names: a bare Pod and those of a Deployment have names that other Pods, on
// other nodes, resolve to their addresses.
func names(t *testing.T, c cluster) {
	c.kubectl("create", "namespace", "names")
	c.apply("names", `apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 3306}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {set: web}}
  template:
    metadata: {labels: {set: web, app: db, stayput.dev/subdomain: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: pod, image: "`+env.podImage+`"}]
---
`+pod("named", "names", "app: db, stayput.dev/subdomain: db", "")+pod("asker", "names", "app: asker", ""))
	c.kubectl("rollout", "status", "deployment/web", "-n", "names", "--timeout=120s")
	c.kubectl("wait", "pod", "--all", "-n", "names", "--for=condition=Ready", "--timeout=120s")
	pods := strings.Fields(c.kubectl("get", "pods", "-n", "names", "-l", "app=db", "-o",
		`jsonpath={range .items[*]}{.metadata.name}={.status.podIP}{"\n"}{end}`))
	if len(pods) != 3 {
		t.Fatalf("%q: want three Pods", pods)
	}
	for _, p := range pods {
		name, ip, _ := strings.Cut(p, "=")
		full := name + ".db.names.svc.cluster.local"
		c.eventually(full+" resolves from another Pod", time.Minute, func() error {
			out, err := c.try("", "exec", "-n", "names", "asker", "--", "/pod", "resolve", full)
			if err != nil {
				return err
			}
			if got := strings.TrimSpace(out); got != ip {
				return fmt.Errorf("%s is %s, want %s", full, got, ip)
			}
			return nil
		})
	}
}

const database = `apiVersion: v1
kind: Service
metadata: {name: mysql}
spec: {clusterIP: None, selector: {app: mysql}, ports: [{port: 3306}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: mysql}
spec:
  serviceName: mysql
  replicas: 1
  selector: {matchLabels: {app: mysql}}
  template:
    metadata: {labels: {app: mysql}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: pod
        image: "IMAGE"
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
`

// data: the bytes are still there when the claim and the namespace are gone,
// and a new claim in a new namespace has them back.
func data(t *testing.T, c cluster) {
	c.kubectl("create", "namespace", "data")
	c.apply("data", strings.ReplaceAll(database, "IMAGE", env.podImage))
	c.kubectl("rollout", "status", "statefulset/mysql", "-n", "data", "--timeout=180s")
	c.kubectl("exec", "-n", "data", "mysql-0", "--", "/pod", "write", "/data/rows", "forty-two")
	volume := c.kubectl("get", "pvc", "data-mysql-0", "-n", "data", "-o", "jsonpath={.spec.volumeName}")
	class := c.kubectl("get", "storageclass", "-o", `jsonpath={.items[0].reclaimPolicy}`)
	if policy := c.kubectl("get", "pv", volume, "-o",
		"jsonpath={.spec.persistentVolumeReclaimPolicy}"); policy != "Retain" || class != "Delete" {
		t.Fatalf("the volume has %s, its class %s: want Retain and Delete", policy, class)
	}
	if _, err := c.try("", "delete", "pvc", "data-mysql-0", "-n", "data", "--wait=false"); err == nil ||
		!strings.Contains(err.Error(), "claim-in-use") {
		t.Fatalf("a claim in use was deleted: %v", err)
	}
	c.kubectl("delete", "statefulset", "mysql", "-n", "data")
	c.kubectl("wait", "pod/mysql-0", "-n", "data", "--for=delete", "--timeout=60s")
	c.kubectl("delete", "pvc", "data-mysql-0", "-n", "data")
	c.kubectl("delete", "namespace", "data", "--timeout=120s")
	c.eventually("the volume is Released", time.Minute, func() error {
		if phase := c.kubectl("get", "pv", volume, "-o", "jsonpath={.status.phase}"); phase != "Released" {
			return fmt.Errorf("it is %s", phase)
		}
		return nil
	})
	// Given back to a new claim of the same name, in a namespace of the same name.
	recover := func(args ...string) string {
		return c.run(env.binary, append([]string{"recover", "--kubeconfig", c.kubeconfig}, args...)...)
	}
	if out := recover(); !strings.Contains(out, volume) {
		t.Fatalf("stayput recover does not list %s:\n%s", volume, out)
	}
	c.kubectl("create", "namespace", "data")
	if out := recover("--statefulset", "data/mysql", "--yes"); !strings.Contains(out,
		"data-mysql-0 is bound to volume "+volume) {
		t.Fatalf("stayput recover:\n%s", out)
	}
	c.apply("data", strings.ReplaceAll(database, "IMAGE", env.podImage))
	c.kubectl("rollout", "status", "statefulset/mysql", "-n", "data", "--timeout=180s")
	if got := c.kubectl("exec", "-n", "data", "mysql-0", "--", "/pod", "read", "/data/rows"); got != "forty-two" {
		t.Fatalf("the volume holds %q", got)
	}
}

// blanked takes the trust from the API server, which Stayput gives it again.
func blanked(t *testing.T, c cluster) {
	for _, kind := range []string{"validatingwebhookconfiguration", "mutatingwebhookconfiguration"} {
		count := len(strings.Fields(c.kubectl("get", kind, "stayput", "-o", "jsonpath={.webhooks[*].name}")))
		var patch []string
		for i := range count {
			patch = append(patch, fmt.Sprintf(`{"op":"remove","path":"/webhooks/%d/clientConfig/caBundle"}`, i))
		}
		c.kubectl("patch", kind, "stayput", "--type=json", "-p", "["+strings.Join(patch, ",")+"]")
		c.eventually("the caBundles of the "+kind+" are there again", 10*time.Second, func() error {
			if n := len(strings.Fields(c.kubectl("get", kind, "stayput", "-o",
				"jsonpath={.webhooks[*].clientConfig.caBundle}"))); n != count {
				return fmt.Errorf("%d of %d", n, count)
			}
			return nil
		})
	}
	c.eventually("Stayput denies again", 10*time.Second, c.denied)
}

// emergencyExit removes the configurations, which stay away, and upgrades them
// back in.
func emergencyExit(t *testing.T, c cluster) {
	c.kubectl("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "stayput")
	c.eventually("Stayput is out of the way", time.Minute, func() error {
		if c.denied() == nil {
			return fmt.Errorf("it still denies")
		}
		return nil
	})
	time.Sleep(10 * time.Second) // in which nobody may make them again
	if out := c.kubectl("get", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "-o",
		"name"); strings.Contains(out, "stayput") {
		t.Errorf("they are back: %s", out)
	}
	ready := c.kubectl("get", "deployment", "stayput", "-n", "stayput", "-o", "jsonpath={.status.readyReplicas}")
	if ready != "3" {
		t.Errorf("%s replicas are ready without the configurations", ready)
	}
	c.upgrade()
	c.eventually("Stayput denies again", time.Minute, c.denied)
}

// installedAgain deletes the Deployment while nothing is answered, and has helm
// make it again: nothing that Stayput guards stops it.
func installedAgain(t *testing.T, c cluster) {
	l := c.startLoad(c.client(), 8) // or replicas drain until idle connections end
	defer l.stop()
	c.kubectl("delete", "deployment", "stayput", "-n", "stayput")
	c.kubectl("wait", "pod", "-n", "stayput", "-l", "app.kubernetes.io/name=stayput", "--for=delete", "--timeout=150s")
	l.stop()
	if err := c.denied(); err == nil {
		t.Error("denied, by whom?")
	}
	start := time.Now()
	c.upgrade()
	c.eventually("Stayput denies again", time.Minute, c.denied)
	t.Logf("back in %.0f s", time.Since(start).Seconds())
}

// metrics: those that alerts and the dashboard query are exported, once a
// webhook has failed, as it has by now.
func metrics(t *testing.T, c cluster) {
	text := c.kubectl("get", "--raw", "/metrics")
	for _, name := range []string{
		"apiserver_admission_webhook_rejection_count", "apiserver_admission_webhook_fail_open_count",
		"apiserver_admission_webhook_request_total", "apiserver_admission_webhook_admission_duration_seconds_bucket",
	} {
		if !regexp.MustCompile(name + `\{[^}]*name="[a-z-]+\.stayput\.dev"`).MatchString(text) {
			t.Errorf("the API server does not export %s about a webhook", name)
		}
	}
}

// uninstalled: the webhooks go first, nothing is stuck, and what was set stays.
func uninstalled(t *testing.T, c cluster) {
	c.helm("uninstall", "stayput", "--wait", "--timeout", "4m")
	if out := c.kubectl("get",
		"validatingwebhookconfiguration,mutatingwebhookconfiguration,clusterrole,clusterrolebinding", "-o",
		"name"); strings.Contains(out, "stayput") {
		t.Errorf("left behind:\n%s", out)
	}
	// Replicas of earlier steps may still drain.
	c.kubectl("wait", "pod", "-n", "stayput", "-l", "app.kubernetes.io/name=stayput", "--for=delete", "--timeout=180s")
	// What docs/install.md says is left.
	left := strings.Fields(c.kubectl("get",
		"all,configmaps,secrets,leases,roles,rolebindings,serviceaccounts,networkpolicies,poddisruptionbudgets", "-n",
		"stayput", "-o", "name"))
	want := []string{"configmap/kube-root-ca.crt", "configmap/stayput", "secret/own-certificate", "secret/stayput-ca",
		"lease.coordination.k8s.io/stayput", "serviceaccount/default"}
	slices.Sort(left)
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left in the namespace: %q, want %q", left, want)
	}
	volume := c.kubectl("get", "pvc", "data-mysql-0", "-n", "data", "-o", "jsonpath={.spec.volumeName}")
	if policy := c.kubectl("get", "pv", volume, "-o",
		"jsonpath={.spec.persistentVolumeReclaimPolicy}"); policy != "Retain" {
		t.Errorf("the volume has %s now", policy)
	}
	c.kubectl("delete", "namespace", "stayput", "--timeout=150s")
}
