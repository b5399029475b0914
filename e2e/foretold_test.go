package e2e

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A sentence of a message foretells what the cluster will do. Each has a row with
// its proof: a function that does it, or another test. If this control plane, whose
// Pods only pretend to run, cannot show it, the row gives the reason and the source
// code that proves it: of k8s.io/kubernetes v1.37.1 where no module is named.
type sentence struct {
	rule   string // several by spaces
	says   string // a regular expression for the message
	shown  func(t *testing.T, ns string)
	by     string
	beyond string
}

const attach = "the attach-detach controller lets no second node attach: " +
	"pkg/controller/volume/attachdetach/reconciler/reconciler.go:353"

var sentences = []sentence{
	{rule: "claim-class claim-volume", says: `Pending`, shown: claimsStayPending},
	{
		rule: "claim-class claim-data-source volume-claim-name", says: `Pods stay Pending|kept for nobody`,
		shown: namesAreLeftBehind,
	},
	{
		rule: "claim-attributes-class claim-volume", says: `Pending|stays as it is|never be bound|bound all the same`,
		shown: attributesStayPending,
	},
	{rule: "claim-template-class claim-template-pinned storageclass-default storageclass-in-use",
		says: `(?:must|none|gets).*Pending`, shown: templatesStayPending},
	{rule: "claim-template-pinned", says: `cannot be honoured`,
		beyond: "a driver's provisioner refuses a selector, the one of host paths does not look at it: " +
			"kubernetes-csi/external-provisioner pkg/controller/controller.go:654"},
	{rule: "claim-in-use", says: `start empty|start ordinal .* empty|wait for ever`, shown: claimsAreMissed},
	{rule: "claim-in-use", says: `disk would be destroyed|disk is destroyed|controlled by`,
		by: "TestOrphansAreNotHeldBack"},
	{rule: "claim-in-use volume-reclaim", says: `goes with it`, by: "TestAVolumeThatIsBeingDeletedGoesWithItsClaim"},
	{rule: "finalizer-removed", says: `goes at once`, by: "TestWhatIsBeingDeletedIsNotHeldBack"},
	{rule: "finalizer-removed", says: `does not destroy the disk`,
		beyond: "a provisioner that finds no volume has nothing to destroy: kubernetes-sigs/" +
			"sig-storage-lib-external-provisioner controller/controller.go, shouldDelete"},
	{rule: "protected", says: `none of its Pods stays`, by: "TestWhatIsProtectedIsNotDeleted"},
	{rule: "volume-same-disk", says: `never starts`,
		beyond: "kubelet waits for each volume, and knows those of CSI by driver and handle: pkg/kubelet/volumemanager/" +
			"cache/desired_state_of_world.go, kubernetes/kubernetes#132921"},
	{rule: "volume-same-disk", says: `go the data of both`,
		beyond: "a provisioner deletes what the handle names: kubernetes-csi/external-provisioner " +
			"pkg/controller/controller.go, DeleteVolumeRequest"},
	{rule: "volume-stale-claim", says: `disk destroyed|never bound`, by: "TestVolumesAreRestoredWithTheirData"},
	{rule: "claim-oversized-volume", says: `takes all of it`, by: "TestOversizedVolumesAreForetold"},
	{rule: "claim-unbindable", says: `must fit a volume`, by: "TestOversizedVolumesAreForetold"},
	{rule: "claim-unbindable", says: `must have a volume|cannot be honoured`, shown: templatesStayPending},
	{rule: "claim-reclaim claim-template-reclaim volume-in-use volume-reclaim storageclass-reclaim",
		says: `destroys|destroyed|goes too|would go with|goes with its claim`, shown: disksGoWithTheirClaims},
	{rule: "volume-reclaim", says: `every file on the volume would be deleted`,
		beyond: "a recycler's Pod deletes all it finds: pkg/volume/plugins.go:1007"},
	{rule: "claim-template-access-mode", says: `leaves it empty`,
		beyond: "kubelet asks the driver for MULTI_NODE_READER_ONLY: pkg/volume/csi/csi_client.go:523"},
	{rule: "claim-template-binding", says: `pins it to a zone`,
		beyond: "a driver chooses the zone, and the scheduler keeps to the volume's: " +
			"pkg/scheduler/framework/plugins/volumebinding/binder.go:648"},
	{rule: "claim-template-duplicate claim-template-shadows-volume", says: `dropped silently|replace`,
		shown: templatesReplace},
	{rule: "claim-template-expandable", says: `never grow`, by: "TestHints"},
	{rule: "deployment-hostname pod-hostname-conflict", says: `share the|resolves to Pod`, shown: podNames},
	{rule: "deployment-rolling-claim", says: `waits`, shown: onePodPerClaim},
	{rule: "deployment-shared-claim statefulset-shared-claim", says: `only one of them ever starts`,
		shown: onePodPerClaim},
	{rule: "deployment-shared-claim statefulset-shared-claim deployment-rolling-claim",
		says: `wait for ever|Pods on another node wait`, beyond: attach},
	{rule: "deployment-subdomain pod-subdomain pod-identity-skipped", says: `no DNS name|by hand|names no Pods`,
		shown: podNames},
	{rule: "field-fixed", says: `cannot (be|grow|shrink|lose)`, by: "TestHints"},
	{rule: "definition-data", says: `(are|is) destroyed`, by: "TestWhatADefinitionTakesWithIt"},
	{rule: "namespace-data", says: `(are|is) destroyed`, by: "TestANamespaceWithDataGoesWhenItMay"},
	{rule: "namespace-data", says: `leaves no trace`, by: "TestAVolumeThatIsBeingDeletedGoesWithItsClaim"},
	{rule: "service-governing statefulset-service-headless statefulset-service-missing statefulset-service-selector " +
		"statefulset-service-name", says: `DNS names?|virtual IP|by hand|gives no Pod a name`, shown: memberNames},
	{rule: "statefulset-service-not-ready-addresses", says: `meet only when ready`, shown: memberNames},
	{rule: "statefulset-identity", says: `is ignored|does not know`, shown: memberNames},
	{rule: "statefulset-delete statefulset-scale-down statefulset-ordinals statefulset-retention",
		says: `stay|DELETED|may be deleted|deleted|destroy`, by: "TestClaimsFateIsForetold"},
	{rule: "pod-adopted", says: `is never made|in place of|at once|or another`, shown: barePodsAreAdopted},
	{rule: "statefulset-scale-up", says: `cannot start empty`, by: "TestClaimsFateIsForetold"},
	{rule: "statefulset-delete statefulset-scale-down", says: `DELETED`, shown: remediesSave},
	{rule: "statefulset-disruption-budget", says: `cannot be drained|can be evicted`, shown: budgetsBlock},
	{rule: "statefulset-grace-period", says: `before it has saved|may start while`,
		beyond: "kubelet kills when the period ends, and a period of 0 is a deletion at once: " +
			"pkg/kubelet/kuberuntime/kuberuntime_container.go:915, pkg/registry/core/pod/strategy.go:180"},
	{rule: "statefulset-max-unavailable", says: `takes down all`, shown: updatesTakeAllDown},
	{rule: "statefulset-recreate", says: `stops? (all Pods )?at once`, by: "TestRecreateStopsAllPods"},
	{rule: "deployment-grace-period", says: `while it writes`,
		beyond: "a period of 0 is a deletion at once: pkg/registry/core/pod/strategy.go:180"},
	{rule: "statefulset-name-length", says: `no Pod is created|never created`, shown: longNamesHaveNoPods},
	{rule: "statefulset-no-storage", says: `comes back|dies with`,
		beyond: "kubelet removes the directory with the Pod: pkg/volume/emptydir/empty_dir.go:569"},
	{rule: "statefulset-on-delete statefulset-partition", says: `until somebody|ever updated|holds`, shown: updatesWait},
	{rule: "statefulset-parallel statefulset-service-headless statefulset-service-name workload-selector-overlap " +
		"storageclass-reclaim", says: `cannot be (changed|added) later`, shown: fieldsStay},
	{rule: "volume-host-path workload-host-path", says: `behind`,
		beyond: "the directory is that of the node the Pod runs on: pkg/volume/hostpath/host_path.go:218"},
	{rule: "fixed-labels", says: `is refused`, shown: releasesAreRefused},
	{rule: "fixed-labels", says: `prunes the claims`,
		beyond: "what has the label and no owner, and is in no manifest, is to be pruned: argoproj/argo-cd " +
			"gitops-engine/pkg/cache/cluster.go, controller/state.go"},
	{rule: "workload-data-path", says: `goes with the container`,
		beyond: "each start makes a container anew: pkg/kubelet/kuberuntime/kuberuntime_container.go:277; what an image " +
			"declares gets a directory of its own: containerd/containerd internal/cri/server/container_create.go"},
	{rule: "workload-data-path", says: `goes with the Pod`,
		beyond: "kubelet removes the directory with the Pod: pkg/volume/emptydir/empty_dir.go:569"},
	{rule: "workload-env-order", says: `gets (this very|the) text`,
		beyond: "kubelet expands each value by what it has read above: pkg/kubelet/kubelet_pods.go:792"},
	{rule: "workload-env-order", says: `cannot be made`,
		beyond: "a name without a value is an error: pkg/kubelet/container/helpers.go:263"},
	{rule: "workload-pre-stop", says: `SIGKILL follows`,
		beyond: "kubelet takes what the hook took from the period, and leaves 2 seconds: " +
			"pkg/kubelet/kuberuntime/kuberuntime_container.go:897"},
	{rule: "claim-template-volume-mode", says: `no Pod ever starts`,
		beyond: "kubelet takes no volume of the other mode: " +
			"pkg/kubelet/volumemanager/populator/desired_state_of_world_populator.go:522"},
	{rule: "workload-host-network-dns", says: `does not know`,
		beyond: "kubelet gives such a Pod the node's resolv.conf: pkg/kubelet/network/dns/dns.go:318"},
	{rule: "workload-node-name", says: `stays Pending`, shown: claimsWaitForTheScheduler},
	{rule: "workload-placement", says: `stays Pending`, shown: podsHaveNoNode},
	{rule: "workload-fqdn-length", says: `never starts`,
		beyond: "kubelet makes no sandbox for a longer name: pkg/kubelet/util/util.go:44"},
}

