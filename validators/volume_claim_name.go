package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

var volumeClaimName = &Rule{
	Name:  "volume-claim-name",
	Level: Warn,
	Loses: LosesData,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}, &appsv1.StatefulSet{}},
	Doc: `a volume must be reserved for a claim by the name that the claim has

A claimRef keeps a volume for one claim. Tools that add a prefix or a suffix to
names, such as kustomize, do not change it: the volume with the data is then
reserved for a claim that never exists, and the intended claim is Pending, or
gets a new, empty volume of its class. The rule looks for a claim whose name
differs by a prefix or a suffix alone, and which has no volume yet or will be
made by a StatefulSet; the remedy names it. If there is no such claim, the rule
is silent, because the claim may be created after its volume.`,

	Exempt: "the claim is made later, and the other one is meant for another volume",

	Checks: []Check{OnCreate(func(p *Pass, pv *corev1.PersistentVolume) error {
		ref := pv.Spec.ClaimRef
		if ref == nil || ref.UID != "" || ref.Name == "" || ref.Namespace == "" {
			return nil
		}
		pvc, err := cluster.Get[corev1.PersistentVolumeClaim](p.Cluster, ref.Namespace, ref.Name)
		if err != nil {
			return fmt.Errorf("get PersistentVolumeClaim %s: %w", ref.Name, err)
		}
		if pvc != nil {
			return nil
		}
		sets, unknown := cluster.List[appsv1.StatefulSetList](p.Cluster, cluster.InNamespace(ref.Namespace))
		if !p.presumed(unknown) {
			return fmt.Errorf("list StatefulSets: %w", unknown)
		}
		var other string
		if sets != nil {
			var awaited bool
			if other, awaited = madeLike(ref.Name, sets.Items); awaited {
				return nil
			}
		}
		list, err := cluster.List[corev1.PersistentVolumeClaimList](p.Cluster, cluster.InNamespace(ref.Namespace))
		if err != nil {
			return fmt.Errorf("list PersistentVolumeClaims: %w", err)
		}
		var names []string
		for i := range list.Items {
			if c := &list.Items[i]; c.Spec.VolumeName == "" && ordinalIn(c.Name) == ordinalIn(ref.Name) {
				names = append(names, c.Name)
			}
		}
		if other == "" {
			other = affixedOf(ref.Name, names)
		}
		if other == "" {
			return unknown
		}
		p.Report(notFound(specPath.Child("claimRef", "name"), ref.Name,
			fmt.Sprintf("must exist, or the volume is kept for nobody; claim %s, which may be meant, does not get it", other)),
			p.Mend(fmt.Sprintf("claimRef: {namespace: %s, name: %s}", ref.Namespace, other),
				fmt.Sprintf(`kubectl patch pv %s -p '{"spec":{"claimRef":{"name":"%s"}}}'`, pv.Name, other)))
		return unknown
	})},
}

// madeLike returns the claim that one of some StatefulSets makes whose name differs from
// the given one by what stands before or behind the name of the StatefulSet, "" if none
// or several do; and whether one makes the given one itself.
func madeLike(claim string, sets []appsv1.StatefulSet) (other string, awaited bool) {
	var found []string
	for i := range sets {
		sts := &sets[i]
		for _, t := range sts.Spec.VolumeClaimTemplates {
			rest, ok := strings.CutPrefix(claim, t.Name+"-")
			ordinal := ordinalIn(rest)
			if !ok || ordinal == "" {
				continue
			}
			name := strings.TrimSuffix(rest, "-"+ordinal)
			switch {
			case name == sts.Name:
				return "", true
			case affixed(name, sts.Name) || affixed(sts.Name, name):
				found = append(found, t.Name+"-"+sts.Name+"-"+ordinal)
			}
		}
	}
	if slices.Sort(found); len(slices.Compact(found)) == 1 {
		return found[0], false
	}
	return "", false
}

// ordinalIn returns the number behind the last dash of a name, or "".
func ordinalIn(name string) string {
	last := name[strings.LastIndexByte(name, '-')+1:]
	if last == name || strings.Trim(last, "0123456789") != "" {
		return ""
	}
	return last
}
