package validators_test

import (
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// readBy says what a rule about a state looks at in an object itself: to an
// update that changes none of it the rule says nothing. A rule that is not here
// looks at all.
var readBy = map[string]func(w *world, o Object) any{
	"statefulset-name-length": of(func(_ *world, s sts) any {
		return []any{s.Spec.Replicas, s.Spec.Ordinals, s.Spec.Template}
	}),
	"statefulset-shared-claim": of(func(_ *world, s sts) any {
		return []any{s.Spec.Replicas, s.Spec.VolumeClaimTemplates, claimVolumes(s.Spec.Template), mounts(s.Spec.Template)}
	}),
	"statefulset-retention": of(func(_ *world, s sts) any {
		return []any{s.Spec.PersistentVolumeClaimRetentionPolicy, s.Spec.VolumeClaimTemplates}
	}),
	"statefulset-grace-period": of(func(_ *world, s sts) any {
		return s.Spec.Template.Spec.TerminationGracePeriodSeconds
	}),
	"statefulset-partition": of(func(_ *world, s sts) any {
		return []any{s.Spec.Replicas, s.Spec.Ordinals, s.Spec.UpdateStrategy}
	}),
	"statefulset-max-unavailable": of(func(_ *world, s sts) any { return []any{s.Spec.Replicas, s.Spec.UpdateStrategy} }),
	"statefulset-readiness": of(func(_ *world, s sts) any {
		all := []any{several(s), s.Spec.UpdateStrategy.Type}
		for _, c := range s.Spec.Template.Spec.Containers {
			all = append(all, c.Name, c.ReadinessProbe)
		}
		for _, c := range s.Spec.Template.Spec.InitContainers {
			if c.ReadinessProbe != nil {
				all = append(all, c.Name, c.ReadinessProbe)
			}
		}
		return all
	}),
	"statefulset-min-ready-seconds": of(func(_ *world, s sts) any {
		return []any{several(s), s.Spec.UpdateStrategy.Type, s.Spec.MinReadySeconds}
	}),
	"statefulset-identity": of(func(_ *world, s sts) any {
		pod := s.Spec.Template.Spec
		return []any{several(s), s.Spec.Ordinals, s.Spec.ServiceName, pod.Hostname, pod.Subdomain, pod.HostnameOverride}
	}),
	"statefulset-spread": of(func(_ *world, s sts) any {
		pod := s.Spec.Template.Spec
		all := []any{several(s), s.Spec.Template.Labels, pod.TopologySpreadConstraints, pod.HostNetwork}
		if pod.Affinity != nil {
			all = append(all, pod.Affinity.PodAntiAffinity)
		} else {
			all = append(all, (*corev1.PodAntiAffinity)(nil))
		}
		for _, c := range allContainers(&pod) {
			if len(c.Ports) > 0 {
				all = append(all, c.Name, c.Ports)
			}
		}
		return all
	}),
	"statefulset-disruption-budget": of(func(w *world, s sts) any {
		budgets := 0
		for _, pdb := range in(w.budgets, s.Namespace) {
			if matches(pdb.Spec.Selector, s.Spec.Template.Labels) && pdb.DeletionTimestamp == nil {
				budgets++
			}
		}
		if budgets == 1 { // which may let none of two go, and one of three
			return []any{s.Spec.Replicas, s.Spec.Template.Labels}
		}
		return []any{several(s), count(s.Spec.Replicas) > 0, s.Spec.Template.Labels}
	}),
	"statefulset-service-missing": of(func(_ *world, s sts) any { return s.Spec.ServiceName }),
	"statefulset-service-selector": of(func(_ *world, s sts) any {
		return []any{s.Spec.ServiceName, s.Spec.Template.Labels}
	}),
	"service-publishes-not-ready": func(_ *world, o Object) any {
		if svc, ok := o.(*corev1.Service); ok {
			return []any{svc.Spec.PublishNotReadyAddresses, svc.Spec.Selector, svc.Spec.Type, svc.Spec.ClusterIP,
				svc.Spec.ClusterIPs}
		}
		template := templateOf(o)
		if template == nil {
			return nil
		}
		all := []any{template.Labels}
		for _, c := range allContainers(&template.Spec) {
			if c.ReadinessProbe != nil {
				all = append(all, c.Name, c.ReadinessProbe)
			}
		}
		return all
	},
	"statefulset-peer-names": func(_ *world, o Object) any {
		if cm, ok := o.(*corev1.ConfigMap); ok {
			return cm.Data
		}
		said := func(pod *corev1.PodSpec) []any { // what envFrom brings stands elsewhere
			pod = pod.DeepCopy()
			for _, list := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
				for i := range list {
					list[i].EnvFrom = nil
				}
			}
			return texts(pod)
		}
		switch o.(type) {
		case *batchv1.Job, *batchv1.CronJob:
			return said(&templateOf(o).Spec)
		}
		read := podReads(said)(nil, o)
		if s, ok := o.(sts); ok {
			return []any{read, s.Spec.ServiceName, s.Spec.Replicas, s.Spec.Ordinals}
		}
		return read
	},
	"service-selects-strangers": func(_ *world, o Object) any {
		if svc, ok := o.(*corev1.Service); ok {
			return []any{svc.Spec.Selector, svc.Spec.Ports, svc.Spec.Type, svc.Spec.ClusterIP, svc.Spec.ClusterIPs}
		}
		template := templateOf(o)
		if template == nil {
			return nil
		}
		all := []any{template.Labels, template.Spec.InitContainers}
		for _, c := range template.Spec.Containers {
			if len(c.Ports) > 0 {
				all = append(all, c.Name, c.Ports)
			}
		}
		return all
	},
	"statefulset-service-not-ready-addresses": of(func(_ *world, s sts) any {
		all := []any{several(s), s.Spec.ServiceName, s.Spec.PodManagementPolicy}
		for _, c := range allContainers(&s.Spec.Template.Spec) {
			if c.ReadinessProbe != nil {
				all = append(all, c.Name, c.ReadinessProbe)
			}
		}
		return all
	}),
	"claim-template-shadows-volume": of(func(_ *world, s sts) any {
		all := []any{s.Spec.VolumeClaimTemplates, claimVolumes(s.Spec.Template)}
		for _, v := range s.Spec.Template.Spec.Volumes {
			all = append(all, v.Name)
		}
		return all
	}),
	"deployment-grace-period": of(func(_ *world, d deployment) any {
		return []any{d.Spec.Template.Spec.TerminationGracePeriodSeconds, claimVolumes(d.Spec.Template),
			mounts(d.Spec.Template)}
	}),
	"pod-identity-skipped": func(_ *world, o Object) any {
		switch o := o.(type) {
		case sts:
			return []any{o.Spec.ServiceName, asksFor(o.Spec.Template)}
		case deployment:
			pod := o.Spec.Template.Spec
			return []any{asksFor(o.Spec.Template), pod.HostNetwork, pod.HostnameOverride}
		}
		return nil
	},
	"deployment-hostname": of(func(_ *world, d deployment) any {
		pod := d.Spec.Template.Spec
		return []any{d.Spec.Replicas, pod.Hostname, pod.HostnameOverride, pod.Subdomain, asksFor(d.Spec.Template)}
	}),
	"deployment-shared-claim": of(func(_ *world, d deployment) any {
		return []any{d.Spec.Replicas, claimVolumes(d.Spec.Template)}
	}),
	"deployment-rolling-claim": of(func(_ *world, d deployment) any {
		return []any{d.Spec.Replicas, d.Spec.Strategy, claimVolumes(d.Spec.Template)}
	}),
	"workload-data-path": func(_ *world, o Object) any {
		read := podReads(func(pod *corev1.PodSpec) []any {
			only := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: pod.Containers}}
			images := []any{}
			for _, c := range pod.Containers {
				images = append(images, c.Image)
			}
			return append(texts(&only.Spec), pod.Volumes, images, volumeMounts(only), volumeDevices(only))
		})(nil, o)
		if s, ok := o.(sts); ok {
			return []any{read, s.Spec.VolumeClaimTemplates}
		}
		return read
	},
	"workload-env-order": podReads(func(pod *corev1.PodSpec) []any {
		t := corev1.PodTemplateSpec{Spec: *pod}
		return append(texts(pod), pod.EnableServiceLinks, volumeMounts(t))
	}),
	"workload-pre-stop": podReads(func(pod *corev1.PodSpec) []any {
		all := []any{pod.TerminationGracePeriodSeconds}
		for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
			for _, c := range list {
				if c.Lifecycle != nil {
					all = append(all, c.Name, c.Lifecycle)
				}
			}
			all = append(all, "|")
		}
		return all
	}),
	"workload-host-network-dns": func(_ *world, o Object) any {
		told := podReads(func(pod *corev1.PodSpec) []any {
			var all []any
			for _, list := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
				for _, c := range list {
					for i, n := range []int{len(c.Command), len(c.Args), len(c.Env)} {
						if n > 0 {
							all = append(all, c.Name, i, []any{c.Command, c.Args, c.Env}[i])
						}
					}
				}
				all = append(all, "|")
			}
			return append(all, pod.HostNetwork, pod.DNSPolicy, pod.DNSConfig)
		})(nil, o)
		if s, ok := o.(sts); ok {
			return []any{told, s.Spec.ServiceName, s.Spec.Ordinals}
		}
		return told
	},
	"workload-node-name": func(_ *world, o Object) any {
		read := podReads(func(pod *corev1.PodSpec) []any { return append(claimSources(pod), pod.NodeName) })(nil, o)
		if s, ok := o.(sts); ok {
			return []any{read, s.Spec.VolumeClaimTemplates, s.Spec.Replicas, s.Spec.Ordinals}
		}
		return read
	},
	"workload-placement": func(_ *world, o Object) any {
		read := podReads(func(pod *corev1.PodSpec) []any {
			var affinity *corev1.NodeAffinity
			if pod.Affinity != nil {
				affinity = pod.Affinity.NodeAffinity
			}
			return append(claimSources(pod), pod.NodeName, pod.NodeSelector, affinity)
		})(nil, o)
		if s, ok := o.(sts); ok {
			return []any{read, s.Spec.VolumeClaimTemplates, s.Spec.Replicas, s.Spec.Ordinals}
		}
		return read
	},
	"claim-template-volume-mode": func(_ *world, o Object) any {
		read := podReads(func(pod *corev1.PodSpec) []any {
			t := corev1.PodTemplateSpec{Spec: *pod}
			return append(claimSources(pod), volumeMounts(t), volumeDevices(t))
		})(nil, o)
		if s, ok := o.(sts); ok {
			return []any{read, s.Spec.VolumeClaimTemplates}
		}
		return read
	},
	"workload-fqdn-length": func(_ *world, o Object) any {
		fqdn := func(t corev1.PodTemplateSpec) []any {
			return []any{t.Spec.SetHostnameAsFQDN, t.Spec.HostNetwork, t.Spec.HostnameOverride}
		}
		switch o := o.(type) {
		case sts:
			return append(fqdn(o.Spec.Template), o.Spec.Replicas, o.Spec.Ordinals, o.Spec.ServiceName)
		case deployment:
			pod := o.Spec.Template.Spec
			return append(fqdn(o.Spec.Template), pod.Hostname, pod.Subdomain, asksFor(o.Spec.Template))
		}
		return nil
	},
	"workload-host-path": func(_ *world, o Object) any {
		switch o := o.(type) {
		case sts:
			return hostPathsOf(o.Spec.Template)
		case deployment:
			return hostPathsOf(o.Spec.Template)
		}
		return nil
	},
	"claim-attributes-class": ephemeralOf,
	"claim-class":            ephemeralOf,
	"claim-data-source":      ephemeralOf,
	"claim-unbindable":       ephemeralOf,
	"stayput-annotation": func(_ *world, o Object) any {
		all := ourKeys(o)
		switch o := o.(type) {
		case sts:
			return append(all, append(ourKeys(&o.Spec.Template), o.Spec.VolumeClaimTemplates)...)
		case deployment:
			return append(all, ourKeys(&o.Spec.Template)...)
		}
		return all
	},
	"storageclass-default": of(func(_ *world, sc class) any {
		one := sc.Annotations["storageclass.kubernetes.io/is-default-class"]
		return []any{one, sc.Annotations["storageclass.beta.kubernetes.io/is-default-class"]}
	}),
	"volume-same-disk": func(_ *world, o Object) any {
		if v, ok := o.(pv); ok {
			s := v.Spec
			return []any{s.CSI, s.NFS, s.Local, s.HostPath, s.NodeAffinity, s.AccessModes, s.PersistentVolumeReclaimPolicy,
				v.Annotations["pv.kubernetes.io/provisioned-by"]}
		}
		read := podReads(func(pod *corev1.PodSpec) (claims []any) {
			for _, v := range pod.Volumes {
				if v.PersistentVolumeClaim != nil {
					claims = append(claims, v.Name, v.PersistentVolumeClaim)
				}
			}
			return claims
		})(nil, o)
		if s, ok := o.(sts); ok {
			return []any{read, s.Spec.VolumeClaimTemplates, s.Spec.Ordinals}
		}
		return read
	},
	"volume-reclaim": of(func(_ *world, v pv) any {
		policy, noted := v.Annotations["stayput.dev/reclaim-policy"]
		return []any{v.Spec.PersistentVolumeReclaimPolicy, v.Annotations["pv.kubernetes.io/provisioned-by"], policy, noted}
	}),
}

