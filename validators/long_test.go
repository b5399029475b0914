package validators

import (
	"context"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
	"stayput.dev/internal/whole"
)

// TestNoQuadraticWork compares what a rule allocates for an object with long
// lists, in a cluster with as many objects, with what it allocates for lists
// four times as long. Allocations stand for work, for they do not depend on how
// busy the machine is; what compares without allocating is left to
// TestLongLists.
func TestNoQuadraticWork(t *testing.T) {
	const n = 60
	for _, r := range All {
		t.Run(r.Name, func(t *testing.T) {
			few, many := allocsOfLong(t, r, n), allocsOfLong(t, r, 4*n)
			for kind, a := range few {
				if b := many[kind]; b > 6*a+1000 {
					t.Errorf("%s: %.0f allocations for lists of %d, %.0f for lists of %d", kind, a, n, b, 4*n)
				}
			}
		})
	}
}

// allocsOfLong returns, for each thing that happens to a kind, what a rule
// allocates.
func allocsOfLong(t *testing.T, r *Rule, n int) map[string]float64 {
	t.Helper()
	if r.Level == Off {
		raised := *r
		raised.Level = Warn
		r = &raised
	}
	snap := &cluster.Snapshot{Complete: true}
	var objs []cluster.Object
	for i := range n {
		objs = append(objs, members(i)...)
	}
	if err := snap.Add(objs...); err != nil {
		t.Fatal(err)
	}
	world := cluster.Environment{Source: snap, Live: snap, Retain: cluster.RetainOff}
	allocs := map[string]float64{}
	for _, obj := range longLists(n) {
		changed := obj.DeepCopyObject().(cluster.Object)
		if sts, ok := changed.(*appsv1.StatefulSet); ok {
			sts.Spec.ServiceName = "other"
			slices.Reverse(sts.Spec.VolumeClaimTemplates)
		}
		for what, s := range map[string]struct{ old, obj cluster.Object }{"created": {nil, obj}, "updated": {changed, obj},
			"deleted": {obj, nil}} {
			allocs[fmt.Sprintf("%T %s", obj, what)] = testing.AllocsPerRun(1, func() {
				for _, f := range first(Review(world.View(context.Background(), cluster.Request{}), []*Rule{r}, s.old, s.obj)) {
					_ = f.Rule
				}
			})
		}
	}
	return allocs
}

func first(found []Finding, _ []*Undecided) []Finding { return found }

// TestLongLists reviews lists as long as a request has room for. It measures
// nothing: what compares each item with each would keep it busy for minutes,
// which a profile shows, and a person who waits for it.
func TestLongLists(t *testing.T) {
	whole.NotShort(t, "takes a hundred megabytes")
	const n = 5_000
	world := cluster.Environment{Source: &cluster.Snapshot{Complete: true}, Retain: cluster.RetainOff}
	for _, obj := range longLists(n) {
		for _, s := range []struct{ old, obj cluster.Object }{{nil, obj}, {obj, obj}, {obj, nil}} {
			for _, r := range All {
				Review(world.View(context.Background(), cluster.Request{}), []*Rule{r}, s.old, s.obj)
			}
		}
	}
}

// longLists returns an object of each kind whose every list has n items.
func longLists(n int) []cluster.Object {
	meta := metav1.ObjectMeta{Name: "db", Namespace: "default", Labels: map[string]string{},
		Annotations: map[string]string{}}
	var spec corev1.PodSpec
	var templates []corev1.PersistentVolumeClaim
	var ports []corev1.ServicePort
	for i := range n {
		name := fmt.Sprintf("item-%d", i)
		meta.Labels[name], meta.Annotations["stayput.dev/"+name] = "x", "x"
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}}, corev1.Volume{Name: "host-" + name,
			VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}}})
		spec.Containers = append(spec.Containers, corev1.Container{
			Ports:        []corev1.ContainerPort{{Name: name, ContainerPort: int32(i)}},
			VolumeMounts: []corev1.VolumeMount{{Name: name, ReadOnly: true}, {Name: "host-" + name}},
		})
		templates = append(templates,
			corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("template-%d", i)}})
		ports = append(ports, corev1.ServicePort{Name: name})
	}
	template := corev1.PodTemplateSpec{ObjectMeta: meta, Spec: spec}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}
	replicas := new(int32(n))
	return []cluster.Object{
		&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: replicas, Selector: selector,
			ServiceName: "db", Template: template, VolumeClaimTemplates: templates}},
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: replicas, Selector: selector,
			Template: template}},
		&corev1.Pod{ObjectMeta: meta, Spec: spec},
		&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: meta.Labels, Ports: ports}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: meta.Labels, Annotations: meta.Annotations}},
		&corev1.PersistentVolumeClaim{ObjectMeta: meta},
		&corev1.PersistentVolume{ObjectMeta: meta},
		&storagev1.StorageClass{ObjectMeta: meta, Parameters: meta.Labels},
	}
}

// members returns the ith of what fills a cluster: a StatefulSet and all that
// belongs to it.
func members(i int) []cluster.Object {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: "default", UID: "u"}
	}
	sts := &appsv1.StatefulSet{ObjectMeta: meta(fmt.Sprintf("set-%d", i))}
	sts.Spec.ServiceName = "db"
	sts.Spec.Template.Labels = map[string]string{"app": "db"}
	sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: meta("data")}}
	svc := &corev1.Service{ObjectMeta: meta(fmt.Sprintf("svc-%d", i)),
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "db"}}}
	pod := &corev1.Pod{ObjectMeta: meta(fmt.Sprintf("pod-%d", i))}
	pod.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "db"},
	}}}
	claim := func(name string) *corev1.PersistentVolumeClaim {
		pvc := &corev1.PersistentVolumeClaim{ObjectMeta: meta(name)}
		pvc.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
		pvc.Spec.VolumeName, pvc.Status.Phase = "pv-"+name, corev1.ClaimBound
		return pvc
	}
	volume := func(pvc *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: pvc.Spec.VolumeName}}
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: pvc.Namespace, Name: pvc.Name, UID: pvc.UID}
		pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		pv.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
		return pv
	}
	shared, own := claim(fmt.Sprintf("item-%d", i)), claim(fmt.Sprintf("template-0-db-%d", i))
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("class-%d", i),
		Annotations: map[string]string{cluster.AnnotationDefaultClass: "true"}}}
	return []cluster.Object{sts, svc, pod, shared, own, volume(shared), volume(own), class,
		node(fmt.Sprintf("node-%d", i))}
}
