package report

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
)

const group = "db.example.com/v1"

func ref(kind, name string) metav1.OwnerReference {
	apiVersion := group
	if kind == "StatefulSet" {
		apiVersion = "apps/v1"
	}
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID(kind + name),
		Controller: new(true)}
}

// TestOwners takes stock of what goes with custom resources: their own claims,
// those of their StatefulSets, and those of what they own in turn.
func TestOwners(t *testing.T) {
	set := func(name string, deletes bool, owner metav1.OwnerReference) cluster.Object {
		sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name,
			UID: types.UID("StatefulSet" + name), OwnerReferences: []metav1.OwnerReference{owner}}}
		sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
		if deletes {
			sts.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
			}
		}
		return sts
	}
	claim := func(name string, policy corev1.PersistentVolumeReclaimPolicy,
		owners ...metav1.OwnerReference) []cluster.Object {
		pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name,
			OwnerReferences: owners}}
		pvc.Spec.VolumeName = "pv-" + name
		pvc.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + name}}
		pv.Spec.PersistentVolumeReclaimPolicy = policy
		return []cluster.Object{pvc, pv}
	}
	snap := &cluster.Snapshot{Complete: true}
	for _, objs := range [][]cluster.Object{
		{set("kept", false, ref("Cluster", "kept")), set("mq", true, ref("Cluster", "mq")),
			set("nested", false, ref("Shard", "nested-0"))},
		claim("data-kept-0", "Delete"),
		claim("data-mq-0", "Delete"), // the controller is about to write its reference
		claim("data-mq-1", "Delete", ref("StatefulSet", "mq")),
		claim("data-nested-0", "Retain", ref("Shard", "nested-0")),
		claim("bare", "Delete", ref("Cluster", "bare")),
		claim("shared", "Delete", ref("Cluster", "bare"), ref("Cluster", "kept")),
		claim("orphan", "Delete", ref("Cluster", "long-gone")),
		claim("secret", "Delete", ref("Vault", "v")),
		claim("nobodys", "Delete"),
	} {
		if err := snap.Add(objs...); err != nil {
			t.Fatal(err)
		}
	}
	meta := func(kind, name string, owners ...metav1.OwnerReference) metav1.PartialObjectMetadata {
		return metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name,
			UID: types.UID(kind + name), OwnerReferences: owners}}
	}
	finalized := meta("Cluster", "mq")
	finalized.Finalizers = []string{"db.example.com/clean"}
	lookup := func(kind schema.GroupVersionKind) ([]metav1.PartialObjectMetadata, error) {
		return map[string][]metav1.PartialObjectMetadata{
			"Cluster": {meta("Cluster", "kept"), finalized, meta("Cluster", "bare"), meta("Cluster", "top")},
			"Shard":   {meta("Shard", "nested-0", ref("Cluster", "top"))},
		}[kind.Kind], map[bool]error{true: errors.New("the API server does not let you list it")}[kind.Kind == "Vault"]
	}
	view := cluster.Environment{Source: snap, Finder: snap}.View(t.Context(), cluster.Request{})
	inv := TakeInventory(view, func(string) bool { return true }, func(schema.GroupVersionKind) {}, lookup)
	got := map[string]string{}
	for i := range inv.Owners {
		got[inv.Owners[i].String()] = inv.Owners[i].Sentence() + " | " + inv.Owners[i].Remedy
	}
	patch := func(pvs string) string {
		return ` | kubectl patch pv ` + pvs + ` -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`
	}
	want := map[string]string{
		"Cluster shop/kept": "2 claims not deleted with it | ",
		"Cluster shop/mq": "2 claims and 2 GiB on disk destroyed with it; its finalizers may delete more: " +
			"db.example.com/clean" + patch("pv-data-mq-0 pv-data-mq-1"),
		"Cluster shop/bare": "1 claim and 1 GiB on disk destroyed with it; 1 claim not deleted with it" +
			patch("pv-bare"),
		"Cluster shop/top":       "1 claim deleted with it, the disks stay | ",
		"Shard shop/nested-0":    "1 claim deleted with it, the disks stay | ",
		"Cluster shop/long-gone": "1 claim and 1 GiB on disk destroyed with it; it is gone already" + patch("pv-orphan"),
		"Vault shop/v":           "1 claim and 1 GiB on disk destroyed with it" + patch("pv-secret"),
	}
	// data-mq-1 is beyond the replicas, and its reference says that it goes.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Vault.db.example.com: the API server does not let you list it"},
		inv.UnreadOwners); diff != "" {
		t.Errorf("unread, -want +got:\n%s", diff)
	}
	r := &Report{Command: "audit", Inventory: inv}
	var text, markdown, page bytes.Buffer
	if err := errors.Join(r.Text(&text, TextOptions{}), r.Markdown(&markdown), r.HTML(&page)); err != nil {
		t.Fatal(err)
	}
	for format, out := range map[string]*bytes.Buffer{"text": &text, "markdown": &markdown, "html": &page} {
		for _, part := range []string{"Cluster shop/bare", "1 GiB on disk destroyed with it", "pv-data-mq-0 pv-data-mq-1",
			"does not let you list it"} {
			if !bytes.Contains(out.Bytes(), []byte(part)) {
				t.Errorf("%s lacks %q:\n%s", format, part, out)
			}
		}
	}
}
