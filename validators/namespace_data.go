package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var namespaceData = &Rule{
	Name:      "namespace-data",
	Level:     Deny,
	Loses:     LosesData,
	SavesData: true,
	Reads: []cluster.Object{&appsv1.StatefulSet{}, &corev1.Namespace{}, &corev1.PersistentVolume{},
		&corev1.PersistentVolumeClaim{}},
	Doc: `a Namespace must not be deleted with volumes that go with it

Deleting a Namespace deletes its claims, and with each claim the volume whose
reclaim policy is Delete: the disks are gone within a minute, and nobody is
asked again. Once the Namespace is terminating, its deletion cannot be stopped.
The rule therefore denies the deletion where a StatefulSet keeps data in claims
that it made or mounts by name; for other claims it warns.

Set the volumes to Retain first; they stay, Released, when the claims are
deleted. If the data may be deleted, annotate the Namespace with
stayput.dev/reclaim-policy: Delete (or a claim or a volume, whose annotations
take precedence); the rule then ignores it. A volume that is itself being
deleted goes with its claim whatever its policy, and the rule warns of it: the
disk stays, but no object in the cluster refers to it.`,

	Exempt: "the namespace is a test's or a preview's, and its data goes with it",

	Checks: []Check{OnDelete(func(p *Pass, ns *corev1.Namespace) error {
		world := p.Cluster
		if live := world.Live(); live != nil {
			stale, err := unseenIn(world, live, ns.Name)
			if err != nil {
				return err
			}
			if stale {
				world = live
			}
		}
		doomed, leaving, err := doomedIn(world, ns.Name)
		if err != nil {
			return err
		}
		if len(leaving) > 0 {
			what := "volume " + leaving[0] + " is being deleted, and goes"
			if len(leaving) > 1 {
				what = fmt.Sprintf("%d volumes are being deleted, and go", len(leaving))
			}
			p.Warn(field.Forbidden(namePath, "leaves no trace of a disk: "+what+" with it"), "first "+saveCommand(leaving...))
			p.Briefly("first kubectl get pv -o yaml > volumes.yaml")
		}
		if len(doomed) == 0 {
			return nil
		}
		volumes, size := volumesOf(doomed)
		member, err := mournedMember(world, ns.Name, doomed)
		if err != nil {
			return err
		}
		keep := retainAll(ns.Name, volumes)
		if len(doomed) == 1 { // the command must fit a warning with the name that a provisioner gives a volume
			finding := field.Forbidden(namePath, fmt.Sprintf("must stay: the volume of %s (%s) is destroyed with it",
				doomed[0].claim.Name, &size))
			if member == "" {
				p.Warn(finding, keep)
				return nil
			}
			p.Report(finding, keep, "; or, to lose them, "+letGo(ns.Name, doomed))
			p.Briefly(keep)
			p.Loses(volumes...)
			return nil
		}
		what := fmt.Sprintf("must not be deleted with its data; the volumes (%s) of %d claims are destroyed", &size,
			len(doomed))
		if member == "" {
			p.Warn(field.Invalid(namePath, ns.Name, what), keep)
			return nil
		}
		p.Report(field.Invalid(namePath, ns.Name, what+", such as "+member+" of a StatefulSet"),
			keep, "; or, to lose them, "+letGo(ns.Name, doomed))
		p.Loses(volumes...)
		return nil
	})},
}

// unseenIn says whether a namespace has a bound claim that the cache does not
// know. A watch may be cut, and after the deletion of the namespace it is too
// late to ask.
func unseenIn(v, live *cluster.View, namespace string) (bool, error) {
	bound := map[string]string{} // names of volumes, by claim
	for _, view := range []*cluster.View{v, live} {
		claims, err := cluster.List[corev1.PersistentVolumeClaimList](view, cluster.InNamespace(namespace))
		if err != nil {
			return false, fmt.Errorf("list PersistentVolumeClaims: %w", err)
		}
		for _, c := range claims.Items {
			switch known, ok := bound[c.Name]; {
			case view == v:
				bound[c.Name] = c.Spec.VolumeName
			case c.Status.Phase == corev1.ClaimBound && (!ok || known != c.Spec.VolumeName):
				return true, nil
			}
		}
	}
	return false, nil
}

// A doomedClaim is one whose volume will be destroyed with it.
type doomedClaim struct {
	claim  *corev1.PersistentVolumeClaim
	volume *corev1.PersistentVolume
	kept   bool // an annotation of the volume or the claim itself retains it
}

// volumesOf returns the names of the volumes of claims, and their size in all.
func volumesOf(doomed []doomedClaim) (names []string, size resource.Quantity) {
	for _, d := range doomed {
		size.Add(d.volume.Spec.Capacity[corev1.ResourceStorage])
		names = append(names, d.volume.Name)
	}
	return names, size
}