// foretells matches the words of a message about the future.
var foretells = regexp.MustCompile(`(?i)\bstays?\b|\bdeleted\b|destroy|pending|\bnever\b|\bever\b|no DNS name|by ` +
	`hand name|start empty|` +
	`empty when|\bwaits?\b|cannot be (changed|added|drained)|goes too|goes? (when|with)|is ignored|dropped|would ` +
	`replace|stays behind|resolves to|share the DNS|until somebody`)

// TestForetold does what messages foretell, on real controllers.
func TestForetold(t *testing.T) {
	t.Parallel()
	done := map[string]bool{}
	for _, s := range sentences {
		if s.shown == nil {
			continue
		}
		name := strings.Fields(s.rule)[0]
		if p := fmt.Sprintf("%p", s.shown); done[p] {
			continue
		} else {
			done[p] = true
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.shown(t, shortNamespace(t))
		})
	}
}

// TestEveryForetellingIsShown lists the messages that foretell something, and
// fails where one is in no row above.
func TestEveryForetellingIsShown(t *testing.T) {
	t.Parallel()
	tests := testsHere(t)
	used := make([]bool, len(sentences))
	rule, all := "", 0
	for line := range strings.Lines(readFile(t, "..", "cmd", "stayput", "messages.txt")) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || strings.HasPrefix(line, "    fix: "):
			continue
		case !strings.HasPrefix(line, "  "):
			rule, _, _ = strings.Cut(line, " ")
			continue
		}
		shown := false
		for i, s := range sentences {
			if slices.Contains(strings.Fields(s.rule), rule) && regexp.MustCompile(s.says).MatchString(line) {
				shown, used[i] = true, true
			}
		}
		if foretells.MatchString(line) {
			all++
			if !shown {
				t.Errorf("nothing shows that this comes true: %s:%s", rule, line)
			}
		}
	}
	for i, s := range sentences {
		if s.beyond != "" && !regexp.MustCompile(`\.go\b`).MatchString(s.beyond) {
			t.Errorf("by which source is what %s says true: %s", s.rule, s.beyond)
		}
		if !used[i] {
			t.Errorf("no message of %s says %q any more", s.rule, s.says)
		}
		if s.by != "" && !tests[s.by] {
			t.Errorf("there is no %s, which is to show what %s says", s.by, s.rule)
		}
	}
	if all < 100 {
		t.Errorf("only %d messages foretell anything", all)
	}
	t.Logf("%d messages foretell something", all)
}

// shortNamespace has a name that leaves messages whole, and mode warn.
func shortNamespace(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("f%d", time.Now().UnixNano()%1_000_000)
	makeNamespace(t, name, "stayput.dev/mode=warn")
	return name
}

// testsHere returns the names of this package's tests.
func testsHere(t *testing.T) map[string]bool {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// unknown fails unless CoreDNS says that there is no such name.
func unknown(t *testing.T, name string) {
	t.Helper()
	eventually(t, name+" does not resolve", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		found, err := env.resolve(ctx, name+".")
		var no *net.DNSError
		if errors.As(err, &no) && no.IsNotFound {
			return nil
		}
		return fmt.Errorf("%q, %w", found, err)
	})
}

