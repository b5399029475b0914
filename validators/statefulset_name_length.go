package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxStatefulSetName leaves room for what the controller appends to the name
// in the label controller-revision-hash: a dash and a hash of up to ten
// characters. Source: k8s.io/kubernetes@v1.37.1
// pkg/controller/history/controller_history.go, ControllerRevisionName.
const maxStatefulSetName = validation.LabelValueMaxLength - len("-4294967295")

var statefulsetNameLength = &Rule{
	Name:  "statefulset-name-length",
	Level: Deny,
	Loses: LosesTime,
	Runs:  aPod(func(_ *appsv1.StatefulSet, r remnant) bool { return r.hasOwnName() }),
	Doc: `the name of a StatefulSet must have at most 52 characters

The API server accepts 63, but Kubernetes adds to the name: the Pods' label
controller-revision-hash is the name, a dash and a hash of up to ten characters,
and their hostname is the name, a dash and the ordinal. Neither may have more
than 63 characters; otherwise no Pod is created, and only an event says why. As
the hash is sometimes shorter, a name of 53 or 54 characters may work today and
fail at the next change of the template.

Give the StatefulSet a shorter name. The name of one that exists cannot be
changed; before its next rollout, create another beside it and move the data.`,

	Exempt: "never: no Pod of it can be made",

	// A change of the template is no reason to report: only the hash changes.
	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		pod := memberNameLen(sts)
		if pod <= validation.DNS1123LabelMaxLength && len(sts.Name) <= maxStatefulSetName {
			return nil
		}
		err := field.TooLong(namePath, sts.Name, maxStatefulSetName)
		if pod > validation.DNS1123LabelMaxLength {
			err.Detail = fmt.Sprintf("must have at most %d characters, not %d; the Pod of the highest ordinal would have a "+
				"host name of %d, and with more than %d it is never created",
				maxStatefulSetName, len(sts.Name), pod, validation.DNS1123LabelMaxLength)
		} else {
			err.Detail = fmt.Sprintf("must have at most %d characters, not %d; a label of the Pods adds up to 11, and with "+
				"more than %d no Pod is created",
				maxStatefulSetName, len(sts.Name), validation.LabelValueMaxLength)
		}
		p.Report(err, "metadata: {name: "+cut(sts.Name, maxStatefulSetName)+"}")
		return nil
	}).Of("spec.replicas", "spec.ordinals", "spec.template")},
}