// of is about objects of one kind.
func of[T Object](f func(w *world, o T) any) func(w *world, o Object) any {
	return func(w *world, o Object) any {
		if o, ok := o.(T); ok {
			return f(w, o)
		}
		return nil
	}
}

// readSame says whether an update leaves what a rule looks at as it was.
func readSame(w *world, rule string, old, obj Object) bool {
	read := readBy[rule]
	if read == nil {
		read = func(_ *world, o Object) any { return all(o) }
	}
	key := "exempt.stayput.dev/" + rule
	was, had := old.GetAnnotations()[key]
	is, has := obj.GetAnnotations()[key]
	return had == has && was == is && equality.Semantic.DeepEqual(read(w, old), read(w, obj))
}

// all is what an author writes in an object.
func all(o Object) any {
	fields := []any{o.GetLabels(), o.GetAnnotations()}
	switch o := o.(type) {
	case *appsv1.StatefulSet:
		return append(fields, o.Spec)
	case *appsv1.Deployment:
		return append(fields, o.Spec)
	case *corev1.Service:
		return append(fields, o.Spec)
	case *corev1.PersistentVolumeClaim:
		return append(fields, o.Spec)
	case *corev1.PersistentVolume:
		return append(fields, o.Spec)
	case *corev1.Namespace:
		return append(fields, o.Spec)
	case *corev1.Pod:
		return append(fields, o.Spec)
	case *storagev1.StorageClass:
		sc := o.DeepCopy()
		sc.ObjectMeta = metav1.ObjectMeta{}
		return append(fields, sc)
	case definition:
		return append(fields, o.Spec)
	}
	panic("what does a " + reflect.TypeOf(o).String() + " say?")
}