// letGo returns the commands that permit the loss of data: for the namespace,
// and for each volume that an annotation of its own retains.
func letGo(namespace string, doomed []doomedClaim) string {
	var kept []string
	for _, d := range doomed {
		if d.kept {
			kept = append(kept, d.volume.Name)
		}
	}
	if len(kept) == 0 || len(kept) < len(doomed) {
		all := fmt.Sprintf("kubectl annotate namespace %s %s=Delete --overwrite", namespace, cluster.AnnotationReclaim)
		if len(kept) == 0 {
			return all
		}
		return all + " && " + annotateGo(kept)
	}
	return annotateGo(kept)
}

func annotateGo(volumes []string) string {
	const most = 5
	more := ""
	if len(volumes) > most {
		volumes, more = volumes[:most], ", and so on"
	}
	return fmt.Sprintf("kubectl annotate pv %s %s=Delete --overwrite%s", strings.Join(volumes, " "),
		cluster.AnnotationReclaim, more)
}

// doomedIn returns, sorted by name, the doomed claims of a namespace for which
// no annotation permits the loss, and the names of the volumes that are being
// deleted, and go with their claims though they are retained.
func doomedIn(v *cluster.View, namespace string) (doomed []doomedClaim, leaving []string, err error) {
	claims, err := cluster.List[corev1.PersistentVolumeClaimList](v, cluster.InNamespace(namespace))
	if err != nil {
		return nil, nil, fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	bound := map[string]*corev1.PersistentVolumeClaim{} // by name
	for i := range claims.Items {
		if c := &claims.Items[i]; c.Status.Phase == corev1.ClaimBound && c.DeletionTimestamp == nil {
			bound[c.Name] = c
		}
	}
	if len(bound) == 0 {
		return nil, nil, nil
	}
	// One long list replaces a request for each: the rate of a client is
	// limited, and so is the time that the API server waits.
	volumes, err := cluster.Find(v, cluster.VolumesByClaim, "", cluster.ClaimedIn(namespace))
	if err != nil {
		return nil, nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	for _, pv := range volumes { // those with a claimRef in the namespace
		c := bound[pv.Spec.ClaimRef.Name]
		if c == nil || c.Spec.VolumeName != pv.Name || !cluster.Reserves(pv, c) {
			continue
		}
		if forgotten(pv) {
			leaving = append(leaving, pv.Name)
		}
		if !destroysVolume(pv.Spec.PersistentVolumeReclaimPolicy) {
			continue
		}
		wanted, err := cluster.ReclaimByAnnotation(v, pv, c)
		if err != nil {
			return nil, nil, err
		}
		if wanted.Policy != corev1.PersistentVolumeReclaimDelete {
			doomed = append(doomed, doomedClaim{c, pv, wanted.Own()})
		}
	}
	slices.SortFunc(doomed, func(a, b doomedClaim) int { return strings.Compare(a.claim.Name, b.claim.Name) })
	slices.Sort(leaving)
	return doomed, leaving, nil
}

func destroysVolume(policy corev1.PersistentVolumeReclaimPolicy) bool {
	return policy == corev1.PersistentVolumeReclaimDelete || policy == corev1.PersistentVolumeReclaimRecycle
}

// mournedMember returns the name of a claim that a StatefulSet made or mounts,
// or "".
func mournedMember(v *cluster.View, namespace string, doomed []doomedClaim) (string, error) {
	sets, err := cluster.List[appsv1.StatefulSetList](v, cluster.InNamespace(namespace))
	if err != nil {
		return "", fmt.Errorf("list StatefulSets: %w", err)
	}
	for _, d := range doomed {
		if memberAmong(sets.Items, d) {
			return d.claim.Name, nil
		}
		made, err := cluster.MadeByStatefulSetNow(v, d.claim)
		if err != nil {
			return "", err
		}
		if made {
			return d.claim.Name, nil
		}
	}
	return "", nil
}

// memberAmong says whether a claim is a StatefulSet's: by the record of its
// volume, by its name, or because one that is not being deleted mounts it.
func memberAmong(sets []appsv1.StatefulSet, d doomedClaim) bool {
	if r, ok := cluster.ParseClaimRecord(d.volume.Annotations[cluster.AnnotationClaimOf]); ok && r.Mounted == "" {
		return true
	}
	return len(cluster.ClaimsAmong(sets, d.claim)) > 0 || slices.ContainsFunc(sets, func(sts appsv1.StatefulSet) bool {
		return sts.DeletionTimestamp == nil && cluster.Mounts(&sts, d.claim.Name)
	})
}

// retainAll returns the command that makes volumes outlive their claims. Where
// they are many, the command finds them itself.
func retainAll(namespace string, volumes []string) string {
	names := strings.Join(volumes, " ")
	if len(volumes) > 2 {
		names = fmt.Sprintf(`$(kubectl get pv -o jsonpath='{.items[?(@.spec.claimRef.namespace=="%s")].metadata.name}')`,
			namespace)
	}
	return fmt.Sprintf(`kubectl patch pv %s -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`, names)
}
