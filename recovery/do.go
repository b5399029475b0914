package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
)

// Do carries out a plan. If it fails, it undoes its changes; if it was
// interrupted, another run continues from there.
//
// It removes only the uid from the claimRef: the rest reserves the volume for a
// claim of that name, so that no other claim can take it meanwhile.
func (r *Recovery) Do(ctx context.Context, p *Plan) error {
	if p.Done {
		return nil
	}
	claim := p.Claim.DeepCopy()
	if !p.Made {
		// A dry run finds what quota or policy forbids before anything is
		// changed.
		if err := r.Client.Create(ctx, claim.DeepCopy(), client.DryRunAll); err != nil {
			return fmt.Errorf("nothing was changed: try to make claim %s/%s: %w", claim.Namespace, claim.Name, err)
		}
	}
	stale := p.Volume.PersistentVolume
	freed := stale.DeepCopy()
	if p.Made && stale.Spec.ClaimRef.UID == claim.UID {
		return r.bound(ctx, p, claim.UID)
	}
	if stale.Spec.ClaimRef.UID != "" {
		freed.Spec.ClaimRef.UID, freed.Spec.ClaimRef.ResourceVersion = "", ""
		if err := r.Client.Patch(ctx, freed, locked(stale)); err != nil {
			return fmt.Errorf("nothing was changed: reserve volume %s: %w", stale.Name, err)
		}
	}
	if !p.Made {
		if err := r.Client.Create(ctx, claim); err != nil {
			err = fmt.Errorf("make claim %s/%s: %w", claim.Namespace, claim.Name, err)
			return errors.Join(err, r.undo(ctx, stale, freed))
		}
	}
	return r.bound(ctx, p, claim.UID)
}

func locked(was *corev1.PersistentVolume) client.Patch {
	return client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
}

// undo makes a volume Released again, even if the command is interrupted.
func (r *Recovery) undo(ctx context.Context, stale, freed *corev1.PersistentVolume) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	back := freed.DeepCopy()
	back.Spec.ClaimRef = stale.Spec.ClaimRef.DeepCopy()
	if err := r.Client.Patch(ctx, back, locked(freed)); err != nil {
		return fmt.Errorf("volume %s is reserved for claim %s/%s, and for no other; run again: %w", stale.Name,
			stale.Spec.ClaimRef.Namespace, stale.Spec.ClaimRef.Name, err)
	}
	return fmt.Errorf("volume %s is as it was", stale.Name)
}

// bound waits until the claim and the volume are bound to each other.
func (r *Recovery) bound(ctx context.Context, p *Plan, uid types.UID) error {
	pvc, pv := new(corev1.PersistentVolumeClaim), new(corev1.PersistentVolume)
	err := wait.PollUntilContextTimeout(ctx, 250*time.Millisecond, r.Wait, true, func(ctx context.Context) (bool, error) {
		err := errors.Join(
			r.Client.Get(ctx, cluster.KeyOf(p.Claim), pvc),
			r.Client.Get(ctx, types.NamespacedName{Name: p.Volume.Name}, pv))
		if err != nil {
			return false, err
		}
		return pvc.UID == uid && pvc.Status.Phase == corev1.ClaimBound && pvc.Spec.VolumeName == pv.Name &&
			pv.Spec.ClaimRef != nil && pv.Spec.ClaimRef.UID == uid && pv.Status.Phase == corev1.VolumeBound, nil
	})
	if err != nil {
		return fmt.Errorf("wait until claim %s/%s is bound to volume %s (they are %s and %s; both are reserved for each "+
			"other, so run again to go on waiting): %w",
			p.Claim.Namespace, p.Claim.Name, p.Volume.Name, pvc.Status.Phase, pv.Status.Phase, err)
	}
	return nil
}

// Commands returns the equivalent kubectl commands.
func (p *Plan) Commands() (string, error) {
	var b strings.Builder
	ref := p.Volume.Spec.ClaimRef
	if ref != nil && ref.UID != "" && ref.UID != p.Claim.UID {
		stale := ""
		if ref.ResourceVersion != "" {
			stale = `,{"op":"remove","path":"/spec/claimRef/resourceVersion"}`
		}
		fmt.Fprintf(&b, "kubectl patch pv %s --type=json -p "+
			"'[{\"op\":\"test\",\"path\":\"/spec/claimRef/uid\",\"value\":\"%s\"},"+
			"{\"op\":\"remove\",\"path\":\"/spec/claimRef/uid\"}%s]'\n", p.Volume.Name, ref.UID, stale)
	}
	if !p.Made {
		obj, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p.Claim)
		if err != nil {
			return "", fmt.Errorf("print the claim: %w", err)
		}
		delete(obj, "status")
		delete(obj["metadata"].(map[string]any), "creationTimestamp")
		data, err := yaml.Marshal(obj)
		if err != nil {
			return "", fmt.Errorf("print the claim: %w", err)
		}
		fmt.Fprintf(&b, "kubectl create -f - <<'EOF'\n%sEOF\n", data)
	}
	fmt.Fprintf(&b, "kubectl wait pvc/%s -n %s --for=jsonpath='{.status.phase}'=Bound\n", p.Claim.Name, p.Claim.Namespace)
	return b.String(), nil
}