// addresses waits until a name has so many addresses.
func addresses(t *testing.T, name string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %d addresses", name, n), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		found, err := env.resolve(ctx, name+".")
		if err == nil && len(found) != n {
			err = fmt.Errorf("%q", found)
		}
		return err
	})
}

// phases waits until objects of a kind are, by name, in these phases.
func phases(t *testing.T, ns, kind string, want map[string]string) {
	t.Helper()
	for name, phase := range want {
		output(t, phase, "get", kind, name, "-n", ns, "-o", "jsonpath={.status.phase}")
	}
}

// forget deletes volumes of a test when it ends.
func forget(t *testing.T, names ...string) {
	t.Cleanup(func() {
		for _, n := range names {
			_, _ = env.Kubectl(context.Background(), "", "annotate", "pv", n, "exempt.stayput.dev/volume-in-use=a test ends")
			_, _ = env.Kubectl(context.Background(), "", "delete", "pv", n, "--wait=false", "--ignore-not-found")
		}
	})
}

func volumeNamed(name, class, more string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec: {storageClassName: %q, csi: {driver: example.com, volumeHandle: %[1]s}, %[3]s}
---
`, name, class, more)
}

func pvcNamed(name, more string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s}
spec: {%s}
---
`, name, more)
}

// memberSet is a StatefulSet whose Pods all start at once.
func memberSet(name string, replicas int, spec, pod, claim string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: StatefulSet
metadata: {name: %s}
spec:
  replicas: %d
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: %[1]s}}
%[3]s
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: db, image: db}]%[4]s}
%[5]s---
`, name, replicas, spec, pod, claim)
}

func template(spec string) string {
	return fmt.Sprintf("  volumeClaimTemplates: [{metadata: {name: data}, spec: {%s}}]\n", spec)
}

const (
	once    = "accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}"
	oneGibi = "capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce]"
)

// claimsStayPending makes claims that fit nothing before one that does.
func claimsStayPending(t *testing.T, ns string) {
	v := func(name string) string { return ns + "-" + name }
	forget(t, v("fits"), v("small"), v("class"), v("mode"), v("modes"), v("released"), v("late"))
	apply(t, ns, volumeNamed(v("fits"), ns, oneGibi)+volumeNamed(v("small"), ns, oneGibi)+volumeNamed(v("class"),
		"other-"+ns, oneGibi)+
		volumeNamed(v("mode"), ns, oneGibi+", volumeMode: Block")+volumeNamed(v("modes"), ns, oneGibi)+
		volumeNamed(v("released"), ns, oneGibi+", claimRef: {namespace: "+ns+", name: gone, uid: "+
			"11111111-2222-3333-4444-555555555555}"))
	named := func(volume string) string {
		return fmt.Sprintf("storageClassName: %s, volumeName: %s, ", ns, v(volume))
	}
	apply(t, ns, pvcNamed("fits", named("fits")+once))
	phases(t, ns, "pvc", map[string]string{"fits": "Bound"})
	output(t, "Released", "get", "pv", v("released"), "-o", "jsonpath={.status.phase}")
	out := apply(t, ns, pvcNamed("small", named("small")+strings.Replace(once, "1Gi", "2Gi", 1))+pvcNamed("class",
		named("class")+once)+
		pvcNamed("mode", named("mode")+once)+pvcNamed("modes", named("modes")+strings.Replace(once, "[ReadWriteOnce]",
		"[ReadWriteOnce, ReadOnlyMany]", 1))+
		pvcNamed("taken", named("fits")+once)+pvcNamed("released", named("released")+once)+
		pvcNamed("late", named("late")+once)+pvcNamed("misspelt", "storageClassName: no-"+ns+", "+once)+pvcNamed("unnamed",
		once))
	if n := strings.Count(out, "claim and Pods "); n != 8 {
		t.Errorf("%d warnings that claims stay Pending, want 8:\n%s", n, out)
	}
	contains(t, out, "the claim stays Pending until it does")
	apply(t, ns, `apiVersion: v1
kind: Pod
metadata: {name: misspelt}
spec: {containers: [{name: db, image: db}], volumes: [{name: data, persistentVolumeClaim: {claimName: misspelt}}]}
---
`+volumeNamed(v("late"), ns, oneGibi))
	phases(t, ns, "pvc", map[string]string{"late": "Bound"}) // and with it the controller has been round
	waiting := map[string]string{}
	for _, name := range []string{"small", "class", "mode", "modes", "taken", "released", "misspelt", "unnamed"} {
		waiting[name] = "Pending"
	}
	phases(t, ns, "pvc", waiting)
	phases(t, ns, "pod", map[string]string{"misspelt": "Pending"})
}

// claimsWaitForTheScheduler makes two claims of a class that waits, one of a Pod that
// selects its node, one of a Pod that names it: the volumes would fit either.
func claimsWaitForTheScheduler(t *testing.T, ns string) {
	forget(t, ns+"-selected", ns+"-named")
	t.Cleanup(func() { _, _ = env.Kubectl(context.Background(), "", "delete", "sc", ns, "--ignore-not-found") })
	node := kubectl(t, "get", "node", "-o", "jsonpath={.items[0].metadata.labels['kubernetes\\.io/hostname']}")
	apply(t, ns, `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: `+ns+`}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
`+volumeNamed(ns+"-selected", ns, oneGibi)+volumeNamed(ns+"-named", ns, oneGibi)+
		pvcNamed("selected", "storageClassName: "+ns+", "+once)+pvcNamed("named", "storageClassName: "+ns+", "+once))
	pod := func(name, where string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec: {%s, containers: [{name: db, image: db}], volumes: [{name: data, persistentVolumeClaim: {claimName: %[1]s}}]}
---
`, name, where)
	}
	out := apply(t, ns, pod("named", "nodeName: "+node))
	contains(t, out, "must be left to the scheduler, for which class "+ns+" waits; without it claim named stays Pending")
	if out := apply(t, ns, pod("selected", "nodeSelector: {kubernetes.io/hostname: "+node+"}")); strings.Contains(out,
		"must be left to the scheduler") {
		t.Errorf("of a Pod that the scheduler places: %s", out)
	}
	phases(t, ns, "pvc", map[string]string{"selected": "Bound"}) // and with it all have been round
	phases(t, ns, "pvc", map[string]string{"named": "Pending"})
}

