package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
)

// A Plan gives one volume back to a claim with its former claim's name.
type Plan struct {
	Volume Volume
	Claim  *corev1.PersistentVolumeClaim // the claim to make, or the existing one
	Made   bool                          // the claim exists
	Done   bool                          // the claim exists and is bound to the volume

	// Unused says of a claim that is bound to the volume since when no Pod has used
	// it, as a clause, or is "" if that is not known.
	Unused string
}

// PlanClaim makes the plan for one claim. If it had several volumes, volume
// names the one to give back. The error says why there is no plan.
func (r *Recovery) PlanClaim(ctx context.Context, namespace, name, volume string) (*Plan, error) {
	if err := r.checkNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	all, err := r.volumes(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.plan(ctx, namespace, name, volume, all)
	if err != nil {
		return nil, fmt.Errorf("claim %s/%s: %w", namespace, name, err)
	}
	return p, nil
}

// PlanStatefulSet makes the plans for all claims of a StatefulSet, which need
// not exist. The error names all claims without a plan, and the reasons.
func (r *Recovery) PlanStatefulSet(ctx context.Context, namespace, name string) ([]*Plan, error) {
	if err := r.checkNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	all, err := r.volumes(ctx)
	if err != nil {
		return nil, err
	}
	var plans []*Plan
	var problems []error
	seen := map[string]bool{}
	for _, v := range all {
		if v.Namespace != namespace || seen[v.Claim] {
			continue
		}
		if v.StatefulSet == "" {
			// Without a record, an existing StatefulSet may tell whose claim it
			// was.
			if v.StatefulSet, err = r.liveOwner(ctx, v); err != nil {
				return nil, err
			}
		}
		if v.StatefulSet != name {
			continue
		}
		seen[v.Claim] = true
		p, err := r.plan(ctx, namespace, v.Claim, "", all)
		if err != nil {
			problems = append(problems, fmt.Errorf("claim %s/%s: %w", namespace, v.Claim, err))
			continue
		}
		plans = append(plans, p)
	}
	if len(seen) == 0 {
		return nil, fmt.Errorf("no volume was claimed for StatefulSet %s/%s; stayput recover lists those there are",
			namespace, name)
	}
	return plans, errors.Join(problems...)
}

func (r *Recovery) checkNamespace(ctx context.Context, name string) error {
	ns, err := cluster.Get[corev1.Namespace](r.view(ctx), "", name)
	switch {
	case err != nil:
		return fmt.Errorf("get Namespace %s: %w", name, err)
	case ns == nil:
		return fmt.Errorf("namespace %s does not exist; make it first: kubectl create namespace %s", name, name)
	case ns.DeletionTimestamp != nil:
		return fmt.Errorf("namespace %s is being deleted; wait until it is gone, and make it again: kubectl create "+
			"namespace %s", name, name)
	}
	return nil
}

func (r *Recovery) view(ctx context.Context) *cluster.View {
	return cluster.Environment{Source: cache.Reader(r.Client), Kubernetes: r.Kubernetes}.View(ctx, cluster.Request{})
}

func (r *Recovery) plan(ctx context.Context, namespace, name, volume string, all []Volume) (*Plan, error) {
	view := r.view(ctx)
	claim, err := cluster.Get[corev1.PersistentVolumeClaim](view, namespace, name)
	if err != nil {
		return nil, fmt.Errorf("get it: %w", err)
	}
	var had []Volume // volumes that the claim had, and may have again
	for _, v := range all {
		if v.Namespace != namespace || v.Claim != name || volume != "" && v.Name != volume {
			continue
		}
		if claim != nil && v.Spec.ClaimRef.UID == claim.UID && claim.Spec.VolumeName == v.Name {
			if claim.Status.Phase == corev1.ClaimBound {
				continue // the claim has it
			}
			return &Plan{Volume: v, Claim: claim, Made: true}, nil // about to be bound
		}
		had = append(had, v)
	}
	if claim != nil {
		unused := cluster.SinceUnused(cluster.UnusedSince(view, claim))
		if err := refuseClaim(claim, had, unused); err != nil {
			return nil, err
		}
		if claim.Status.Phase == corev1.ClaimBound {
			return &Plan{Volume: volumeNamed(all, claim.Spec.VolumeName), Claim: claim, Made: true, Done: true,
				Unused: unused}, nil
		}
		had = slices.DeleteFunc(had, func(v Volume) bool { return v.Name != claim.Spec.VolumeName })
	}
	v, err := choose(had)
	if err != nil {
		return nil, err
	}
	sts, template, err := r.template(ctx, v)
	if err != nil {
		return nil, err
	}
	if template != nil {
		if err := misfit(v, sts, template); err != nil {
			return nil, err
		}
	}
	if claim != nil {
		return &Plan{Volume: v, Claim: claim, Made: true}, nil
	}
	return &Plan{Volume: v, Claim: claimFor(v, sts, template)}, nil
}

// refuseClaim returns why an existing claim prevents the plan. Unused is as in [Plan].
func refuseClaim(claim *corev1.PersistentVolumeClaim, had []Volume, unused string) error {
	if unused != "" {
		unused = "; " + unused
	}
	name := claim.Name + " -n " + claim.Namespace
	switch {
	case claim.DeletionTimestamp != nil:
		return errors.New("it is being deleted; stop the Pods that mount it, wait until it is gone, and run again")
	case claim.Status.Phase == corev1.ClaimBound && len(had) > 0:
		return fmt.Errorf("it exists, and is bound to volume %s%s; its data would be another's; to have volume %s in its "+
			"place, stop the Pods that mount the claim, keep what is on the other by kubectl patch pv %s -p "+
			"'{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}', then kubectl delete pvc %s, and run again with "+
			"--volume %s",
			claim.Spec.VolumeName, unused, had[0].Name, claim.Spec.VolumeName, name, had[0].Name)
	case claim.Status.Phase == corev1.ClaimBound:
		return nil
	case !slices.ContainsFunc(had, func(v Volume) bool { return v.Name == claim.Spec.VolumeName }):
		return fmt.Errorf("it exists, is %s and may get another volume at any moment; stop the Pods that mount it, kubectl "+
			"delete pvc %s, and run again", claim.Status.Phase, name)
	}
	return nil
}

func volumeNamed(all []Volume, name string) Volume {
	if i := slices.IndexFunc(all, func(v Volume) bool { return v.Name == name }); i >= 0 {
		return all[i]
	}
	return Volume{PersistentVolume: &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}}
}

