package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statefulsetNoStorage = &Rule{
	Name:  "statefulset-no-storage",
	Level: Off,
	Loses: LosesData,
	Doc: `a StatefulSet must have storage that outlives its Pods

A StatefulSet gives each Pod a stable name. Without a persistent volume, a Pod
that is replaced comes back under its old name with no data. An emptyDir or a
generic ephemeral volume is deleted with the Pod: when its node fails, when it
is evicted, at the next update.

Add volumeClaimTemplates. The rule is off by default, because caches and brokers
may need names only; raise it to warn or deny where every StatefulSet keeps
data: rules: {statefulset-no-storage: warn}.`,

	Exempt: "the Pods need stable names only, as proxies or members that keep everything in memory",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		if len(sts.Spec.VolumeClaimTemplates) > 0 {
			return nil
		}
		volumes := podSpecPath.Child("volumes")
		var lost []*field.Error
		for i, vol := range sts.Spec.Template.Spec.Volumes {
			switch {
			case vol.VolumeSource == corev1.VolumeSource{}:
				lost = append(lost, field.Invalid(volumes.Index(i), vol.Name,
					"must not hold data: it is an emptyDir, which dies with the Pod"))
			case vol.EmptyDir != nil:
				lost = append(lost, field.Invalid(volumes.Index(i).Child("emptyDir"), vol.Name,
					"must not hold data: it dies with the Pod"))
			case vol.Ephemeral != nil:
				lost = append(lost, field.Invalid(volumes.Index(i).Child("ephemeral"), vol.Name,
					"must not hold data: its claim dies with the Pod"))
			case !files(vol.VolumeSource):
				return nil // a claim, or storage of another kind
			}
		}
		for _, err := range lost {
			p.Report(err, ownClaims(fmt.Sprint(err.BadValue), "10Gi"))
			p.Briefly(ownClaimsBriefly)
		}
		if len(lost) == 0 {
			p.Report(field.Required(templatesPath,
				"must have storage; a Pod comes back under its name with nothing in it"),
				"volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: "+
					"{storage: 10Gi}}}}], and volumeMounts: [{name: data, mountPath: "+freePath(&sts.Spec.Template.Spec)+
					"}] in a container")
		}
		return nil
	})},
}

// files says whether a volume only provides files to a Pod. Files that a CSI
// driver makes without a claim are lost with the Pod too, but are rarely data.
func files(v corev1.VolumeSource) bool {
	return v.CSI != nil || v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil ||
		v.Image != nil || v.GitRepo != nil
}