// templatesStayPending makes StatefulSets whose claims cannot be had before one
// whose can.
func templatesStayPending(t *testing.T, ns string) {
	forget(t, ns+"-one", ns+"-two")
	apply(t, ns, volumeNamed(ns+"-one", ns, oneGibi)+volumeNamed(ns+"-two", "hand-"+ns, oneGibi))
	out := apply(t, ns, memberSet("misspelt", 1, "  serviceName: db", "", template("storageClassName: no-"+ns+", "+once))+
		memberSet("unnamed", 1, "  serviceName: db", "", template(once))+
		memberSet("unmade", 1, "  serviceName: db", "",
			template(`storageClassName: "", `+strings.Replace(once, "1Gi", "999Ti", 1)))+
		memberSet("few", 2, "  serviceName: db", "", template("storageClassName: hand-"+ns+", "+once))+
		memberSet("pinned", 3, "  serviceName: db", "", template("storageClassName: "+ns+", volumeName: "+ns+"-one, "+once)))
	contains(t, out, "must exist; the Pods stay Pending", "must be set without a default class; Pods stay Pending",
		" a volume made by hand", "1 of 2 claims find one that fits; Pods stay Pending",
		"one gets the volume, the others are Pending for ever")
	apply(t, ns, memberSet("good", 1, "  serviceName: db", "", template("storageClassName: disk, "+once)))
	phases(t, ns, "pod", map[string]string{"good-0": "Running", "misspelt-0": "Pending", "unnamed-0": "Pending",
		"unmade-0": "Pending", "few-0": "Running", "few-1": "Pending"})
	eventually(t, "one claim of three gets the volume", func() error {
		claims := kubectl(t, "get", "pvc", "-n", ns, "-l", "app=pinned", "-o", "jsonpath={.items[*].status.phase}")
		pods := kubectl(t, "get", "pod", "-n", ns, "-l", "app=pinned", "-o", "jsonpath={.items[*].status.phase}")
		if strings.Count(claims, "Bound") != 1 || strings.Count(claims, "Pending") != 2 ||
			strings.Count(pods, "Pending") != 2 || strings.Count(pods, "Running") != 1 {
			return fmt.Errorf("claims %s, Pods %s", claims, pods)
		}
		return nil
	})
}

