package cache_test

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
)

// TestSnapshotKnows holds that a kind is unknown until something of it is added or
// it is known to be empty, and again once it was forgotten.
func TestSnapshotKnows(t *testing.T) {
	a := cache.NewSnapshot()
	v := cluster.Environment{Source: a, Finder: a}.View(t.Context(), cluster.Request{})
	if _, err := cluster.Find(v, cluster.ClaimsByBase, "shop", "data-db"); !errors.Is(err, cluster.ErrUnknown) {
		t.Errorf("Find: %v", err)
	}
	if err := cluster.Each(v, func(*corev1.PersistentVolumeClaim) {}); !errors.Is(err, cluster.ErrUnknown) {
		t.Errorf("Each: %v", err)
	}
	err := a.List(t.Context(), &corev1.PersistentVolumeClaimList{}, cluster.Selection{})
	if !errors.Is(err, cluster.ErrUnknown) {
		t.Errorf("List: %v", err)
	}
	if err := a.Add(claim("data-db-0")); err != nil {
		t.Fatal(err)
	}
	found, err := cluster.Find(v, cluster.ClaimsByBase, "shop", "data-db")
	if err != nil || len(found) != 1 || found[0].Name != "data-db-0" {
		t.Errorf("Find: %v, %v", found, err)
	}
	for want, selected := range map[int]cluster.Selection{
		1: {Namespace: "shop", Labels: labels.SelectorFromSet(labels.Set{"app": "db"})},
		0: cluster.InNamespace("elsewhere"),
	} {
		var list corev1.PersistentVolumeClaimList
		if err := a.List(t.Context(), &list, selected); err != nil || len(list.Items) != want {
			t.Errorf("List: %d, %v; want %d", len(list.Items), err, want)
		}
	}
	a.Know(cluster.KindOf[*corev1.Pod]())
	if err := a.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "db-0"},
		&corev1.Pod{}); !apierrors.IsNotFound(err) {
		t.Errorf("Get: %v", err)
	}
	if found, err := cluster.Find(v, cluster.PodsByClaim, "shop", "data-db-0"); err != nil || len(found) != 0 {
		t.Errorf("Find: %v, %v", found, err)
	}

	a.Forget(cluster.KindOf[*corev1.PersistentVolumeClaim]())
	if _, err := cluster.Find(v, cluster.ClaimsByBase, "shop", "data-db"); !errors.Is(err, cluster.ErrUnknown) {
		t.Errorf("Find what was forgotten: %v", err)
	}
	if err := cluster.Each(v, func(*corev1.PersistentVolumeClaim) {}); !errors.Is(err, cluster.ErrUnknown) {
		t.Errorf("Each of what was forgotten: %v", err)
	}
}

// TestSnapshotKeepsLinesOfConfigMaps adds large ConfigMaps, as applied by kubectl, and
// holds that of each no more is kept than its names and the lines with those of members.
func TestSnapshotKeepsLinesOfConfigMaps(t *testing.T) {
	const many, large = 200, 100 << 10
	config := func(i int) *corev1.ConfigMap {
		text := strings.Repeat("an-ordinary-line = 1.5 of example.com\n", large/38)
		cm := &corev1.ConfigMap{Data: map[string]string{"file": text + "peers = db-0.db-h,db-1.db-h:80\r\n" +
			"  # db-2.db-h\n" + text, "other": text}, BinaryData: map[string][]byte{"image": make([]byte, large)}}
		cm.Namespace, cm.Name = "shop", fmt.Sprint("config-", i)
		cm.Annotations = map[string]string{cluster.AnnotationLastApplied: text, "exempt.stayput.dev/x": "why"}
		return cm
	}
	before, a := heap(), cache.NewSnapshot()
	for i := range many {
		if err := a.Add(config(i)); err != nil {
			t.Fatal(err)
		}
	}
	kept := (int64(heap()) - int64(before)) / many
	t.Logf("%d bytes of each are kept", kept)
	if kept > 4<<10 {
		t.Errorf("%d bytes of each ConfigMap are kept", kept)
	}
	cm := &corev1.ConfigMap{}
	if err := a.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "config-7"}, cm); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"file": "peers = db-0.db-h,db-1.db-h:80\r\n"}
	if !maps.Equal(cm.Data, want) || cm.BinaryData != nil || len(cm.Annotations) != 1 {
		t.Errorf("%q, %d, %q", cm.Data, len(cm.BinaryData), cm.Annotations)
	}
	runtime.KeepAlive(a)
}
