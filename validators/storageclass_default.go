package validators

import (
	"fmt"
	"slices"
	"strings"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var storageclassDefault = &Rule{
	Name:  "storageclass-default",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&storagev1.StorageClass{}},
	Doc: `a cluster should have exactly one default class

A claim that names no class gets the default one. If there are several,
Kubernetes takes the newest, so a class that was added for a test may decide
which disks the next database uses, and whether they are retained. If there is
none, such claims are Pending until there is a default again. To change the
default, mark the new class first, and unmark the old one right afterwards.`,

	Exempt: "a default class is being replaced by another, and both exist for a moment",

	Checks: []Check{
		On(func(p *Pass, sc *storagev1.StorageClass) error {
			if !isDefault(sc) {
				return nil
			}
			others, err := otherDefaults(p.Cluster, sc)
			if err != nil || len(others) == 0 || !p.Cluster.Admission() && others[0].Name < sc.Name {
				return err // where all classes are reviewed, only one is reported, or people would unmark all
			}
			var names, unmark []string
			for _, other := range others {
				names = append(names, other.Name)
				unmark = append(unmark, p.Mend(fmt.Sprintf("metadata: {annotations: {%s: \"false\"}} in StorageClass %s",
					defaultKey(other), other.Name),
					fmt.Sprintf("kubectl annotate --overwrite sc %s %s=false", other.Name, defaultKey(other))))
			}
			const most = 3
			p.Report(field.Invalid(defaultPath(sc), "true",
				fmt.Sprintf("must be true of one class; it is of %s, too, and the newest decides for new claims",
					cluster.Few(names))),
				strings.Join(unmark[:min(len(unmark), most)], p.Mend(", and ", " && ")))
			return nil
		}).Of("metadata.annotations["+cluster.AnnotationDefaultClass+"]", "metadata.annotations["+betaDefaultClass+"]"),
		OnUpdate(func(p *Pass, old, sc *storagev1.StorageClass) error {
			if !isDefault(old) || isDefault(sc) {
				return nil
			}
			others, err := otherDefaults(p.Cluster, sc)
			if err != nil || len(others) > 0 {
				return err
			}
			p.Report(field.Invalid(defaultPath(old), sc.Annotations[cluster.AnnotationDefaultClass],
				"must be true of one class; claims that name none would stay Pending"),
				fmt.Sprintf("kubectl annotate --overwrite sc %s %s=true", sc.Name, cluster.AnnotationDefaultClass))
			return nil
		}),
	},
}

// otherDefaults returns the default classes except one, by name.
func otherDefaults(v *cluster.View, than *storagev1.StorageClass) ([]*storagev1.StorageClass, error) {
	classes, err := listClasses(v)
	if err != nil {
		return nil, err
	}
	var others []*storagev1.StorageClass
	for i := range classes {
		if sc := &classes[i]; sc.Name != than.Name && isDefault(sc) {
			others = append(others, sc)
		}
	}
	slices.SortFunc(others, func(a, b *storagev1.StorageClass) int { return strings.Compare(a.Name, b.Name) })
	return others, nil
}

// defaultPath returns the path of the annotation that makes a class the default.
func defaultPath(sc *storagev1.StorageClass) *field.Path {
	return field.NewPath("metadata", "annotations").Key(defaultKey(sc))
}

// defaultKey returns the key of the annotation that makes a class the default.
func defaultKey(sc *storagev1.StorageClass) string {
	if sc.Annotations[cluster.AnnotationDefaultClass] == "true" {
		return cluster.AnnotationDefaultClass
	}
	return betaDefaultClass
}