// claimsAreMissed deletes claims under their Pods.
func claimsAreMissed(t *testing.T, ns string) {
	volumes := database(t, ns, 2)
	letGo(t, volumes)
	kubectl(t, "annotate", "pv", volumes[0], "stayput.dev/reclaim-policy-")
	kubectl(t, "patch", "pv", volumes[0], "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	out := kubectl(t, "delete", "pvc", "data-mysql-0", "data-mysql-1", "-n", ns, "--wait=false")
	contains(t, out, "the Pod would start empty at its next restart; the data is destroyed",
		"start empty at its next restart; volume "+volumes[1]+" keeps the data")
	phases(t, ns, "pod", map[string]string{"mysql-0": "Running", "mysql-1": "Running"})
	replacePods(t, ns, "mysql-0", "mysql-1")
	output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
	now := strings.Fields(kubectl(t, "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeName}"))
	letGo(t, now)
	for _, pv := range now {
		if slices.Contains(volumes, pv) {
			t.Errorf("a Pod has volume %s again", pv)
		}
	}
	gone(t, "pv", volumes[0])
	output(t, "Released", "get", "pv", volumes[1], "-o", "jsonpath={.status.phase}")

	kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=1")
	gone(t, "pod", "mysql-1", "-n", ns)
	uid := kubectl(t, "get", "pvc", "data-mysql-1", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	contains(t, kubectl(t, "delete", "pvc", "data-mysql-1", "-n", ns),
		"StatefulSet mysql would start ordinal 1 empty when it is scaled up again")
	kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=2")
	output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
	if kubectl(t, "get", "pvc", "data-mysql-1", "-n", ns, "-o", "jsonpath={.metadata.uid}") == uid {
		t.Error("ordinal 1 has its old claim")
	}

	pod := `apiVersion: v1
kind: Pod
metadata: {name: backup}
spec: {containers: [{name: db, image: db}], volumes: [{name: data, persistentVolumeClaim: {claimName: disk}}]}
---
`
	apply(t, ns, pvcNamed("disk", "storageClassName: disk, "+once)+pod)
	phases(t, ns, "pod", map[string]string{"backup": "Running"})
	disk := strings.TrimSpace(kubectl(t, "get", "pvc", "disk", "-n", ns, "-o", "jsonpath={.spec.volumeName}"))
	letGo(t, []string{disk})
	kubectl(t, "patch", "pv", disk, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	eventually(t, "the Pod is seen", func() error {
		if out := kubectl(t, "delete", "pvc", "disk", "-n", ns, "--dry-run=server"); !strings.Contains(out,
			"they run on until they restart, then wait for ever") {
			return errors.New(out)
		}
		return nil
	})
	kubectl(t, "delete", "pvc", "disk", "-n", ns, "--wait=false")
	phases(t, ns, "pod", map[string]string{"backup": "Running"})
	kubectl(t, "delete", "pod", "backup", "-n", ns)
	gone(t, "pvc", "disk", "-n", ns)
	apply(t, ns, pod+strings.ReplaceAll(strings.Replace(pod, "name: backup", "name: control", 1),
		"persistentVolumeClaim: {claimName: disk}", "emptyDir: {}"))
	phases(t, ns, "pod", map[string]string{"control": "Running", "backup": "Pending"})
}

// disksGoWithTheirClaims deletes claims and looks for the directories.
func disksGoWithTheirClaims(t *testing.T, ns string) {
	out := apply(t, ns, pvcNamed("plain", "storageClassName: disk, "+once)+pvcNamed("undone",
		"storageClassName: disk, "+once)+pvcNamed("changed", "storageClassName: disk, "+once))
	contains(t, out, "this class destroys a disk with its claim")
	volume := map[string]string{}
	for _, c := range []string{"plain", "undone", "changed"} {
		phases(t, ns, "pvc", map[string]string{c: "Bound"})
		volume[c] = strings.TrimSpace(kubectl(t, "get", "pvc", c, "-n", ns, "-o", "jsonpath={.spec.volumeName}"))
	}
	letGo(t, []string{volume["undone"], volume["changed"]})
	kubectl(t, "delete", "pvc", "plain", "-n", ns)
	gone(t, "pv", volume["plain"])

	retain, destroy := `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`,
		`{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`
	kubectl(t, "patch", "pv", volume["undone"], "-p", retain)
	contains(t, kubectl(t, "delete", "pv", volume["undone"], "--wait=false"), "it goes too, even if it is to be retained")
	output(t, "Bound", "get", "pvc", "undone", "-n", ns, "-o", "jsonpath={.status.phase}")
	kubectl(t, "delete", "pvc", "undone", "-n", ns)
	gone(t, "pv", volume["undone"])

	kubectl(t, "patch", "pv", volume["changed"], "-p", retain)
	contains(t, kubectl(t, "patch", "pv", volume["changed"], "-p", destroy), "the data would go with the claim")
	kubectl(t, "delete", "pvc", "changed", "-n", ns)
	gone(t, "pv", volume["changed"])
}

// templatesReplace has two templates of one name, and a volume of a template's.
func templatesReplace(t *testing.T, ns string) {
	out := apply(t, ns, memberSet("twice", 1, "  serviceName: db", "", fmt.Sprintf(`  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {storageClassName: disk, %s}}
  - {metadata: {name: data}, spec: {storageClassName: disk, %s}}
`, once, strings.Replace(once, "1Gi", "2Gi", 1)))+memberSet("shadowed", 1, "  serviceName: db",
		", volumes: [{name: data, configMap: {name: kube-root-ca.crt}}]", template("storageClassName: disk, "+once)))
	contains(t, out, "which would be dropped silently", "claim-template-shadows-volume: ")
	phases(t, ns, "pod", map[string]string{"twice-0": "Running", "shadowed-0": "Running"})
	letGo(t, strings.Fields(kubectl(t, "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeName}")))
	output(t, "2Gi", "get", "pvc", "data-twice-0", "-n", ns, "-o", "jsonpath={.spec.resources.requests.storage}")
	output(t, "data-shadowed-0", "get", "pod", "shadowed-0", "-n", ns, "-o",
		"jsonpath={.spec.volumes[?(@.name=='data')].persistentVolumeClaim.claimName}")
	output(t, "", "get", "pod", "shadowed-0", "-n", ns, "-o", "jsonpath={.spec.volumes[?(@.name=='data')].configMap}")
}

// podNames asks for the names of Pods that have none before it asks for one that
// has.
func podNames(t *testing.T, ns string) {
	pod := func(name, labels, spec string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {%s}}\nspec: {containers: [{name: db, "+
			"image: db}]%s}\n---\n", name, labels, spec)
	}
	apply(t, ns, `apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, selector: {app: a}}
---
apiVersion: v1
kind: Service
metadata: {name: by-hand}
spec: {clusterIP: None}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: db.example.com}
`)
	out := apply(t, ns, pod("no-host", "app: a", ", subdomain: peers")+pod("missing", "app: m",
		", hostname: missing, subdomain: nowhere")+
		pod("stray", "app: z", ", hostname: stray, subdomain: peers")+pod("manual", "app: h",
		", hostname: manual, subdomain: by-hand")+
		pod("aliased", "app: e", ", hostname: aliased, subdomain: alias")+
		pod("node-named", "app: a, stayput.dev/subdomain: peers", ", hostNetwork: true")+
		pod("db.old", "app: a, stayput.dev/subdomain: peers", "")+
		pod("elsewhere", "app: a, stayput.dev/subdomain: peers", ", hostname: elsewhere, subdomain: others"))
	contains(t, out, "without it the Pod has no DNS name of its own", "the Pod has no DNS name until there is one",
		"this one selects app=a, so the Pod has no DNS name",
		"so only EndpointSlices made by hand name the Pod", "this one is an alias of db.example.com and names no Pods",
		"no DNS name under Service peers")
	out = apply(t, ns, pod("twin-a", "app: a", ", hostname: twin, subdomain: peers"))
	eventually(t, "a second Pod of a name is warned of", func() error {
		var err error
		if out, err = try(t, pod("twin-b", "app: a", ", hostname: twin, subdomain: peers"), "apply", "-n", ns,
			"--dry-run=server", "-f", "-"); !strings.Contains(out, "twin.peers resolves to Pod twin-a as well") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	apply(t, ns, pod("twin-b", "app: a", ", hostname: twin, subdomain: peers")+pod("good", "app: a",
		", hostname: good, subdomain: peers"))
	at := func(host, service string) string { return host + "." + service + "." + ns + ".svc.cluster.local" }
	resolve(t, at("good", "peers"))
	addresses(t, at("twin", "peers"), 2)
	for _, name := range []string{at("no-host", "peers"), at("missing", "nowhere"), at("stray", "peers"),
		at("manual", "by-hand"), at("aliased", "alias"),
		at("node-named", "peers"), at("db.old", "peers"), at("elsewhere", "peers")} {
		unknown(t, name)
	}
	// What is said to mend it does.
	kubectl(t, "patch", "service", "alias", "-n", ns, "-p",
		`{"spec":{"type":"ClusterIP","clusterIP":"None","externalName":null,"selector":{"app":"e"}}}`)
	apply(t, ns, fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: nowhere}
spec: {clusterIP: None, selector: {app: m}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: by-hand, labels: {kubernetes.io/service-name: by-hand}}
addressType: IPv4
endpoints: [{hostname: manual, addresses: [%s]}]
`, podIP(t, ns, "manual")))
	for _, name := range []string{at("aliased", "alias"), at("missing", "nowhere"), at("manual", "by-hand")} {
		resolve(t, name)
	}

	deployment := `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: a, tier: web}}
  template:
    metadata: {labels: {app: a, tier: web}}
    spec: {hostname: web, subdomain: peers, containers: [{name: web, image: web}]}
`
	contains(t, apply(t, ns, deployment), "its 2 replicas share the DNS name web.peers")
	addresses(t, at("web", "peers"), 2)
}

// memberNames does so for StatefulSets and their Services, as they change.
func memberNames(t *testing.T, ns string) {
	service := func(name, spec string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {%s}\n---\n", name, spec)
	}
	at := func(host, service string) string { return host + "." + service + "." + ns + ".svc.cluster.local" }
	apply(t, ns, service("good", "clusterIP: None, selector: {app: good}")+service("balanced",
		"selector: {app: balanced}, ports: [{port: 80}]")+
		service("alias", "type: ExternalName, externalName: db.example.com")+service("stray",
		"clusterIP: None, selector: {app: other}")+
		service("by-hand", "clusterIP: None")+service("meet", "clusterIP: None, selector: {app: meet}"))
	set := func(name, spec, pod string) string { return memberSet(name, 2, "  "+spec, pod, "") }
	override, overridden := "", ""
	if env.minor >= 34 { // older ones do not know the field
		override = ", hostnameOverride: db.example.com"
	}
	out := apply(t, ns, set("missing", "serviceName: nowhere", "")+set("none", "revisionHistoryLimit: 3",
		"")+set("balanced", "serviceName: balanced", "")+
		set("alias", "serviceName: alias", "")+set("stray", "serviceName: stray", "")+set("by-hand", "serviceName: by-hand",
		"")+
		strings.Replace(set("meet", "serviceName: meet", ""), "image: db",
			"image: db, readinessProbe: {tcpSocket: {port: 5432}}", 1)+
		set("good", "serviceName: good", ", hostname: primary, subdomain: members"+override))
	contains(t, out, "must exist, or no Pod has a DNS name", "no Pod gets a DNS name, and it cannot be added later",
		"this one is an alias of db.example.com and gives no Pod a name",
		"this one wants app=other, so they get no DNS names", "only EndpointSlices made by hand name them",
		"Pods in Parallel meet only when ready",
		"cannot be set, and is ignored: each Pod has its own name, as good-0",
		`is ignored: the Pods have serviceName, "good", as subdomain`)
	if env.minor >= 35 {
		contains(t, out, "by this one name, which DNS does not know")
		overridden = "db.example.com"
	}
	if strings.Contains(out, "one virtual IP") {
		ip := strings.TrimSpace(kubectl(t, "get", "service", "balanced", "-n", ns, "-o", "jsonpath={.spec.clusterIP}"))
		if got := resolve(t, "balanced."+ns+".svc.cluster.local"); got != ip {
			t.Errorf("balanced resolves to %s, not to its virtual IP, %s", got, ip)
		}
	} else {
		t.Errorf("no word of the virtual IP:\n%s", out)
	}
	resolve(t, at("good-0", "good"))
	resolve(t, at("good-1", "good"))
	resolve(t, at("meet-0", "meet"))
	output(t, "2", "get", "statefulset", "meet", "-n", ns, "-o", allReady)
	kubectl(t, "patch", "pod", "meet-0", "-n", ns, "--subresource=status", "-p",
		`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`)
	for _, name := range []string{at("missing-0", "nowhere"), at("alias-0", "alias"), at("stray-0", "stray"),
		at("by-hand-0", "by-hand"), at("meet-0", "meet"),
		at("primary", "good"), at("good-0", "members")} {
		unknown(t, name)
	}
	output(t, strings.TrimSpace("good-0 good "+overridden), "get", "pod", "good-0", "-n", ns, "-o",
		"jsonpath={.spec.hostname} {.spec.subdomain} {.spec.hostnameOverride}")
	if out, err := try(t, "", "patch", "statefulset", "none", "-n", ns, "-p",
		`{"spec":{"serviceName":"good"}}`); err == nil {
		t.Errorf("a serviceName was added later:\n%s", out)
	}
	kubectl(t, "patch", "service", "meet", "-n", ns, "-p", `{"spec":{"publishNotReadyAddresses":true}}`)
	resolve(t, at("meet-0", "meet"))

	// A Service without a selector has two families of addresses here; the remedy lets
	// it select all the same.
	out = stayput(t, "audit", "--kubeconfig", env.Cluster.Kubeconfig(), "-n", ns).stdout
	remedy := regexp.MustCompile(`kubectl patch service by-hand -n \S+ -p '([^']*)'`).FindStringSubmatch(out)
	if remedy == nil {
		t.Fatalf("no remedy for by-hand:\n%s", out)
	}
	if out, err := try(t, "", "set", "selector", "service", "by-hand", "app=by-hand", "-n", ns); err == nil {
		t.Errorf("the selector alone is no longer refused, and the remedy may be shorter:\n%s", out)
	}
	kubectl(t, "patch", "service", "by-hand", "-n", ns, "-p", remedy[1])
	resolve(t, at("by-hand-0", "by-hand"))

	// The Service changes under its StatefulSet.
	says := func(want string, args ...string) {
		t.Helper()
		contains(t, kubectl(t, args...), want)
	}
	says("without it the Pods have no DNS names", "patch", "service", "good", "-n", ns, "-p",
		`{"spec":{"selector":{"app":"other"}}}`)
	unknown(t, at("good-0", "good"))
	kubectl(t, "patch", "service", "good", "-n", ns, "-p", `{"spec":{"selector":{"app":"good"}}}`)
	resolve(t, at("good-0", "good"))
	says("the Pods have no DNS names", "patch", "service", "good", "-n", ns, "-p",
		`{"spec":{"type":"ExternalName","externalName":"db.example.com","clusterIP":null,"clusterIPs":null}}`)
	unknown(t, at("good-0", "good"))
	// the remedy
	kubectl(t, "patch", "service", "good", "-n", ns, "-p",
		`{"spec":{"type":"ClusterIP","clusterIP":"None","externalName":null,"selector":{"app":"good"}}}`)
	resolve(t, at("good-0", "good"))
	says("the Pods lose their DNS names", "delete", "service", "good", "-n", ns)
	unknown(t, at("good-0", "good"))
}

// onePodPerClaim has claims that only one Pod may mount.
func onePodPerClaim(t *testing.T, ns string) {
	pod := strings.ReplaceAll(oneGibi, "ReadWriteOnce", "ReadWriteOncePod")
	var manifest string
	for _, name := range []string{"rolled", "shared", "members"} {
		forget(t, ns+"-"+name)
		manifest += volumeNamed(ns+"-"+name, ns, pod) +
			pvcNamed(name, "storageClassName: "+ns+", volumeName: "+ns+"-"+name+", "+strings.ReplaceAll(once, "ReadWriteOnce",
				"ReadWriteOncePod"))
	}
	apply(t, ns, manifest)
	phases(t, ns, "pvc", map[string]string{"rolled": "Bound", "shared": "Bound", "members": "Bound"})
	workload := func(kind, name string, replicas int, more string) string {
		return fmt.Sprintf(`apiVersion: apps/v1
kind: %s
metadata: {name: %s}
spec:
  replicas: %d
  selector: {matchLabels: {app: %[2]s}}%[4]s
  template:
    metadata: {labels: {app: %[2]s}}
    spec: {containers: [{name: db, image: db}], volumes: [{name: data, persistentVolumeClaim: {claimName: %[2]s}}]}
---
`, kind, name, replicas, more)
	}
	out := apply(t, ns, workload("Deployment", "rolled", 1, "")+workload("Deployment", "shared", 3,
		"")+workload("StatefulSet", "members", 2, "\n  serviceName: db\n  podManagementPolicy: Parallel"))
	contains(t, out, "the new Pod waits", "cannot serve 3 replicas; ReadWriteOncePod: only one of them ever starts",
		"cannot serve 2 replicas; ReadWriteOncePod: only one of them ever starts")
	start := func(app string, running, pending int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d of %s run", running, app), func() error {
			got := kubectl(t, "get", "pod", "-n", ns, "-l", "app="+app, "-o", "jsonpath={.items[*].status.phase}")
			reasons := kubectl(t, "get", "pod", "-n", ns, "-l", "app="+app, "-o",
				"jsonpath={.items[*].status.conditions[?(@.type=='PodScheduled')].reason}")
			if strings.Count(got, "Running") != running || strings.Count(got, "Pending") != pending ||
				strings.Count(reasons, "Unschedulable") != pending {
				return fmt.Errorf("%s (%s)", got, reasons)
			}
			return nil
		})
	}
	start("rolled", 1, 0)
	start("shared", 1, 2)
	start("members", 1, 1)
	kubectl(t, "set", "image", "deployment/rolled", "-n", ns, "db=db:2")
	start("rolled", 1, 1)
}

