// Package recovery finds volumes that outlived their claims, and gives them
// back.
package recovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// A Volume is a volume whose claim is gone.
type Volume struct {
	*corev1.PersistentVolume
	Namespace, Claim string // of the former claim

	// StatefulSet, Template and Ordinal are known if the volume has a record of
	// them. Without Template, the StatefulSet mounted the claim by its name.
	StatefulSet, Template string
	Ordinal               int

	// Now is the claim of that name that exists, and Unused says of it since when
	// no Pod has used it, as a clause. [Recovery.List] sets them, where claims may
	// be listed.
	Now    *corev1.PersistentVolumeClaim
	Unused string
}

// Recovery works on one cluster.
type Recovery struct {
	Client client.Client
	Wait   time.Duration // how long binding may take

	// Kubernetes are the releases of the API servers, which decide whether a claim
	// tells since when no Pod has used it.
	Kubernetes cluster.Versions
}

// List returns the Released volumes, and the Failed ones that are retained, sorted by namespace and claim, the newest
// first of several of one claim.
func (r *Recovery) List(ctx context.Context) ([]Volume, error) {
	all, err := r.volumes(ctx)
	all = slices.DeleteFunc(all, func(v Volume) bool {
		return v.Status.Phase != corev1.VolumeReleased && !v.failed()
	})
	if err != nil || len(all) == 0 {
		return all, err
	}
	view := r.view(ctx)
	claims, err := cluster.List[corev1.PersistentVolumeClaimList](view, cluster.Selection{})
	if apierrors.IsForbidden(err) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	now := map[types.NamespacedName]*corev1.PersistentVolumeClaim{}
	for i := range claims.Items {
		now[cluster.KeyOf(&claims.Items[i])] = &claims.Items[i]
	}
	for i := range all {
		v := &all[i]
		if v.Now = now[types.NamespacedName{Namespace: v.Namespace, Name: v.Claim}]; v.Now != nil {
			v.Unused = cluster.SinceUnused(cluster.UnusedSince(view, v.Now))
		}
	}
	return all, nil
}

// volumes returns all volumes with a claimRef.
func (r *Recovery) volumes(ctx context.Context) ([]Volume, error) {
	list := new(corev1.PersistentVolumeList)
	if err := r.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	var all []Volume
	for i := range list.Items {
		pv := &list.Items[i]
		if pv.Spec.ClaimRef == nil {
			continue
		}
		v := Volume{PersistentVolume: pv, Namespace: pv.Spec.ClaimRef.Namespace, Claim: pv.Spec.ClaimRef.Name}
		if r, ok := cluster.RecordOf(pv); ok {
			v.StatefulSet, v.Template, v.Ordinal = r.StatefulSet, r.Template, r.Ordinal
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b Volume) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		if a.StatefulSet == b.StatefulSet && a.Template == b.Template && a.Ordinal != b.Ordinal {
			return a.Ordinal - b.Ordinal // data-db-10 after data-db-9
		}
		if c := strings.Compare(a.Claim, b.Claim); c != 0 {
			return c
		}
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	return all, nil
}

// Released returns the time when a volume's claim was deleted; zero if that is
// not known.
func (v Volume) Released() time.Time {
	if v.Status.LastPhaseTransitionTime == nil {
		return time.Time{}
	}
	return v.Status.LastPhaseTransitionTime.UTC()
}

// failed says whether the deletion of a volume failed, and it was retained then: it
// stays Failed, and is as good as Released.
func (v Volume) failed() bool {
	return v.Status.Phase == corev1.VolumeFailed &&
		v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain
}
