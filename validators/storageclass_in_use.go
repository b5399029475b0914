package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var storageclassInUse = &Rule{
	Name:      "storageclass-in-use",
	Level:     Warn,
	Loses:     LosesTime,
	NeverDeny: true,
	Reads:     []cluster.Object{&appsv1.StatefulSet{}, &storagev1.StorageClass{}},
	Doc: `a class that claim templates name should not be deleted

Volumes and bound claims stay as they are when their class is deleted. But a
claim template cannot be changed: the next claim that a StatefulSet creates from
it, for a new replica or for a member whose claim was deleted, is Pending until
a class of that name exists again. If the only default class is deleted, the
same is true for a template without a class. To change an immutable field of a
class, replace the class: kubectl replace --force -f FILE changes no volume.`,

	Exempt: "never: it only tells a person which StatefulSets name the class",

	Checks: []Check{OnDelete(func(p *Pass, sc *storagev1.StorageClass) error {
		fallback := false
		if isDefault(sc) {
			classes, err := listClasses(p.Cluster)
			if err != nil {
				return err
			}
			others := slices.DeleteFunc(slices.Clone(classes), func(c storagev1.StorageClass) bool { return c.Name == sc.Name })
			fallback = defaultClass(others) == nil
		}
		sets, err := cluster.List[appsv1.StatefulSetList](p.Cluster, cluster.Selection{})
		if err != nil {
			return fmt.Errorf("list StatefulSets: %w", err)
		}
		var names []string
		for i := range sets.Items {
			if sts := &sets.Items[i]; sts.DeletionTimestamp == nil && makesOf(sts, sc.Name, fallback) {
				names = append(names, sts.Namespace+"/"+sts.Name)
			}
		}
		if len(names) == 0 {
			return nil
		}
		slices.Sort(names)
		of := names[0]
		if len(names) > 1 { // they may be hundreds, in as many namespaces
			of += fmt.Sprintf(" and %d more", len(names)-1)
		}
		p.Report(field.Invalid(namePath, sc.Name, fmt.Sprintf("must exist for the claim templates of %s; new claims of them "+
			"stay Pending", of)), "make a class of that name again, as kubectl replace --force -f FILE does")
		return nil
	})},
}

// makesOf says whether a claim template of a StatefulSet names a class or, if
// unnamed is true, none.
func makesOf(sts *appsv1.StatefulSet, class string, unnamed bool) bool {
	for i := range sts.Spec.VolumeClaimTemplates {
		pvc := &sts.Spec.VolumeClaimTemplates[i]
		if !cluster.NamesClass(pvc) && unnamed || cluster.ClaimClass(pvc) == class {
			return true
		}
	}
	return false
}
