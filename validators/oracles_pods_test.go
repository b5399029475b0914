package validators_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"stayput.dev/validators"
)

type deployment = *appsv1.Deployment

var _ = register(map[string]oracle{
	"deployment-hostname": stored(func(_ *world, d deployment) validators.Level {
		if pod := d.Spec.Template; pod.Spec.Hostname == "" {
			service := pod.Labels["stayput.dev/subdomain"]
			asked := service != "" && len(validation.IsDNS1123Label(service)) == 0
			return warnIf(pod.Spec.HostnameOverride != nil && count(d.Spec.Replicas) > 1 && !asked)
		}
		return denyIf(count(d.Spec.Replicas) > 1)
	}),
	"pod-adopted": gravest(created(func(w *world, pod *corev1.Pod) validators.Level {
		if owner := ownerOf(pod); owner != nil {
			number, ok := strings.CutPrefix(pod.Name, owner.Name+"-")
			return warnIf(ok && runs(pod) && owner.Kind == "StatefulSet" && strings.HasPrefix(number, "0") && number > "0" &&
				!w.since(38))
		}
		if pod.ResourceVersion != "" || !runs(pod) {
			return nothing
		}
		for _, s := range w.statefulSets {
			if s.Namespace == pod.Namespace && s.DeletionTimestamp == nil && straysTo(w, s, pod) {
				return warn
			}
		}
		for _, d := range w.deployments {
			if d.Namespace == pod.Namespace && d.DeletionTimestamp == nil && pod.Labels["pod-template-hash"] != "" &&
				chooses(d.Spec.Selector, pod.Labels) {
				return warn
			}
		}
		return nothing
	}), created(func(w *world, s sts) validators.Level {
		return warnIf(s.ResourceVersion == "" && slices.ContainsFunc(w.pods, func(pod *corev1.Pod) bool {
			return pod.Namespace == s.Namespace && ownerOf(pod) == nil && runs(pod) && straysTo(w, s, pod)
		}))
	})),
	"deployment-subdomain": stored(func(w *world, d deployment) validators.Level {
		pod := d.Spec.Template
		_, asked := pod.Labels["stayput.dev/subdomain"]
		service := pod.Labels["stayput.dev/subdomain"]
		if service == "" {
			service = pod.Spec.Subdomain
		} else if len(validation.IsDNS1123Label(service)) > 0 {
			return nothing // the value of the label is the mistake
		}
		unnamed := pod.Spec.Subdomain != "" && pod.Spec.Hostname == "" && !asked && !injected(w, d.Namespace)
		dangles := service != "" && find(w.services, d.Namespace, service) == nil && (w.user == "" || !ownedByOperator(d))
		return warnIf(unnamed || dangles)
	}),
	"deployment-shared-claim": stored(func(w *world, d deployment) (level validators.Level) {
		if count(d.Spec.Replicas) <= 1 {
			return nothing
		}
		for _, c := range claimsMounted(w, d) {
			if slices.Contains(c.Spec.AccessModes, corev1.ReadWriteOncePod) {
				return deny
			}
			level = max(level, warnIf(fitsOne(c.Spec.AccessModes)))
		}
		return level
	}),
	"workload-pre-stop": ofAnyPod(func(_ *world, _ Object, pod *corev1.PodSpec) validators.Level {
		period := int64(30)
		if pod.TerminationGracePeriodSeconds != nil {
			period = *pod.TerminationGracePeriodSeconds
		}
		for _, c := range allContainers(pod) {
			if c.Lifecycle == nil || period <= 0 {
				continue
			}
			var slept int64
			if hook := c.Lifecycle.PreStop; hook.Sleep != nil {
				slept = hook.Sleep.Seconds
			} else { // the texts that worlds have
				slept = map[string]int64{"sleep 30": 30, "/bin/sh -c sleep 4; date; sleep 5s && sleep 1": 10}[strings.Join(
					hook.Exec.Command, " ")]
			}
			if slept >= period {
				return warn
			}
		}
		return nothing
	}),
	"deployment-grace-period": stored(func(_ *world, d deployment) validators.Level {
		pod, loses := d.Spec.Template.Spec, false
		for _, v := range pod.Volumes {
			claim := v.PersistentVolumeClaim
			loses = loses || claim != nil && !claim.ReadOnly && written(&pod, v.Name)
		}
		return warnIf(loses && pod.TerminationGracePeriodSeconds != nil && *pod.TerminationGracePeriodSeconds == 0)
	}),
	"deployment-rolling-claim": stored(func(w *world, d deployment) (level validators.Level) {
		surges := true // 25 %, rounded up
		if u := d.Spec.Strategy.RollingUpdate; u != nil && u.MaxSurge != nil {
			surges = u.MaxSurge.String() != "0" && u.MaxSurge.String() != "0%"
		}
		if count(d.Spec.Replicas) != 1 || d.Spec.Strategy.Type == "Recreate" || !surges {
			return nothing
		}
		for _, c := range claimsMounted(w, d) {
			level = max(level, warnIf(fitsOne(c.Spec.AccessModes)))
		}
		return level
	}),
	"pod-hostname-conflict": created(func(w *world, pod *corev1.Pod) validators.Level {
		name := func(p *corev1.Pod) string { return p.Spec.Hostname + "." + p.Spec.Subdomain }
		if pod.Spec.Hostname == "" || pod.Spec.Subdomain == "" || !runs(pod) || ownerOf(pod) != nil &&
			pod.Spec.Hostname == pod.Name {
			return nothing
		}
		for _, p := range in(w.pods, pod.Namespace) {
			if p.Name != pod.Name && runs(p) && name(p) == name(pod) {
				return warn
			}
		}
		return nothing
	}),
	"pod-subdomain": created(func(w *world, pod *corev1.Pod) validators.Level {
		if pod.Spec.Subdomain == "" || !runs(pod) || ownedBy(pod, "StatefulSet") {
			return nothing
		}
		svc := find(w.services, pod.Namespace, pod.Spec.Subdomain)
		missing := svc == nil && (w.user == "" || !ownedByOperator(pod)) // else it may come a second later
		_, asked := pod.Labels["stayput.dev/subdomain"]                  // and has one, or pod-identity-skipped says why not
		return warnIf(pod.Spec.Hostname == "" && !asked && !willBeNamed(w, pod) || missing || svc != nil &&
			!selects(svc, pod.Labels))
	}),
	"pod-identity-skipped": gravest(
		stored(func(_ *world, s sts) validators.Level {
			service, asked := s.Spec.Template.Labels["stayput.dev/subdomain"]
			return warnIf(asked && service != s.Spec.ServiceName)
		}),
		stored(func(_ *world, d deployment) validators.Level {
			service, pod := d.Spec.Template.Labels["stayput.dev/subdomain"], d.Spec.Template.Spec
			return warnIf(len(validation.IsDNS1123Label(service)) == 0 && (pod.HostNetwork || pod.HostnameOverride != nil))
		}),
		created(func(_ *world, pod *corev1.Pod) validators.Level {
			if ownedBy(pod, "ReplicaSet") && pod.Labels["pod-template-hash"] != "" &&
				(pod.Spec.HostNetwork || pod.Spec.HostnameOverride != nil) {
				return nothing // its Deployment's author was told
			}
			service, asked := pod.Labels["stayput.dev/subdomain"]
			if !asked || len(validation.IsDNS1123Label(service)) > 0 || ownedBy(pod, "StatefulSet") || pod.Spec.Hostname != "" &&
				pod.Spec.Subdomain == service {
				return nothing
			}
			s := pod.Spec
			return warnIf(pod.Annotations["kubernetes.io/config.mirror"] != "" || s.HostNetwork || s.HostnameOverride != nil ||
				s.Hostname != "" ||
				s.Subdomain != "" && s.Subdomain != service || strings.Contains(pod.Name, ".") ||
				tooLong(s, pod.Name, service, pod.Namespace) != nothing)
		}),
	),
	"workload-fqdn-length": exceptUpdatesOfPods(func(w *world, obj Object) validators.Level {
		switch o := obj.(type) {
		case sts:
			last := slices.Max(append(ordinalsOf(o), int(firstOrdinal(o))))
			return tooLong(o.Spec.Template.Spec, fmt.Sprintf("%s-%d", o.Name, last), o.Spec.ServiceName, o.Namespace)
		case deployment:
			spec, name := o.Spec.Template.Spec, o.Name+"-0123456789"
			host, subdomain := name[:min(len(name), 57)]+"-01234", spec.Subdomain
			if spec.Hostname != "" {
				host = spec.Hostname
			}
			if s := o.Spec.Template.Labels["stayput.dev/subdomain"]; subdomain == "" {
				subdomain = s
			}
			return tooLong(spec, host, subdomain, o.Namespace)
		case *corev1.Pod:
			if ownerOf(o) != nil {
				return nothing // its owner is told
			}
			host := o.Name
			if o.Spec.Hostname != "" {
				host = o.Spec.Hostname
			}
			return tooLong(o.Spec, host, o.Spec.Subdomain, o.Namespace)
		}
		return nothing
	}),
	"workload-host-path": exceptUpdatesOfPods(func(w *world, obj Object) validators.Level {
		var pod *corev1.PodSpec
		switch o := obj.(type) {
		case sts:
			pod = &o.Spec.Template.Spec
		case deployment:
			pod = &o.Spec.Template.Spec
		case *corev1.Pod:
			if ownerOf(o) != nil || o.Annotations["kubernetes.io/config.mirror"] != "" {
				return nothing
			}
			pod = &o.Spec
		default:
			return nothing
		}
		if pinnedToNode(pod) || len(w.nodes) > 0 && nodesOpenTo(w, pod) <= 1 {
			return nothing
		}
		for _, v := range pod.Volumes {
			if v.HostPath == nil || !written(pod, v.Name) {
				continue
			}
			switch t := v.HostPath.Type; {
			case t == nil, *t == "", *t == corev1.HostPathDirectory, *t == corev1.HostPathDirectoryOrCreate:
				return warn
			}
		}
		return nothing
	}),
	"workload-selector-overlap": created(func(w *world, obj Object) validators.Level {
		var sel *metav1.LabelSelector
		switch o := obj.(type) {
		case sts:
			sel = o.Spec.Selector
		case deployment:
			sel = o.Spec.Selector
		default:
			return nothing
		}
		if sel == nil || len(sel.MatchLabels)+len(sel.MatchExpressions) == 0 {
			return nothing // the API server refuses it
		}
		beside, _ := templatesBeside(w, obj)
		for _, l := range beside {
			if matches(sel, l) {
				return warn
			}
		}
		return nothing
	}),
	"stayput-annotation": exceptUpdatesOfPods(func(_ *world, obj Object) validators.Level {
		kind := strings.TrimPrefix(fmt.Sprintf("%T", obj), "*v1.")
		if slices.Contains([]string{"Job", "CronJob", "ConfigMap"}, kind) || strings.HasPrefix(kind, "*v2.") ||
			strings.HasPrefix(kind, "*cluster.") {
			return nothing // nothing of Stayput's is about them
		}
		bad := misused(kind, obj)
		switch o := obj.(type) {
		case sts:
			bad = bad || misused("Pod", &o.Spec.Template)
			for i := range o.Spec.VolumeClaimTemplates {
				bad = bad || misused("claim template", &o.Spec.VolumeClaimTemplates[i])
			}
		case deployment:
			bad = bad || misused("Pod", &o.Spec.Template)
		}
		if bad {
			return deny
		}
		return nothing
	}),
})

