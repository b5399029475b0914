package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A loss is one request by which a person can make the loss of a workload's data
// certain, in a namespace of its own.
type loss struct {
	request string // the row of the table in docs/retain.md
	try     func(t *testing.T, ns string) attempt
}

// An attempt is what came of the request.
type attempt struct {
	said string // what kubectl printed
	err  error  // the request was refused
	pv   string // the volume whose disk is at stake; empty if there is none
	disk string // a file on it
}

// at makes an attempt that may destroy the disk of a volume.
func at(t *testing.T, pv string, request func() (string, error)) attempt {
	t.Helper()
	fill(t, []string{pv})
	a := attempt{pv: pv, disk: fileOf(t, pv)}
	a.said, a.err = request()
	return a
}

// by runs kubectl, which may be refused.
func by(t *testing.T, args ...string) func() (string, error) {
	return func() (string, error) { return try(t, "", args...) }
}

// doomed is [database] with volumes that are destroyed with their claims, as those
// from before Stayput are.
func doomed(t *testing.T, ns string, replicas int, edits ...string) []string {
	t.Helper()
	volumes := database(t, ns, replicas, edits...)
	letGo(t, volumes)
	for _, pv := range volumes {
		setToDelete(t, pv)
	}
	return volumes
}

// released returns a volume that is retained, and whose claim is gone.
func released(t *testing.T, ns string) string {
	t.Helper()
	pv := database(t, ns, 1)
	letGo(t, pv)
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
	kubectl(t, "delete", "pvc", "data-mysql-0", "-n", ns)
	output(t, "Released", "get", "pv", pv[0], "-o", "jsonpath={.status.phase}")
	return pv[0]
}

const retention = "  persistentVolumeClaimRetentionPolicy: {%s: Delete}\n  replicas: 3"

