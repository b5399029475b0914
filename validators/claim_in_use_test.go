package validators

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
)

// TestClaimInUse holds what no manifest can say: objects that are being
// deleted, uids, and who wrote a field.
func TestClaimInUse(t *testing.T) {
	now := metav1.Now()
	labels := map[string]string{"app": "db"}
	claim := func(edit func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		pvc := &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data-db-0", UID: "1", Labels: labels},
			Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "disk"},
		}
		if edit != nil {
			edit(pvc)
		}
		return pvc
	}
	disk := func(policy corev1.PersistentVolumeReclaimPolicy) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "disk"},
			Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeReclaimPolicy: policy,
				ClaimRef:                      &corev1.ObjectReference{Namespace: "default", Name: "data-db-0", UID: "1"},
			},
		}
	}
	sts := func(deleted *metav1.Time) *appsv1.StatefulSet {
		return &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db", DeletionTimestamp: deleted},
			Spec: appsv1.StatefulSetSpec{
				Selector:             &metav1.LabelSelector{MatchLabels: labels},
				VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}},
			},
		}
	}
	written := func(pvc *corev1.PersistentVolumeClaim) {
		pvc.ManagedFields = []metav1.ManagedFieldsEntry{{
			Manager:  "kube-controller-manager",
			FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:accessModes":{}}}`),
		}}
	}
	owned := func(kind, name string) func(*corev1.PersistentVolumeClaim) {
		return func(pvc *corev1.PersistentVolumeClaim) {
			pvc.OwnerReferences = []metav1.OwnerReference{{APIVersion: map[string]string{"Pod": "v1",
				"StatefulSet": "apps/v1"}[kind], Kind: kind, Name: name, Controller: new(true)}}
		}
	}
	both := func(edits ...func(*corev1.PersistentVolumeClaim)) func(*corev1.PersistentVolumeClaim) {
		return func(pvc *corev1.PersistentVolumeClaim) {
			for _, edit := range edits {
				edit(pvc)
			}
		}
	}
	shared := func(pvc *corev1.PersistentVolumeClaim) {
		pvc.OwnerReferences = append(pvc.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap",
			Name: "c", UID: "c"})
	}
	foreign := func(controls bool) func(*corev1.PersistentVolumeClaim) {
		return func(pvc *corev1.PersistentVolumeClaim) {
			pvc.OwnerReferences = []metav1.OwnerReference{{APIVersion: "search.example.com/v1", Kind: "Search", Name: "s",
				UID: "s", Controller: &controls}}
		}
	}
	called := func(sts *appsv1.StatefulSet, uid types.UID) *appsv1.StatefulSet {
		sts = sts.DeepCopy()
		sts.UID, sts.Spec.VolumeClaimTemplates = uid, nil
		return sts
	}
	podNamed := func(name, ephemeral string, created metav1.Time) *corev1.Pod {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, CreationTimestamp: created}}
		if ephemeral != "" {
			pod.Spec.Volumes = []corev1.Volume{{Name: ephemeral,
				VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
		}
		return pod
	}
	none := sts(nil)
	none.Spec.Replicas = new(int32)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db-0", DeletionTimestamp: &now},
		Spec: corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-db-0"},
		}}}},
	}
	for name, test := range map[string]struct {
		pvc   *corev1.PersistentVolumeClaim
		world []cluster.Object
		want  []Level
	}{
		"a StatefulSet that nothing has defaulted has one replica": {
			claim(nil), []cluster.Object{sts(nil)}, []Level{Deny},
		},
		"a StatefulSet that is being deleted, and its Pods, let the claim go": {
			claim(nil), []cluster.Object{sts(&now), pod, disk(corev1.PersistentVolumeReclaimRetain)}, nil,
		},
		"unless the disk would be destroyed": {
			claim(nil), []cluster.Object{sts(&now), disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"the volume of an earlier claim of that name is not the claim's": {
			claim(func(pvc *corev1.PersistentVolumeClaim) { pvc.UID = "2" }), []cluster.Object{sts(&now),
				disk(corev1.PersistentVolumeReclaimDelete)}, nil,
		},
		"the controller wrote the claim, whose StatefulSet is gone": {
			claim(written), []cluster.Object{disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"a StatefulSet that owns its claims, by whenDeleted: Delete, still needs them": {
			claim(owned("StatefulSet", "db")), []cluster.Object{sts(nil), disk(corev1.PersistentVolumeReclaimDelete)},
			[]Level{Deny},
		},
		"while it is being deleted, which it may be for ever": {
			claim(owned("StatefulSet", "db")), []cluster.Object{sts(&now), disk(corev1.PersistentVolumeReclaimDelete)},
			[]Level{Deny},
		},
		"until it is gone: the garbage collector is on its way": {
			claim(both(written, owned("StatefulSet", "db"))), []cluster.Object{disk(corev1.PersistentVolumeReclaimDelete)}, nil,
		},
		"unless something else owns the claim, too": {
			claim(both(written, owned("StatefulSet", "db"), shared)),
			[]cluster.Object{disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"another StatefulSet of its name is there": {
			claim(both(written, owned("StatefulSet", "db"))), []cluster.Object{called(none, "2"),
				disk(corev1.PersistentVolumeReclaimDelete)}, nil,
		},
		"a Pod that lives was written on the claim of a StatefulSet that is gone": {
			claim(both(written, owned("Pod", "db-0"))), []cluster.Object{podNamed("db-0", "", now),
				disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"one that is called as if the claim were of its ephemeral volume": {
			claim(both(written, owned("Pod", "data"))), []cluster.Object{podNamed("data", "", now),
				disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"one that has such a volume, and is younger than the claim": {
			claim(both(written, owned("Pod", "data"))), []cluster.Object{podNamed("data", "db-0", now),
				disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"one that cannot be, and another owner": {
			claim(both(written, owned("Pod", "data"), shared)), []cluster.Object{disk(corev1.PersistentVolumeReclaimDelete)},
			[]Level{Deny},
		},
		"the claim is of an ephemeral volume": {
			claim(both(written, owned("Pod", "data"))), []cluster.Object{podNamed("data", "db-0", metav1.Time{}),
				disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Warn},
		},
		"so it was, and its Pod is gone": {
			claim(both(written, owned("Pod", "data"))), []cluster.Object{disk(corev1.PersistentVolumeReclaimDelete)},
			[]Level{Warn},
		},
		"a custom resource that does not control the claim buys nothing": {
			claim(both(written, foreign(false))), []cluster.Object{disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"nor does one that does": {
			claim(both(written, foreign(true))), []cluster.Object{disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"no StatefulSet made the claim that a custom resource controls": {
			claim(foreign(true)), []cluster.Object{disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Warn},
		},
		"so it is for the claim of a condemned Pod, by whenScaled: Delete": {
			claim(owned("Pod", "db-0")), []cluster.Object{none, disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Warn},
		},
		"any other owner buys nothing": {
			claim(owned("Pod", "other")), []cluster.Object{sts(nil), disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"somebody else did": {
			claim(nil), []cluster.Object{disk(corev1.PersistentVolumeReclaimDelete)}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			snap := &cluster.Snapshot{Complete: true}
			if err := snap.Add(test.world...); err != nil {
				t.Fatal(err)
			}
			view := cluster.Environment{Source: snap}.View(context.Background(), cluster.Request{})
			found, undecided := Review(view, []*Rule{claimInUse}, test.pvc, nil)
			var got []Level
			for _, f := range found {
				got = append(got, f.Level)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || len(undecided) > 0 {
				t.Errorf("levels (-want +got):\n%s%v%v", diff, found, undecided)
			}
		})
	}
}

// TestClaimInUseSince has claims with the condition Unused, in each answer that says
// since when, with names of any length.
func TestClaimInUseSince(t *testing.T) {
	const since = "no Pod has used it since at least 2026-08-01"
	long := strings.Repeat("n", 22)
	mount := func(claim string) (template corev1.PodTemplateSpec) {
		template.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
		return template
	}
	type world struct {
		pvc  *corev1.PersistentVolumeClaim
		pv   *corev1.PersistentVolume
		objs []cluster.Object
		at   cluster.Versions
	}
	answer := func(name string, edit func(w *world)) (found []Finding) {
		meta := metav1.ObjectMeta{Namespace: name, Name: "data-" + name + "-0", UID: "1"}
		w := &world{at: cluster.AnyPatch(37), pvc: &corev1.PersistentVolumeClaim{ObjectMeta: meta,
			Spec: corev1.PersistentVolumeClaimSpec{VolumeName: name},
			Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound,
				Conditions: []corev1.PersistentVolumeClaimCondition{{Type: corev1.PersistentVolumeClaimUnused,
					Status:             corev1.ConditionTrue,
					LastTransitionTime: metav1.Date(2026, 8, 1, 23, 59, 0, 0, time.FixedZone("", 3600))}}}}}
		w.pv = &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
		w.pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		w.pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: name, Name: meta.Name, UID: "1"}
		edit(w)
		snap := &cluster.Snapshot{Complete: true}
		if err := snap.Add(append(w.objs, w.pv)...); err != nil {
			t.Fatal(err)
		}
		view := cluster.Environment{Source: snap, Kubernetes: w.at}.View(t.Context(), cluster.Request{})
		found, undecided := Review(view, []*Rule{claimInUse}, w.pvc, nil)
		if len(undecided) > 0 {
			t.Fatal(undecided)
		}
		return found
	}
	gone := func(name string) func(*world) { // a StatefulSet that the volume remembers
		return func(w *world) {
			w.pv.Annotations = map[string]string{cluster.AnnotationClaimOf: name + "/data/0"}
		}
	}
	for what, outcome := range map[string]func(name string) func(*world){
		"the StatefulSet is gone": gone,
		"scaled to zero, and the data may go": func(name string) func(*world) {
			return func(w *world) {
				sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: name}}
				sts.Spec.Replicas = new(int32)
				sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
				w.pvc.Annotations = map[string]string{cluster.AnnotationReclaim: "Delete"}
				w.objs = append(w.objs, sts)
			}
		},
		"controlled, and destroyed": func(string) func(*world) {
			return func(w *world) {
				w.pvc.OwnerReferences = []metav1.OwnerReference{{APIVersion: "db.example.com/v1", Kind: "Cluster",
					Name: "pg", Controller: new(true)}}
			}
		},
		"mounted by a StatefulSet, and kept": func(name string) func(*world) {
			return func(w *world) {
				w.pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
				w.objs = append(w.objs, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "other"},
					Spec: appsv1.StatefulSetSpec{Template: mount(w.pvc.Name)}})
			}
		},
		"mounted by a Deployment": func(name string) func(*world) {
			return func(w *world) {
				w.objs = append(w.objs, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "other"},
					Spec: appsv1.DeploymentSpec{Template: mount(w.pvc.Name)}})
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			found := answer("db", outcome("db"))
			if len(found) != 1 || !strings.Contains(found[0].String(), since) {
				t.Errorf("%v, want %q", found, since)
			}
			for _, f := range append(found, answer(long, outcome(long))...) {
				checkMessage(t, f)
			}
		})
	}
	for what, jobs := range map[string]struct {
		edit func(*batchv1.Job)
		said bool
	}{
		"a Job that has not ended": {func(*batchv1.Job) {}, true},
		"a Job that has ended": {func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
		}, false},
		"a CronJob's, which is the one to name": {func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "c",
				Controller: new(true)}}
		}, false},
	} {
		found := answer("db", func(w *world) {
			j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "db", Name: "j"},
				Spec: batchv1.JobSpec{Template: mount(w.pvc.Name)}}
			jobs.edit(j)
			w.objs = append(w.objs, j)
		})
		if said := strings.Contains(fmt.Sprint(found), "is mounted by Job j"); said != jobs.said {
			t.Errorf("%s: %v", what, found)
		}
	}
	for what, edit := range map[string]func(*world){
		"a Pod is about to use it": func(w *world) {
			w.objs = append(w.objs, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "db", Name: "p"},
				Spec: mount(w.pvc.Name).Spec})
		},
		"a Pod uses it":      func(w *world) { w.pvc.Status.Conditions[0].Status = corev1.ConditionFalse },
		"it is Pending":      func(w *world) { w.pvc.Status.Phase = corev1.ClaimPending },
		"1.36":               func(w *world) { w.at = cluster.AnyPatch(36) },
		"one server of each": func(w *world) { w.at = cluster.AnyPatch(36).With(cluster.AnyPatch(37)) },
		"unknown":            func(w *world) { w.at = cluster.Versions{} },
	} {
		found := answer("db", func(w *world) { gone("db")(w); edit(w) })
		if len(found) == 0 || strings.Contains(fmt.Sprint(found), "since") {
			t.Errorf("%s: %v", what, found)
		}
	}
}