// exceptUpdatesOfPods asks about all that is stored but Pods that are updated: what
// such a rule is about cannot change any more.
func exceptUpdatesOfPods(f func(w *world, obj Object) validators.Level) oracle {
	return func(w *world, old, obj Object) validators.Level {
		if _, pod := obj.(*corev1.Pod); obj == nil || old != nil && (pod || w.same) {
			return nothing
		}
		return f(w, obj)
	}
}

// willBeNamed says whether a Pod is given a hostname without having asked for
// it: exactly one headless Service selects it, and nothing stands in the way.
func willBeNamed(w *world, pod *corev1.Pod) bool {
	var names []string
	for _, svc := range in(w.services, pod.Namespace) {
		if headless(svc) && selects(svc, pod.Labels) && svc.DeletionTimestamp == nil {
			names = append(names, svc.Name)
		}
	}
	return injected(w, pod.Namespace) && len(names) == 1 && names[0] == pod.Spec.Subdomain && !pod.Spec.HostNetwork &&
		pod.Spec.HostnameOverride == nil &&
		!ownedBy(pod, "DaemonSet") && !strings.Contains(pod.Name, ".") && pod.Annotations["kubernetes.io/config.mirror"] == ""
}

// nodesOpenTo counts the nodes that a Pod may be scheduled to.
func nodesOpenTo(w *world, pod *corev1.PodSpec) (n int) {
	for _, node := range w.nodes {
		open := !node.Spec.Unschedulable
		for k, v := range pod.NodeSelector {
			open = open && node.Labels[k] == v
		}
		if a := pod.Affinity; a != nil && a.NodeAffinity != nil {
			some := false
			for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
				all := true
				for _, e := range term.MatchExpressions {
					all = all && slices.Contains(e.Values, node.Labels[e.Key]) == (e.Operator == corev1.NodeSelectorOpIn)
				}
				some = some || all
			}
			open = open && some
		}
		if open {
			n++
		}
	}
	return n
}