// remediesSave does what warnings of lost claims say will keep them.
func remediesSave(t *testing.T, ns string) {
	set := func(name, policy string) string {
		return memberSet(name, 2, "  serviceName: db\n  persistentVolumeClaimRetentionPolicy: {"+policy+"}", "",
			template("storageClassName: disk, "+once))
	}
	kubectl(t, "annotate", "namespace", ns, "stayput.dev/reclaim-policy=Delete")
	apply(t, ns, set("orphan", "whenDeleted: Delete")+set("freed", "whenDeleted: Delete")+set("held",
		"whenScaled: Delete"))
	ready := func(name string, n string) {
		t.Helper()
		output(t, n, "get", "statefulset", name, "-n", ns, "-o", "jsonpath={.status.replicas}")
	}
	claims := func(app string) string {
		t.Helper()
		return strings.TrimSpace(kubectl(t, "get", "pvc", "-n", ns, "-l", "app="+app, "-o", uids))
	}
	phases(t, ns, "pod", map[string]string{"orphan-0": "Running", "orphan-1": "Running", "freed-1": "Running",
		"held-1": "Running"})
	kept := map[string]string{"orphan": claims("orphan"), "freed": claims("freed"), "held": claims("held")}
	says := func(want string, args ...string) {
		t.Helper()
		eventually(t, want, func() error { // the informer is a moment behind
			if out := kubectl(t, args...); !strings.Contains(out, want) {
				return errors.New(out)
			}
			return nil
		})
	}

	// One claim is out of range, one is not; both go but for the recipe.
	kubectl(t, "scale", "statefulset", "orphan", "freed", "-n", ns, "--replicas=1")
	ready("orphan", "1")
	says("data-orphan-0, data-orphan-1 WILL BE DELETED with it; fix: ",
		"delete", "sts", "orphan", "-n", ns, "--dry-run=server")
	kubectl(t, "delete", "sts", "orphan", "-n", ns, "--cascade=orphan")
	kubectl(t, "delete", "pod", "orphan-0", "-n", ns)

	// Retain keeps what is in range, and the patch the rest.
	ready("freed", "1")
	patch := []string{"patch", "sts", "freed", "-n", ns, "-p",
		`{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain"}}}`}
	says("cannot keep data-freed-1, scaled away under Delete; they WILL BE DELETED with it",
		append(slices.Clone(patch), "--dry-run=server")...)
	kubectl(t, patch...)
	output(t, "", "get", "pvc", "data-freed-0", "-n", ns, "-o", "jsonpath={.metadata.ownerReferences}")
	says("data-freed-1 WILL BE DELETED with it", "delete", "sts", "freed", "-n", ns, "--dry-run=server")
	contains(t, stayput(t, "audit", "--kubeconfig", env.Cluster.Kubeconfig(), "-n", ns).stdout,
		"cannot keep data-freed-1, scaled away under Delete")
	// several names at once
	kubectl(t, "patch", "pvc", "data-freed-1", "data-freed-0", "-n", ns, "--type=merge", "-p",
		`{"metadata":{"labels":{"seen":"yes"}}}`)
	kubectl(t, "patch", "pvc", "data-freed-1", "-n", ns, "--type=json", "-p",
		`[{"op":"remove","path":"/metadata/ownerReferences"}]`)
	says("data-freed-0, data-freed-1 stay", "delete", "sts", "freed", "-n", ns, "--dry-run=server")
	kubectl(t, "delete", "sts", "freed", "-n", ns)

	// While its Pod terminates, a claim can be kept.
	kubectl(t, "patch", "pod", "held-1", "-n", ns, "-p", `{"metadata":{"finalizers":["example.com/held"]}}`)
	says("data-held-1 WILL BE DELETED with their Pods", "scale", "sts", "held", "-n", ns, "--replicas=1",
		"--dry-run=server")
	kubectl(t, "scale", "sts", "held", "-n", ns, "--replicas=1")
	output(t, "Pod", "get", "pvc", "data-held-1", "-n", ns, "-o", "jsonpath={.metadata.ownerReferences[*].kind}")
	kubectl(t, "patch", "sts", "held", "-n", ns, "-p",
		`{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenScaled":"Retain"}}}`)
	output(t, "", "get", "pvc", "data-held-1", "-n", ns, "-o", "jsonpath={.metadata.ownerReferences}")
	kubectl(t, "patch", "pod", "held-1", "-n", ns, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)

	for _, pod := range []string{"orphan-0", "freed-0", "held-1"} {
		gone(t, "pod", pod, "-n", ns)
	}
	time.Sleep(3 * time.Second) // the garbage collector takes one, where there is something to collect
	for app, want := range kept {
		if got := claims(app); got != want {
			t.Errorf("%s: claims %q, want %q", app, got, want)
		}
	}
}