func several(s sts) bool { return count(s.Spec.Replicas) > 1 }

func asksFor(t corev1.PodTemplateSpec) []any {
	name, ok := t.Labels["stayput.dev/subdomain"]
	return []any{name, ok}
}

// claimVolumes are the volumes of a template that name a claim, and mounts what
// its containers mount.
func claimVolumes(t corev1.PodTemplateSpec) (found []any) {
	for _, v := range t.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			found = append(found, v.Name, v.PersistentVolumeClaim)
		}
	}
	return found
}

// volumeMounts are mounts less the devices.
func volumeMounts(t corev1.PodTemplateSpec) []any {
	return ofContainers(t, func(c corev1.Container) []corev1.VolumeMount { return c.VolumeMounts })
}

func volumeDevices(t corev1.PodTemplateSpec) []any {
	return ofContainers(t, func(c corev1.Container) []corev1.VolumeDevice { return c.VolumeDevices })
}

// ofContainers returns a list of each container that is not empty, with its name.
func ofContainers[T any](t corev1.PodTemplateSpec, of func(corev1.Container) []T) (found []any) {
	for _, list := range [][]corev1.Container{t.Spec.Containers, t.Spec.InitContainers} {
		for _, c := range list {
			if all := of(c); len(all) > 0 {
				found = append(found, c.Name, all)
			}
		}
		found = append(found, "|")
	}
	return found
}