// choose returns the only volume that can be given back.
func choose(had []Volume) (Volume, error) {
	switch len(had) {
	case 0:
		return Volume{}, errors.New("no volume was claimed by it that is not its own now; stayput recover lists those " +
			"there are")
	case 1:
	default:
		var names []string
		for _, v := range had {
			names = append(names, fmt.Sprintf("--volume %s (made %s)", v.Name,
				v.CreationTimestamp.UTC().Format("2006-01-02 15:04:05")))
		}
		return Volume{}, fmt.Errorf("it had %d volumes; choose one: %s", len(had), strings.Join(names, " or "))
	}
	v := had[0]
	switch reserved := v.Spec.ClaimRef.UID == ""; {
	case v.DeletionTimestamp != nil:
		return v, fmt.Errorf("volume %s is being deleted", v.Name)
	case v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain:
		return v, fmt.Errorf("volume %s has the reclaim policy %s, so its provisioner is destroying it; if anything is "+
			"left: kubectl annotate pv %s --overwrite %s=Retain, kubectl patch pv %s -p "+
			"'{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}', and run again",
			v.Name, v.Spec.PersistentVolumeReclaimPolicy, v.Name, cluster.AnnotationReclaim, v.Name)
	case v.Status.Phase != corev1.VolumeReleased && !v.failed() && !reserved:
		return v, fmt.Errorf("volume %s is %s, not Released; if its claim has just been deleted, run again in a moment",
			v.Name, v.Status.Phase)
	}
	return v, nil
}