func injected(w *world, namespace string) bool {
	ns := find(w.namespaces, "", namespace)
	return ns != nil && ns.Labels["stayput.dev/inject"] == "enabled"
}

// claimsMounted returns the claims that exist and that the template of a
// Deployment has as volumes, to write.
func claimsMounted(w *world, d deployment) (found []pvc) {
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.PersistentVolumeClaim == nil {
			continue
		}
		if c := find(w.claims, d.Namespace, v.PersistentVolumeClaim.ClaimName); c != nil {
			found = append(found, c)
		}
	}
	return found
}

func ownedBy(pod *corev1.Pod, kind string) bool {
	o := ownerOf(pod)
	return o != nil && strings.HasPrefix(o.APIVersion, "apps/") && o.Kind == kind
}

// ownedByOperator says whether the controller of an object is of a group with a domain
// that is not Kubernetes' own.
func ownedByOperator(owned Object) bool {
	o := ownerOf(owned)
	if o == nil {
		return false
	}
	group, _, _ := strings.Cut(o.APIVersion, "/")
	return strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}

// tooLong says whether the kernel refuses the full name of a Pod.
func tooLong(pod corev1.PodSpec, host, subdomain, namespace string) validators.Level {
	asked := pod.SetHostnameAsFQDN != nil && *pod.SetHostnameAsFQDN && !pod.HostNetwork && pod.HostnameOverride == nil
	return warnIf(asked && subdomain != "" && len(host+"."+subdomain+"."+namespace+".svc.cluster.local") > 64)
}