var losses = []loss{
	{"`DELETE` a claim that a replica of a StatefulSet needs", func(t *testing.T, ns string) attempt {
		return at(t, doomed(t, ns, 1)[0], by(t, "delete", "pvc", "data-mysql-0", "-n", ns))
	}},
	{"`DELETE` a claim of a claim template that no replica needs", func(t *testing.T, ns string) attempt {
		pv := doomed(t, ns, 1)[0]
		kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=0")
		gone(t, "pod", "-n", ns)
		return at(t, pv, by(t, "delete", "pvc", "data-mysql-0", "-n", ns))
	}},
	{"`DELETE` a claim that a StatefulSet mounts by name", func(t *testing.T, ns string) attempt {
		apply(t, ns, mountedClaim+"---\n"+mounter)
		pv := volumeOfSearch(t, ns)
		letGo(t, []string{pv})
		setToDelete(t, pv)
		return at(t, pv, by(t, "delete", "pvc", "search", "-n", ns))
	}},
	{"`DELETE` a claim that a Deployment or a Pod mounts by name", func(t *testing.T, ns string) attempt {
		pv := claimOfDisk(t, ns, "files")
		apply(t, ns, strings.NewReplacer("kind: StatefulSet", "kind: Deployment", "  serviceName: search\n", "",
			"claimName: search", "claimName: files", "replicas: 1", "replicas: 0").Replace(mounter))
		return at(t, pv, by(t, "delete", "pvc", "files", "-n", ns))
	}},
	{"`DELETE` a claim that a CronJob or a waiting Job mounts by name", func(t *testing.T, ns string) attempt {
		pv := claimOfDisk(t, ns, "files")
		apply(t, ns, between)
		return at(t, pv, by(t, "delete", "pvc", "files", "-n", ns))
	}},
	{"`DELETE` a claim that nothing mounts", func(t *testing.T, ns string) attempt {
		return at(t, claimOfDisk(t, ns, "files"), by(t, "delete", "pvc", "files", "-n", ns))
	}},
	{"`DELETE` all claims of a namespace", func(t *testing.T, ns string) attempt {
		return at(t, doomed(t, ns, 1)[0], by(t, "delete", "pvc", "--all", "-n", ns))
	}},
	{"`UPDATE` a claim that is being deleted: its finalizer is taken off", func(t *testing.T, ns string) attempt {
		pv := doomed(t, ns, 1)[0]
		kubectl(t, "annotate", "pvc", "data-mysql-0", "-n", ns, "exempt.stayput.dev/claim-in-use=a drill")
		kubectl(t, "delete", "pvc", "data-mysql-0", "-n", ns, "--wait=false")
		return at(t, pv, by(t, "patch", "pvc", "data-mysql-0", "-n", ns, "--type=merge", "-p",
			`{"metadata":{"finalizers":null}}`))
	}},
	{"`UPDATE` a claim: an owner that does not exist is written", func(t *testing.T, ns string) attempt {
		pv := database(t, ns, 1)[0]
		letGo(t, []string{pv})
		kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=0")
		a := at(t, pv, by(t, "patch", "pvc", "data-mysql-0", "-n", ns, "-p", `{"metadata":{"ownerReferences":`+
			`[{"apiVersion":"v1","kind":"ConfigMap","name":"none","uid":"11111111-2222-3333-4444-555555555555"}]}}`))
		gone(t, "pvc", "data-mysql-0", "-n", ns)
		return a
	}},
	{"`DELETE` a volume that a claim has", func(t *testing.T, ns string) attempt {
		pv := claimOfDisk(t, ns, "files")
		return at(t, pv, by(t, "delete", "pv", pv))
	}},
	{"`DELETE` a Released volume with `Retain`", func(t *testing.T, ns string) attempt {
		pv := released(t, ns)
		return at(t, pv, by(t, "delete", "pv", pv))
	}},
	{"`UPDATE` a volume that a claim has: its policy to `Delete`", func(t *testing.T, ns string) attempt {
		pv := database(t, ns, 1)[0]
		letGo(t, []string{pv})
		return at(t, pv, by(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`))
	}},
	{"`UPDATE` a Released volume: its policy to `Delete`", func(t *testing.T, ns string) attempt {
		pv := released(t, ns)
		return at(t, pv, by(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`))
	}},
	{"`UPDATE` a volume: a uid that no claim has into its `claimRef`", func(t *testing.T, ns string) attempt {
		pv := doomed(t, ns, 1)[0]
		return at(t, pv, by(t, "patch", "pv", pv, "-p",
			`{"spec":{"claimRef":{"uid":"11111111-2222-3333-4444-555555555555"}}}`))
	}},
	{"`CREATE` a volume that has such a uid, with `Delete`", func(t *testing.T, ns string) attempt {
		made := released(t, ns)
		dir := filepath.Dir(fileOf(t, made))
		kubectl(t, "delete", "pv", made)
		pv := ns + "-restored"
		letGo(t, []string{pv})
		a := attempt{pv: pv, disk: dir}
		a.said, a.err = try(t, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %s, annotations: {pv.kubernetes.io/provisioned-by: kubernetes.io/host-path}}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: disk
  persistentVolumeReclaimPolicy: Delete
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: %s, name: data-mysql-0,
    uid: 11111111-2222-3333-4444-555555555555}
  hostPath: {path: %s}
`, pv, ns, dir), "create", "-f", "-")
		return a
	}},
	{"`UPDATE` a volume that is being deleted: its finalizers are taken off", func(t *testing.T, ns string) attempt {
		pv := claimOfDisk(t, ns, "files")
		kubectl(t, "annotate", "pv", pv, "exempt.stayput.dev/volume-in-use=a drill")
		kubectl(t, "delete", "pv", pv, "--wait=false")
		a := at(t, pv, by(t, "patch", "pv", pv, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
		output(t, "Lost", "get", "pvc", "files", "-n", ns, "-o", "jsonpath={.status.phase}")
		return a
	}},
	{"`UPDATE` a Released volume: annotation `stayput.dev/reclaim-policy: Delete`", func(t *testing.T,
		ns string) attempt {
		pv := released(t, ns)
		return at(t, pv, by(t, "annotate", "pv", pv, "--overwrite", "stayput.dev/reclaim-policy=Delete"))
	}},
	{"`UPDATE` a StatefulSet: its retention policy to `Delete`", func(t *testing.T, ns string) attempt {
		return at(t, doomed(t, ns, 1)[0], by(t, "patch", "statefulset", "mysql", "-n", ns, "-p",
			`{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Delete"}}}`))
	}},
	{"`DELETE` a StatefulSet with `whenDeleted: Delete`", func(t *testing.T, ns string) attempt {
		pv := database(t, ns, 1, "  replicas: 1", fmt.Sprintf(strings.Replace(retention, "3", "1", 1), "whenDeleted"))[0]
		letGo(t, []string{pv})
		eventually(t, "the claim to be owned", func() error {
			if kubectl(t, "get", "pvc", "data-mysql-0", "-n", ns, "-o", "jsonpath={.metadata.ownerReferences[*].kind}") == "" {
				return fmt.Errorf("no owner")
			}
			return nil
		})
		a := at(t, pv, by(t, "delete", "statefulset", "mysql", "-n", ns))
		gone(t, "pvc", "-n", ns)
		return a
	}},
	{"`UPDATE` a StatefulSet, or its scale, with `whenScaled: Delete`: fewer replicas", func(t *testing.T,
		ns string) attempt {
		pv := database(t, ns, 1, "  replicas: 1", fmt.Sprintf(strings.Replace(retention, "3", "1", 1), "whenScaled"))[0]
		letGo(t, []string{pv})
		a := at(t, pv, by(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=0"))
		gone(t, "pvc", "-n", ns)
		return a
	}},
	{"`UPDATE` a StatefulSet with `whenScaled: Delete`: another first ordinal", func(t *testing.T, ns string) attempt {
		pv := database(t, ns, 1, "  replicas: 1", fmt.Sprintf(strings.Replace(retention, "3", "1", 1), "whenScaled"))[0]
		letGo(t, []string{pv})
		a := at(t, pv, by(t, "patch", "statefulset", "mysql", "-n", ns, "-p", `{"spec":{"ordinals":{"start":5}}}`))
		gone(t, "pvc", "data-mysql-0", "-n", ns)
		return a
	}},
	{"`DELETE` a Namespace", func(t *testing.T, ns string) attempt {
		return at(t, doomed(t, ns, 1)[0], by(t, "delete", "namespace", ns))
	}},
	{"`UPDATE` a Namespace's subresource `finalize`: its finalizer is taken off", func(t *testing.T, ns string) attempt {
		a := at(t, claimOfDisk(t, ns, "files"), func() (string, error) {
			return try(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"`+ns+`"},"spec":{"finalizers":[]}}`,
				"replace", "--raw", "/api/v1/namespaces/"+ns+"/finalize", "-f", "-")
		})
		// Nobody deletes what is in it then, and it ends once it is deleted twice.
		kubectl(t, "delete", "namespace", ns, "--wait=false")
		output(t, "Terminating", "get", "namespace", ns, "-o", "jsonpath={.status.phase}")
		kubectl(t, "delete", "namespace", ns)
		output(t, "Bound", "get", "pvc", "files", "-n", ns, "-o", "jsonpath={.status.phase}")
		kubectl(t, "create", "namespace", ns)
		output(t, "Bound", "get", "pvc", "files", "-n", ns, "-o", "jsonpath={.status.phase}")
		return a
	}},
	{"`DELETE` a Node with the disk of a local volume", func(t *testing.T, ns string) attempt {
		dir := t.TempDir()
		forget(t, ns)
		t.Cleanup(func() {
			_, _ = env.Kubectl(context.Background(), "", "delete", "node", ns, "--wait=false", "--ignore-not-found")
		})
		apply(t, ns, fmt.Sprintf(localVolume, ns, dir))
		output(t, "Bound", "get", "pvc", "files", "-n", ns, "-o", "jsonpath={.status.phase}")
		a := attempt{pv: ns, disk: filepath.Join(dir, "data")}
		if err := os.WriteFile(a.disk, []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
		a.said, a.err = try(t, "", "delete", "node", ns)
		// Its Pods are looked for every 20 s, and the Node once more after 40 s.
		for end := time.Now().Add(3 * env.patient); time.Now().Before(end); time.Sleep(time.Second) {
			if kubectl(t, "get", "pod", "-n", ns, "--ignore-not-found", "-o", "name") == "" {
				break
			}
		}
		gone(t, "pod", "-n", ns)
		output(t, "Bound", "get", "pvc", "files", "-n", ns, "-o", "jsonpath={.status.phase}")
		return a
	}},
	{"`DELETE` a StorageClass that claim templates name", func(t *testing.T, ns string) attempt {
		name := ns + "-class"
		out, err := try(t, strings.Replace(class, "name: disk", "name: "+name, 1), "create", "-f", "-")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		pv := database(t, ns, 1, "storageClassName: disk", "storageClassName: "+name)[0]
		letGo(t, []string{pv})
		return at(t, pv, by(t, "delete", "storageclass", name))
	}},
	{"`CREATE` a StorageClass with `Delete`", func(t *testing.T, ns string) attempt {
		name := ns + "-class"
		out, err := try(t, strings.Replace(class, "name: disk", "name: "+name, 1), "create", "-f", "-")
		kubectl(t, "delete", "storageclass", name)
		return attempt{said: out, err: err}
	}},
	{"`DELETE` a custom resource that owns claims", func(t *testing.T, ns string) attempt {
		pv := ownedClaim(t, ns, "Saving", "savings")
		return at(t, pv, by(t, "delete", "savings", "main", "-n", ns))
	}},
	{"`DELETE` a CustomResourceDefinition whose custom resources own claims", func(t *testing.T, ns string) attempt {
		pv := ownedClaim(t, ns, "Deposit", "deposits")
		return at(t, pv, by(t, "delete", "crd", "deposits.lose.example.com"))
	}},
	{"`DELETE` a VolumeSnapshotContent", func(t *testing.T, ns string) attempt {
		definition(t, "VolumeSnapshotContent", "volumesnapshotcontents", "snapshot.storage.k8s.io", "Cluster")
		pv := database(t, ns, 1)[0]
		letGo(t, []string{pv})
		out, err := try(t, "apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshotContent\nmetadata: {name: "+ns+
			"}\nspec: {deletionPolicy: Delete}\n", "create", "-f", "-")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return at(t, pv, by(t, "delete", "volumesnapshotcontents", ns))
	}},
	{"`DELETE` a Pod with a generic ephemeral volume", func(t *testing.T, ns string) attempt {
		apply(t, ns, `apiVersion: v1
kind: Pod
metadata: {name: build}
spec:
  containers: [{name: build, image: build, volumeMounts: [{name: scratch, mountPath: /scratch}]}]
  volumes:
  - name: scratch
    ephemeral:
      volumeClaimTemplate:
        spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
`)
		output(t, "Bound", "get", "pvc", "build-scratch", "-n", ns, "-o", "jsonpath={.status.phase}")
		pv := strings.TrimSpace(kubectl(t, "get", "pvc", "build-scratch", "-n", ns, "-o", "jsonpath={.spec.volumeName}"))
		return at(t, pv, by(t, "delete", "pod", "build", "-n", ns))
	}},
	{"`DELETE` a Secret with the key of encrypted data", func(t *testing.T, ns string) attempt {
		kubectl(t, "create", "secret", "generic", "key", "-n", ns, "--from-literal=key=k")
		a := attempt{}
		a.said, a.err = try(t, "", "delete", "secret", "key", "-n", ns)
		return a
	}},
}

// localVolume is a Node with a volume on it, and the claim and the Pod that have it.
const localVolume = `apiVersion: v1
kind: Node
metadata: {name: %s, labels: {kubernetes.io/hostname: %[1]s}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Delete
  storageClassName: ""
  claimRef: {namespace: %[1]s, name: files}
  local: {path: %[2]s}
  nodeAffinity: {required: {nodeSelectorTerms: [
    {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%[1]s]}]}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: %[1]s, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  nodeName: %[1]s
  containers: [{name: app, image: app, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: files}}]
`

// definition makes a CustomResourceDefinition for as long as the test runs.
func definition(t *testing.T, kind, plural, group, scope string) {
	t.Helper()
	t.Cleanup(func() {
		name := plural + "." + group
		_, _ = env.Kubectl(context.Background(), "", "annotate", "crd", name,
			"exempt.stayput.dev/definition-data=a test ends")
		_, _ = env.Kubectl(context.Background(), "", "delete", "crd", name, "--wait=false")
	})
	out, err := try(t, fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %s.%s
  annotations: {api-approved.kubernetes.io: "unapproved, a stand-in"}
spec:
  group: %[2]s
  names: {kind: %[3]s, plural: %[1]s, singular: %[4]s}
  scope: %[5]s
  versions:
  - {name: v1, served: true, storage: true,
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, plural, group, kind, strings.ToLower(kind), scope), "apply", "-f", "-")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	established(t, "crd/"+plural+"."+group)
}

// ownedClaim makes a custom resource with a claim that goes with it, and returns the
// volume.
func ownedClaim(t *testing.T, ns, kind, plural string) string {
	t.Helper()
	definition(t, kind, plural, "lose.example.com", "Namespaced")
	apply(t, ns, "apiVersion: lose.example.com/v1\nkind: "+kind+"\nmetadata: {name: main}\n")
	pv := claimOfDisk(t, ns, "files")
	uid := kubectl(t, "get", plural, "main", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	owned(t, ns, "pvc", "files", fmt.Sprintf(`{"apiVersion":"lose.example.com/v1","kind":%q,"name":"main",`+
		`"controller":true,"uid":%q}`, kind, strings.TrimSpace(uid)))
	return pv
}

// TestEveryWayToLoseData does what the rows of the table in docs/retain.md say, and
// holds each to what Stayput then does, and to what becomes of the disk.
func TestEveryWayToLoseData(t *testing.T) {
	t.Parallel()
	rows := lossTable(t)
	for _, l := range losses {
		row, ok := rows[l.request]
		if !ok {
			t.Errorf("docs/retain.md has no row %q", l.request)
			continue
		}
		delete(rows, l.request)
		t.Run(strings.Trim(regexp.MustCompile(`[^a-zA-Z]+`).ReplaceAllString(l.request, "-"), "-"), func(t *testing.T) {
			t.Parallel()
			a := l.try(t, namespace(t, "stayput.dev/mode=enforce"))
			answered(t, row.does, a)
			becomes(t, row.disk, a)
		})
	}
	for row := range rows {
		t.Errorf("docs/retain.md has a row %q, which nothing tries", row)
	}
}

// A lossRow is what the table says beside a request.
type lossRow struct{ does, disk string }

func lossTable(t *testing.T) map[string]lossRow {
	t.Helper()
	_, section, _ := strings.Cut(readFile(t, "..", "docs", "retain.md"), "\n## Every way to lose it\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]lossRow{}
	for _, m := range regexp.MustCompile(`(?m)^\| (.+?) \| (.+?) \| (.+?) \|$`).FindAllStringSubmatch(section, -1) {
		if m[1] != "request" {
			rows[m[1]] = lossRow{m[2], m[3]}
		}
	}
	if len(rows) == 0 {
		t.Fatal("docs/retain.md has no table")
	}
	return rows
}

// speakers returns the rules and mutators with a message in an answer.
var speakers = regexp.MustCompile(`(?m)\b([a-z]+(?:-[a-z]+)+): \S+: |(?:Warning: |reason: )?([a-z]+-retain): `)

// answered holds an answer to the table: denies, warns or retains, and by which
// rule, or nothing.
func answered(t *testing.T, does string, a attempt) {
	t.Helper()
	m := regexp.MustCompile("^(denies|warns|retains|nothing)(?: \\(`([a-z-]+)`\\))?").FindStringSubmatch(does)
	if m == nil {
		t.Fatalf("docs/retain.md: cannot read %q", does)
	}
	if refused := a.err != nil; refused != (m[1] == "denies") {
		t.Errorf("refused: %v, but docs/retain.md says %s:\n%s", refused, does, a.said)
	}
	switch m[1] {
	case "denies":
		contains(t, a.said, "Forbidden", m[2]+": ")
	case "warns":
		contains(t, a.said, "Warning: "+m[2]+": ")
	case "retains":
		if a.pv != "" {
			output(t, "Retain", "get", "pv", a.pv, "-o", policyPath)
		}
	default:
		if found := speakers.FindStringSubmatch(a.said); found != nil {
			t.Errorf("docs/retain.md says nothing is said:\n%s", a.said)
		}
	}
}

// becomes checks the disk against the table.
func becomes(t *testing.T, disk string, a attempt) {
	t.Helper()
	there := func() bool {
		_, err := os.Stat(a.disk)
		return err == nil
	}
	if none := disk == "none"; none || a.pv == "" {
		if !none || a.pv != "" {
			t.Errorf("docs/retain.md says of the disk %q, and volume %q is at stake", disk, a.pv)
		}
		return
	}
	switch disk {
	case "stays":
		time.Sleep(2 * time.Second) // a provisioner takes less than one
		if kubectl(t, "get", "pv", a.pv, "--ignore-not-found", "-o", "name") == "" || !there() {
			t.Errorf("volume %s or its disk is gone", a.pv)
		}
	case "destroyed":
		gone(t, "pv", a.pv)
		eventually(t, "the disk to be destroyed", func() error {
			if there() {
				return fmt.Errorf("it is there")
			}
			return nil
		})
	case "forgotten":
		gone(t, "pv", a.pv)
		time.Sleep(2 * time.Second)
		if !there() {
			t.Error("the disk is destroyed")
		}
	default:
		t.Errorf("docs/retain.md: what is %q?", disk)
	}
}
