package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimTemplateBinding = &Rule{
	Name:  "claim-template-binding",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&storagev1.StorageClass{}},
	Doc: `the volumes of Pods that are spread should wait for their Pods

A class with volumeBindingMode: Immediate, the default, makes a volume as soon
as there is a claim, in any zone. The Pod must then always run in that zone. If
a zone that the Pod selects, a spread over zones or nodes, or an anti-affinity
excludes that zone, the Pod is Pending for ever, or the Pods are not spread as
the template asks. Name a class with volumeBindingMode: WaitForFirstConsumer,
which makes the volume where the scheduler puts the Pod.`,

	Exempt: "all nodes that the Pods may run on reach every volume, as with network storage without zones",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		what := placed(&sts.Spec.Template.Spec)
		if what == "" {
			return nil
		}
		for i := range sts.Spec.VolumeClaimTemplates {
			name, class, _, err := classOf(p.Cluster, &sts.Spec.VolumeClaimTemplates[i])
			if err != nil {
				return err
			}
			if !provisions(class) || waits(class) {
				continue
			}
			classes, err := listClasses(p.Cluster)
			if err != nil {
				return err
			}
			waiting := slices.DeleteFunc(slices.Clone(classes), func(sc storagev1.StorageClass) bool {
				return !provisions(&sc) ||
					!waits(&sc)
			})
			p.Report(field.Invalid(templatesPath.Index(i).Child("spec", "storageClassName"), name,
				fmt.Sprintf("must wait for the Pod, which has %s; a disk made first pins it to a zone", what)),
				waitingClass(name, waiting))
		}
		return nil
	})},
}

// waitingClass suggests classes with WaitForFirstConsumer in place of one
// without.
func waitingClass(name string, waiting []storagev1.StorageClass) string {
	if len(waiting) == 0 {
		return fmt.Sprintf("create a class like %s with volumeBindingMode: WaitForFirstConsumer, and name it here", name)
	}
	return fmt.Sprintf("a class with volumeBindingMode: WaitForFirstConsumer (%s)", offered(waiting))
}

// placed returns the field by which a Pod asks for a zone, a spread or a
// distance, or "".
func placed(spec *corev1.PodSpec) string {
	if len(spec.TopologySpreadConstraints) > 0 {
		return "topologySpreadConstraints"
	}
	for key := range spec.NodeSelector {
		if zonal(key) {
			return "a zone in its nodeSelector"
		}
	}
	if spec.Affinity == nil {
		return ""
	}
	if a := spec.Affinity.PodAntiAffinity; a != nil &&
		len(a.RequiredDuringSchedulingIgnoredDuringExecution)+len(a.PreferredDuringSchedulingIgnoredDuringExecution) > 0 {
		return "a podAntiAffinity"
	}
	if a := spec.Affinity.NodeAffinity; a != nil {
		var terms []corev1.NodeSelectorTerm
		if required := a.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
			terms = append(terms, required.NodeSelectorTerms...)
		}
		for _, preferred := range a.PreferredDuringSchedulingIgnoredDuringExecution {
			terms = append(terms, preferred.Preference)
		}
		for _, t := range terms {
			if slices.ContainsFunc(t.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool { return zonal(r.Key) }) {
				return "a zone in its nodeAffinity"
			}
		}
	}
	return ""
}

// zonal says whether a label of nodes tells their location: Kubernetes' own,
// and those of drivers, such as topology.ebs.csi.aws.com/zone.
func zonal(label string) bool {
	return strings.HasSuffix(label, "/zone") || strings.HasSuffix(label, "/region")
}