// budgetsBlock tries to evict Pods whose budgets do not allow it.
func budgetsBlock(t *testing.T, ns string) {
	budget := func(name, app, spec string) string {
		return fmt.Sprintf("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: %s}\nspec: {selector: "+
			"{matchLabels: {app: %s}}%s}\n---\n", name, app, spec)
	}
	apply(t, ns, budget("strict", "strict", ", maxUnavailable: 0")+budget("all", "all",
		", minAvailable: 2")+budget("percent", "percent", ", minAvailable: 80%")+
		budget("empty", "empty", "")+budget("twice-a", "twice", ", maxUnavailable: 1")+budget("twice-b", "twice",
		", maxUnavailable: 1")+budget("good", "good", ", maxUnavailable: 1"))
	var manifest string
	apps := []string{"strict", "all", "percent", "empty", "twice", "good"}
	for _, app := range apps {
		manifest += memberSet(app, 2, "  serviceName: db", "", "")
	}
	out := apply(t, ns, manifest)
	if n := strings.Count(out, "so their nodes cannot be drained"); n != 4 ||
		!strings.Contains(out, "no Pod can be evicted") {
		t.Errorf("%d budgets block, want 4 and two that are one too many:\n%s", n, out)
	}
	evict := func(app string) error {
		eviction := fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"%s-0","namespace":"%s"}}`,
			app, ns)
		out, err := try(t, eviction, "create", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s-0/eviction", ns, app),
			"-f", "-")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	for _, app := range apps {
		output(t, "2", "get", "statefulset", app, "-n", ns, "-o", allReady)
	}
	eventually(t, "a Pod that may go is evicted", func() error { return evict("good") })
	for _, app := range apps[:5] {
		if evict(app) == nil {
			t.Errorf("a Pod of %s was evicted", app)
		}
	}
}

// longNamesHaveNoPods creates StatefulSets with names for which the controller
// cannot create Pods.
func longNamesHaveNoPods(t *testing.T, ns string) {
	long, longer := strings.Repeat("a", 53), strings.Repeat("b", 61)
	out := apply(t, ns, memberSet(long, 1, "  serviceName: db", "", "")+memberSet(longer, 1, "  serviceName: db", "",
		"")+memberSet("good", 1, "  serviceName: db", "", ""))
	contains(t, out, "with more than 63 no Pod is created")
	phases(t, ns, "pod", map[string]string{"good-0": "Running"})
	for _, name := range []string{long, longer} {
		eventually(t, "the controller gives up on "+name, func() error {
			events := kubectl(t, "get", "events", "-n", ns, "--field-selector", "reason=FailedCreate,involvedObject.name="+name,
				"-o", "name")
			if strings.TrimSpace(events) == "" {
				return errors.New("no event")
			}
			return nil
		})
		output(t, "", "get", "pod", "-n", ns, "-l", "app="+name, "-o", "name")
	}
}

// updatesTakeAllDown changes the template of a StatefulSet that lets all Pods be away,
// and holds those that go.
func updatesTakeAllDown(t *testing.T, ns string) {
	onlySince(t, 37, "maxUnavailable of StatefulSets, but for patches of 1.35")
	contains(t, apply(t, ns, updatedSet("down", "rollingUpdate: {maxUnavailable: 3}", "db")),
		"an update takes down all 3 at once")
	output(t, "3", "get", "statefulset", "down", "-n", ns, "-o", allReady)
	hold := func(finalizers string) {
		kubectl(t, "patch", "pod", "down-0", "down-1", "down-2", "-n", ns, "--type=merge", "-p",
			`{"metadata":{"finalizers":`+finalizers+`}}`)
	}
	hold(`["example.com/held"]`)
	apply(t, ns, updatedSet("down", "rollingUpdate: {maxUnavailable: 3}", "db:2"))
	eventually(t, "all three are on their way out", func() error {
		if n := len(strings.Fields(kubectl(t, "get", "pod", "-n", ns, "-l", "app=down", "-o",
			"jsonpath={.items[*].metadata.deletionTimestamp}"))); n != 3 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	hold("null")
}

// updatedSet is a StatefulSet of three Pods with an update strategy and an image.
func updatedSet(name, strategy, image string) string {
	return strings.Replace(memberSet(name, 3, "  serviceName: db\n  updateStrategy: {"+strategy+"}", "", ""), "image: db",
		"image: "+image, 1)
}

// updatesWait changes templates that are held back.
func updatesWait(t *testing.T, ns string) {
	all := func(image string) string {
		return updatedSet("by-hand", "type: OnDelete", image) + updatedSet("none", "rollingUpdate: {partition: 3}", image) +
			updatedSet("some", "rollingUpdate: {partition: 2}", image)
	}
	contains(t, apply(t, ns, all("db")), "or Pods keep an old template until somebody deletes them",
		"must be less than replicas, 3, or no Pod is ever updated", "it holds some-0 and some-1 at the old template")
	for _, name := range []string{"by-hand", "none", "some"} {
		output(t, "3", "get", "statefulset", name, "-n", ns, "-o", allReady)
	}
	contains(t, apply(t, ns, all("db:2")),
		"cannot bring the new template to by-hand-0 to by-hand-2 until somebody deletes each")
	images := func(app string) []string {
		return []string{"get", "pod", "-n", ns, "-l", "app=" + app, "-o", "jsonpath={.items[*].spec.containers[0].image}"}
	}
	output(t, "db db db:2", images("some")...)
	output(t, "3", "get", "statefulset", "some", "-n", ns, "-o", allReady)
	output(t, "db db db", images("none")...)
	output(t, "db db db", images("by-hand")...)
	replacePods(t, ns, "by-hand-1")
	output(t, "db db:2 db", images("by-hand")...)
}

// fieldsStay changes what cannot be changed later.
func fieldsStay(t *testing.T, ns string) {
	class := ns
	t.Cleanup(func() { _, _ = env.Kubectl(context.Background(), "", "delete", "storageclass", class) })
	out := apply(t, ns, memberSet("db", 2, "  serviceName: db", "", "")+memberSet("dbs", 2, "  serviceName: db", "",
		"")+manifestOfClass(class, ""))
	contains(t, out, "cannot be changed later")
	for _, args := range [][]string{
		{"statefulset", "db", "-p", `{"spec":{"podManagementPolicy":"OrderedReady"}}`},
		{"statefulset", "db", "-p", `{"spec":{"serviceName":"other"}}`},
		{"statefulset", "db", "-p", `{"spec":{"selector":{"matchLabels":{"tier":"db"}},` +
			`"template":{"metadata":{"labels":{"tier":"db"}}}}}`},
		{"storageclass", class, "-p", `{"reclaimPolicy":"Recycle"}`},
	} {
		out, err := try(t, "", append([]string{"patch", "-n", ns}, args...)...)
		if err == nil || !strings.Contains(out, "is invalid") {
			t.Errorf("kubectl patch %s: %v: want a refusal:\n%s", args, err, out)
		}
	}
}

// releasesAreRefused applies the next release of objects that have a version in an
// immutable field, one field at a time, and of a Pod template, which may change.
func releasesAreRefused(t *testing.T, ns string) {
	set := func(version, labels, selector, service string) string {
		return memberSet("db", 0, "  serviceName: db"+service, "", "  volumeClaimTemplates: [{metadata: {name: data, "+
			"labels: {"+labels+"}}, spec: {selector: {matchLabels: {"+selector+"}}, "+once+"}}]\n") +
			fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web, version: %q}}
  template:
    metadata: {labels: {app: web, version: %[1]q}}
    spec: {containers: [{name: web, image: web}]}
`, version)
	}
	is := func(chart, version, disk, service string) string {
		return set(version, "helm.sh/chart: db-"+chart, `example.com/version: "`+disk+`"`, service)
	}
	out := apply(t, ns, is("1.2.3", "9.1", "9.1", ""))
	if n := strings.Count(out, "is refused"); n != 3 {
		t.Errorf("%d warnings that the next release is refused, want 3:\n%s", n, out)
	}
	apply(t, ns, is("1.2.3", "9.1", "9.1", "")) // which changes nothing
	for _, next := range []string{
		is("1.2.4", "9.1", "9.1", ""), is("1.2.3", "9.2", "9.1", ""), is("1.2.3", "9.1", "9.2", ""),
		is("1.2.3", "9.1", "9.1", "-9-1"),
	} {
		if out, err := try(t, next, "apply", "-n", ns, "-f", "-"); err == nil || !strings.Contains(out, "is invalid") {
			t.Errorf("%v: want a refusal of\n%s\n%s", err, next, out)
		}
	}
}