// pinnedToNode says whether Pods can only run on one node.
func pinnedToNode(pod *corev1.PodSpec) bool {
	if pod.NodeName != "" || pod.NodeSelector["kubernetes.io/hostname"] != "" {
		return true
	}
	if pod.Affinity == nil || pod.Affinity.NodeAffinity == nil ||
		pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	for _, term := range pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		one := false
		for _, e := range term.MatchExpressions {
			one = one || e.Key == "kubernetes.io/hostname" && e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1
		}
		if !one {
			return false
		}
	}
	return true
}

// misused says whether a label or an annotation of Stayput's is not what it can
// be on a kind of object.
func misused(kind string, obj metav1.Object) bool {
	words := func(of ...string) func(string) bool {
		return func(v string) bool { return slices.Contains(of, v) }
	}
	labels := map[string]func(string) bool{}
	annotations := map[string]func(string) bool{}
	reclaim := words("Retain", "Delete")
	claimOf := words("db/data/0", "db/data/1", "c/a-b/0", "db/files", "db/data", "retain/claim")
	switch kind {
	case "Pod":
		labels["stayput.dev/subdomain"] = func(v string) bool { return len(validation.IsDNS1123Label(v)) == 0 }
	case "Namespace":
		labels["stayput.dev/inject"], labels["stayput.dev/mode"] = words("enabled"), words("off", "warn", "enforce")
		annotations["stayput.dev/reclaim-policy"] = reclaim
	case "PersistentVolume":
		annotations["stayput.dev/reclaim-policy"], annotations["stayput.dev/claim-of"] = reclaim, claimOf
		annotations["stayput.dev/reclaim-policy-set"] = words("Retain/claim", "Retain/volume")
	case "PersistentVolumeClaim":
		annotations["stayput.dev/reclaim-policy"], annotations["stayput.dev/claim-of"] = reclaim, claimOf
	case "claim template":
		annotations["stayput.dev/reclaim-policy"] = reclaim
	case "StorageClass":
		annotations["stayput.dev/reclaim-policy-defaulted"] = words("true")
	}
	if slices.Contains([]string{"StatefulSet", "PersistentVolumeClaim", "claim template", "PersistentVolume", "Namespace"},
		kind) {
		labels["stayput.dev/protect"] = words("true")
	}
	annotations["exempt.stayput.dev/claim-in-use"] = func(v string) bool { return strings.TrimSpace(v) != "" }
	wrong := func(all map[string]string, known map[string]func(string) bool) bool {
		for key, value := range all {
			ours := strings.HasPrefix(key, "stayput.dev/") || strings.HasPrefix(key, "exempt.stayput.dev/")
			if ours && (known[key] == nil || !known[key](value)) {
				return true
			}
		}
		return false
	}
	return wrong(obj.GetLabels(), labels) || wrong(obj.GetAnnotations(), annotations)
}

// straysTo says whether a StatefulSet takes a Pod that nobody controls for one of its
// own, though it has not made it.
func straysTo(w *world, s sts, pod *corev1.Pod) bool {
	number, ok := strings.CutPrefix(pod.Name, s.Name+"-")
	if !ok || !regexp.MustCompile("^[0-9]{1,9}$").MatchString(number) || !chooses(s.Spec.Selector, pod.Labels) {
		return false
	}
	padded := len(number) > 1 && number[0] == '0'
	return padded && !w.since(38) || !padded && pod.Spec.Hostname != pod.Name
}

// chooses is matches for a controller, which a selector without a requirement leaves
// without Pods.
func chooses(sel *metav1.LabelSelector, on map[string]string) bool {
	return sel != nil && len(sel.MatchLabels)+len(sel.MatchExpressions) > 0 && matches(sel, on)
}
