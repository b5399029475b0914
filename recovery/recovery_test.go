package recovery

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"stayput.dev/cluster"
)

// released is a volume whose claim is gone.
func released(edit func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", Annotations: map[string]string{"stayput.dev/claim-of": "db/data/0"}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{"storage": resource.MustParse("1Gi")},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{"ReadWriteOnce"},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain, StorageClassName: "disk",
			ClaimRef: &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: "prod", Name: "data-db-0", UID: "old",
				ResourceVersion: "7"},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased},
	}
	if edit != nil {
		edit(pv)
	}
	return pv
}

func recoveryOf(fail interceptor.Funcs, objs ...client.Object) *Recovery {
	objs = append(objs, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "prod"}})
	return &Recovery{Client: fake.NewClientBuilder().WithObjects(objs...).WithInterceptorFuncs(fail).Build(),
		Wait: 50 * time.Millisecond}
}

// TestUndo has the creation of the claim fail though the dry run did not, as
// where somebody is faster: the volume is then as it was, even if the command
// is interrupted at that moment.
func TestUndo(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	r := recoveryOf(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, obj client.Object,
		opts ...client.CreateOption) error {
		if o := (&client.CreateOptions{}).ApplyOptions(opts); len(o.DryRun) > 0 {
			return nil
		}
		interrupt()
		return errors.New("somebody was faster")
	}}, released(nil))
	p, err := r.PlanClaim(ctx, "prod", "data-db-0", "")
	if err != nil {
		t.Fatal(err)
	}
	err = r.Do(ctx, p)
	if err == nil || !strings.Contains(err.Error(), "somebody was faster") ||
		!strings.Contains(err.Error(), "volume pvc-1 is as it was") {
		t.Errorf("%v", err)
	}
	pv := new(corev1.PersistentVolume)
	if err := r.Client.Get(t.Context(), client.ObjectKey{Name: "pvc-1"}, pv); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(released(nil).Spec.ClaimRef, pv.Spec.ClaimRef); diff != "" {
		t.Error(diff)
	}
}

// TestResume is interrupted at each step, and run again.
func TestResume(t *testing.T) {
	r := recoveryOf(interceptor.Funcs{}, released(nil))
	for range 2 {
		p, err := r.PlanClaim(t.Context(), "prod", "data-db-0", "")
		if err != nil {
			t.Fatal(err)
		}
		// Nobody binds here, and so it ends in the middle each time.
		if err := r.Do(t.Context(), p); err == nil || !strings.Contains(err.Error(), "run again to go on waiting") {
			t.Error(err)
		}
	}
	reserved := released(func(pv *corev1.PersistentVolume) {
		pv.Spec.ClaimRef.UID, pv.Spec.ClaimRef.ResourceVersion, pv.Status.Phase = "", "", corev1.VolumeAvailable
	})
	p, err := recoveryOf(interceptor.Funcs{}, reserved).PlanClaim(t.Context(), "prod", "data-db-0", "")
	if err != nil || p.Made || p.Done {
		t.Fatalf("%+v, %v", p, err)
	}
	commands, err := p.Commands()
	if err != nil || strings.Contains(commands, "patch pv") || !strings.Contains(commands,
		"stayput.dev/claim-of: db/data/0") {
		t.Errorf("%v\n%s", err, commands)
	}
}

// TestAFailedVolume gives back one whose deletion failed, and that was retained then.
func TestAFailedVolume(t *testing.T) {
	failed := released(func(pv *corev1.PersistentVolume) { pv.Status.Phase = corev1.VolumeFailed })
	r := recoveryOf(interceptor.Funcs{}, failed)
	if all, err := r.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("it is not listed: %v, %v", all, err)
	}
	if p, err := r.PlanClaim(t.Context(), "prod", "data-db-0", ""); err != nil || p.Volume.Name != failed.Name {
		t.Errorf("it is not planned with: %v", err)
	}
}

// TestAClaimMadeAnew has a claim in the place of the one that is gone, which no Pod
// uses.
func TestAClaimMadeAnew(t *testing.T) {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "data-db-0", UID: "new"},
		Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pvc-2"},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound,
			Conditions: []corev1.PersistentVolumeClaimCondition{{Type: corev1.PersistentVolumeClaimUnused,
				Status: corev1.ConditionTrue, LastTransitionTime: metav1.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)}}}}
	for minor, want := range map[int]string{37: "no Pod has used it since at least 2026-08-01", 36: ""} {
		r := recoveryOf(interceptor.Funcs{}, released(nil), claim)
		r.Kubernetes = cluster.AnyPatch(minor)
		all, err := r.List(t.Context())
		if err != nil || len(all) != 1 || all[0].Now == nil || all[0].Unused != want {
			t.Errorf("1.%d: listed %+v, %v", minor, all, err)
		}
		_, err = r.PlanClaim(t.Context(), "prod", "data-db-0", "")
		if text := "is bound to volume pvc-2; " + want; err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("1.%d: %v", minor, err)
		}
		r = recoveryOf(interceptor.Funcs{}, claim)
		r.Kubernetes = cluster.AnyPatch(minor)
		if p, err := r.PlanClaim(t.Context(), "prod", "data-db-0", ""); err != nil || !p.Done || p.Unused != want {
			t.Errorf("1.%d: planned %+v, %v", minor, p, err)
		}
	}
	mayNotList := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList,
		opts ...client.ListOption) error {
		if _, claims := list.(*corev1.PersistentVolumeClaimList); claims {
			return apierrors.NewForbidden(corev1.Resource("persistentvolumeclaims"), "", nil)
		}
		return c.List(ctx, list, opts...)
	}}
	if all, err := recoveryOf(mayNotList, released(nil), claim).List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("claims may not be listed: %v, %v", all, err)
	}
}

func TestRefusedVolumes(t *testing.T) {
	now := metav1.Now()
	for want, edit := range map[string]func(*corev1.PersistentVolume){
		"its provisioner is destroying it": func(pv *corev1.PersistentVolume) {
			pv.Spec.PersistentVolumeReclaimPolicy = "Delete"
		},
		"is Bound, not Released": func(pv *corev1.PersistentVolume) { pv.Status.Phase = corev1.VolumeBound },
		"is being deleted": func(pv *corev1.PersistentVolume) {
			pv.DeletionTimestamp, pv.Finalizers = &now, []string{"kubernetes.io/pv-protection"}
		},
	} {
		_, err := recoveryOf(interceptor.Funcs{}, released(edit)).PlanClaim(t.Context(), "prod", "data-db-0", "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
