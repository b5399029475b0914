package validators

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimTemplatesValidated = &cluster.Feature{
	With:    "the API server refuses such a StatefulSet",
	Without: "it accepts it, its controller fails to make the claims, and no Pod is ever created: the rule denies it",
	On:      []cluster.Span{{From: cluster.Version{Minor: 34}}},
}

var claimTemplateStorage = &Rule{
	Name:  "claim-template-storage",
	Level: Hint,
	Loses: LosesTime,
	Doc: `a claim template must say how much storage it asks for, and how it is mounted

The API server refuses a template without spec.resources.requests.storage or
spec.accessModes, but says no more than "Required value". Often the author did
write it, with a misspelled field or a wrong indentation: the API server drops a
field that Kubernetes does not know, such as resource instead of resources,
before it validates the object. Correct the name or the indentation; kubectl
apply --validate=strict, the default, finds such fields, while Helm and
--validate=false do not.`,

	Versions: []*cluster.Feature{claimTemplatesValidated},
	Refusal:  claimTemplatesValidated,

	Exempt: "never: the API server refuses the object whatever Stayput says",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		cost := ""
		if p.has(claimTemplatesValidated) == cluster.Absent {
			cost = "; no claim can be made, and no Pod is"
		}
		for i := range sts.Spec.VolumeClaimTemplates {
			t := &sts.Spec.VolumeClaimTemplates[i]
			if _, ok := t.Spec.Resources.Requests[corev1.ResourceStorage]; !ok {
				err := field.Required(templatesPath.Index(i).Child("spec", "resources", "requests").Key("storage"),
					"must say how much each Pod gets"+cost)
				remedy := "resources: {requests: {storage: 10Gi}} in the template's spec"
				if key, size := misspelt(sts, t.Name); key != "" {
					err.Detail += fmt.Sprintf("; it stands under %q, which Kubernetes drops", key)
					remedy = fmt.Sprintf("rename it: resources: {requests: {storage: %s}}", size)
				}
				p.Report(err, remedy)
			}
			if len(t.Spec.AccessModes) == 0 {
				p.Report(field.Required(templatesPath.Index(i).Child("spec", "accessModes"),
					"must say how many nodes may mount the volume"+cost), "accessModes: [ReadWriteOnce] in the template's spec")
			}
		}
		return nil
	})},
}

// misspelt returns the key under which the storage request of a claim template
// was lost, and the size there. It reads the manifest that kubectl apply left
// in an annotation: nothing else still has the key.
func misspelt(sts *appsv1.StatefulSet, template string) (key, size string) {
	type requests struct {
		Requests map[string]resource.Quantity `json:"requests"`
	}
	var applied struct {
		Spec struct {
			VolumeClaimTemplates []struct {
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
				Spec struct {
					Resource  *requests `json:"resource"`
					Resources struct {
						Request map[string]resource.Quantity `json:"request"`
					} `json:"resources"`
				} `json:"spec"`
			} `json:"volumeClaimTemplates"`
		} `json:"spec"`
	}
	if json.Unmarshal([]byte(sts.Annotations[cluster.AnnotationLastApplied]), &applied) != nil {
		return "", "" // the annotation does not help, and is not required
	}
	for _, t := range applied.Spec.VolumeClaimTemplates {
		if t.Metadata.Name != template {
			continue
		}
		q, key := resource.Quantity{}, ""
		switch {
		case t.Spec.Resource != nil:
			q, key = t.Spec.Resource.Requests["storage"], "resource"
		case t.Spec.Resources.Request != nil:
			q, key = t.Spec.Resources.Request["storage"], "resources.request"
		}
		if q.IsZero() {
			return key, "10Gi"
		}
		return key, q.String()
	}
	return "", ""
}