// claimSources are the volumes of a Pod that are claims, or make one.
func claimSources(pod *corev1.PodSpec) (found []any) {
	for _, v := range pod.Volumes {
		if v.PersistentVolumeClaim != nil {
			found = append(found, v.Name, v.PersistentVolumeClaim)
		}
	}
	found = append(found, "|")
	for _, v := range pod.Volumes {
		if v.Ephemeral != nil {
			found = append(found, v.Name, v.Ephemeral)
		}
	}
	return found
}

func mounts(t corev1.PodTemplateSpec) (found []any) {
	for _, c := range allContainers(&t.Spec) {
		if len(c.VolumeMounts) > 0 {
			found = append(found, c.Name, c.VolumeMounts)
		}
		if len(c.VolumeDevices) > 0 {
			found = append(found, c.Name, c.VolumeDevices)
		}
	}
	return found
}

func hostPathsOf(t corev1.PodTemplateSpec) []any {
	found := []any{mounts(t), t.Spec.NodeName, t.Spec.NodeSelector, t.Spec.Tolerations}
	if t.Spec.Affinity != nil {
		found = append(found, t.Spec.Affinity.NodeAffinity)
	} else {
		found = append(found, (*corev1.NodeAffinity)(nil))
	}
	for _, v := range t.Spec.Volumes {
		if v.HostPath != nil {
			found = append(found, v.Name, v.HostPath)
		}
	}
	return found
}

// ourKeys are the labels and annotations of Stayput's.
func ourKeys(o metav1.Object) []any {
	ours := func(list map[string]string) map[string]string {
		found := map[string]string{}
		for k, v := range list {
			if strings.HasPrefix(k, "stayput.dev/") || strings.HasPrefix(k, "exempt.stayput.dev/") {
				found[k] = v
			}
		}
		return found
	}
	return []any{ours(o.GetLabels()), ours(o.GetAnnotations())}
}
