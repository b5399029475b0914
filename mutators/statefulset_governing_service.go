package mutators

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

var statefulsetGoverningService = &Mutator{
	Name:  "statefulset-governing-service",
	Reads: []cluster.Object{&corev1.Service{}},
	Doc: `a StatefulSet names the one headless Service that selects its Pods

Only the Service that spec.serviceName names gives the Pods of a StatefulSet
DNS names of their own, and the field can never be changed: a StatefulSet
created without it must be deleted and made again. Where it was left out, and
exactly one headless Service of the namespace selects the labels of the Pod
template, that one is filled in. Where several do, nothing is: name one. An
update that leaves the field out keeps what it was, because the API server
would refuse anything else.`,

	Edits: []Edit{
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			if sts.Spec.ServiceName != "" {
				return nil
			}
			// The field is immutable, so it is not taken from a cache that may
			// still hold a Service deleted a moment ago.
			v := p.Cluster
			if live := v.Live(); live != nil {
				v = live
			}
			names, err := cluster.HeadlessFor(v, sts.Namespace, sts.Spec.Template.Labels)
			switch {
			case err != nil:
				return err
			case len(names) == 1:
				set(p, &sts.Spec.ServiceName, names[0], "spec", "serviceName")
				p.Filled("spec.serviceName, which was empty,", names[0], "empty",
					": only this headless Service selects the Pods; it cannot be changed later; fix: write it into the manifest")
			case len(names) > 1:
				p.Warn("spec.serviceName is left empty, for several headless Services select the Pods (%s), and cannot be filled "+
					"in later; fix: write one of them into the manifest", cluster.Few(names))
			}
			return nil
		}),
		OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
			if sts.Spec.ServiceName != "" || old.Spec.ServiceName == "" {
				return nil
			}
			set(p, &sts.Spec.ServiceName, old.Spec.ServiceName, "spec", "serviceName")
			p.Warn("spec.serviceName stays %s, which cannot be changed; fix: write it into the manifest", old.Spec.ServiceName)
			return nil
		}),
	},
}
