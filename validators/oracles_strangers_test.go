package validators_test

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/validators"
)

var _ = register(map[string]oracle{
	"service-selects-strangers": func(w *world, old, obj Object) validators.Level {
		if obj == nil || old != nil && w.same {
			return nothing
		}
		if svc, ok := obj.(*corev1.Service); ok {
			own, strangers := leadsTo(w, svc, nil)
			return warnIf(len(own) > 0 && len(strangers) > 0)
		}
		if templateOf(obj) == nil {
			return nothing
		}
		for _, svc := range in(w.services, obj.GetNamespace()) {
			own, strangers := leadsTo(w, svc, obj)
			if len(own) > 0 && len(strangers) > 0 && selects(svc, templateOf(obj).Labels) {
				return warn
			}
		}
		return nothing
	},
	"service-publishes-not-ready": func(w *world, old, obj Object) validators.Level {
		if obj == nil || old != nil && w.same {
			return nothing
		}
		if svc, ok := obj.(*corev1.Service); ok {
			for _, s := range in(w.statefulSets, svc.Namespace) {
				if s.DeletionTimestamp == nil && early(w, svc, s) {
					return warn
				}
			}
			for _, d := range in(w.deployments, svc.Namespace) {
				if d.DeletionTimestamp == nil && early(w, svc, d) {
					return warn
				}
			}
			return nothing
		}
		return warnIf(slices.ContainsFunc(in(w.services, obj.GetNamespace()), func(svc *corev1.Service) bool {
			return early(w, svc, obj)
		}))
	},
})

// early says whether a Service sends clients to Pods of a StatefulSet or Deployment
// that are not ready, though these have a headless one.
func early(w *world, svc *corev1.Service, o Object) bool {
	own := ""
	switch o := o.(type) {
	case sts:
		own = o.Spec.ServiceName
	case *appsv1.Deployment:
	default:
		return false
	}
	on := templateOf(o)
	probed := slices.ContainsFunc(allContainers(&on.Spec),
		func(c corev1.Container) bool { return c.ReadinessProbe != nil })
	return probed &&
		svc.Spec.PublishNotReadyAddresses && svc.DeletionTimestamp == nil && selects(svc, on.Labels) &&
		!headless(svc) && svc.Spec.Type != "ExternalName" && own != svc.Name &&
		slices.ContainsFunc(in(w.services, svc.Namespace), func(other *corev1.Service) bool {
			published := other.DeletionTimestamp == nil && other.Spec.PublishNotReadyAddresses && selects(other, on.Labels)
			return headless(other) && (own == "" && published || own != "" && own == other.Name)
		})
}

// templateOf returns the Pod template of a workload, or nil.
func templateOf(o Object) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template
	}
	return nil
}

// leadsTo divides the workloads that a Service selects, of which one may be about
// to change, into those that it is for and the others.
func leadsTo(w *world, svc *corev1.Service, now Object) (own, strangers []Object) {
	if svc.Spec.Type == corev1.ServiceTypeExternalName || svc.DeletionTimestamp != nil {
		return nil, nil
	}
	next := &world{statefulSets: slices.Clone(w.statefulSets), deployments: slices.Clone(w.deployments),
		jobs: slices.Clone(w.jobs), cronJobs: slices.Clone(w.cronJobs)}
	if now != nil {
		next.put(now)
	}
	next.jobs = slices.DeleteFunc(next.jobs, func(j *batchv1.Job) bool {
		owner := ownerOf(j)
		return owner != nil && owner.Kind == "CronJob" ||
			slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
				return c.Status == "True" && c.Type != batchv1.JobSuspended
			})
	})
	var all []Object
	for _, o := range next.objects() {
		if o.GetNamespace() == svc.Namespace && o.GetDeletionTimestamp() == nil && selects(svc, templateOf(o).Labels) {
			all = append(all, o)
		}
	}
	// ports are what Pods say, and whether one of them is the Service's.
	listening := func(o Object) (says, fits bool) {
		for _, c := range allContainers(&templateOf(o).Spec) {
			if c.Name == "init" && c.RestartPolicy == nil {
				continue
			}
			for _, at := range c.Ports {
				says = true
				for _, p := range svc.Spec.Ports {
					number := p.TargetPort.IntVal
					if number == 0 {
						number = p.Port
					}
					if name := p.TargetPort.StrVal; name != "" {
						fits = fits || at.Name == name && at.Protocol != corev1.ProtocolUDP
					} else {
						fits = fits || at.ContainerPort == number && at.Protocol != corev1.ProtocolUDP
					}
				}
			}
		}
		return says, fits
	}
	serious := func(o Object) bool {
		switch o.(type) {
		case *batchv1.Job, *batchv1.CronJob:
			return false
		}
		return true
	}
	served := slices.ContainsFunc(all, func(o Object) bool {
		_, fits := listening(o)
		return fits && serious(o)
	})
	governed := headless(svc) && slices.ContainsFunc(all, func(o Object) bool {
		s, ok := o.(sts)
		return ok && s.Spec.ServiceName == svc.Name
	})
	numbered := slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.TargetPort.StrVal == "" })
	for _, o := range all {
		says, fits := listening(o)
		stranger := false
		if s, ok := o.(sts); !serious(o) {
			stranger = templateOf(o).Spec.Subdomain != svc.Name
		} else if !ok || s.Spec.ServiceName != svc.Name {
			reachable := len(svc.Spec.Ports) > 0 && (numbered || headless(svc))
			stranger = says && !fits && served && reachable && !governed
		}
		if stranger {
			strangers = append(strangers, o)
		} else {
			own = append(own, o)
		}
	}
	return own, strangers
}
