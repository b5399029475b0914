package validators_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/validators"
)

// member matches the names of Pods of StatefulSets, as worlds have them: with a
// namespace or a port, or without.
var member = regexp.MustCompile(`(?:^|[=, /])([a-z-]+)-(\d+)\.([a-z][a-z-]*)(?:\.(app|other))?(:\d+)?(?:$|[:,])`)

var _ = register(map[string]oracle{
	"statefulset-peer-names": gravest(ofAnyPod(missesInPod), stored(func(w *world, j *batchv1.Job) validators.Level {
		owner := ownerOf(j)
		if j.DeletionTimestamp != nil || owner != nil && owner.Kind == "CronJob" ||
			slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
				return c.Status == "True" && c.Type != batchv1.JobSuspended
			}) {
			return nothing
		}
		return missesInPod(w, j, &j.Spec.Template.Spec)
	}), stored(func(w *world, c *batchv1.CronJob) validators.Level {
		if c.DeletionTimestamp != nil {
			return nothing
		}
		return missesInPod(w, c, &c.Spec.JobTemplate.Spec.Template.Spec)
	}), stored(func(w *world, cm *corev1.ConfigMap) validators.Level {
		for _, text := range cm.Data {
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "#") && misses(w, cm, strings.TrimSpace(line)) {
					return warn
				}
			}
		}
		return nothing
	})),
})

// missesInPod is about what the containers of a Pod say.
func missesInPod(w *world, o Object, pod *corev1.PodSpec) validators.Level {
	for _, c := range allContainers(pod) {
		said := slices.Concat(c.Command, c.Args)
		for _, e := range c.Env {
			said = append(said, e.Value)
		}
		if slices.ContainsFunc(said, func(text string) bool { return misses(w, o, text) }) {
			return warn
		}
	}
	return nothing
}

// misses says whether a text names a Pod that no StatefulSet has.
func misses(w *world, o Object, text string) bool {
	for {
		at := member.FindStringSubmatchIndex(text)
		if at == nil {
			return false
		}
		part := func(n int) string {
			if at[2*n] < 0 {
				return ""
			}
			return text[at[2*n]:at[2*n+1]]
		}
		set, number, service, namespace, port := part(1), part(2), part(3), part(4), part(5)
		text = text[at[7]:]
		if namespace != "" && namespace != o.GetNamespace() {
			continue // a top-level domain may have the name of a namespace
		}
		named := find(w.services, o.GetNamespace(), service) != nil
		s := find(w.statefulSets, o.GetNamespace(), set)
		if self, ok := o.(*appsv1.StatefulSet); ok && self.Name == set {
			s = self
		}
		switch {
		case s == nil:
			if named && slices.ContainsFunc(in(w.statefulSets, o.GetNamespace()), func(s sts) bool {
				return s.Spec.ServiceName == service && s.DeletionTimestamp == nil
			}) {
				return true
			}
		case s.DeletionTimestamp != nil || s.Spec.ServiceName == "":
		case s.Spec.ServiceName != service:
			if own := governing(w, s); own != nil && headless(own) && (named || port != "") {
				return true
			}
		default:
			n, _ := strconv.Atoi(number)
			own := ordinalsOf(s)
			first := 0
			if s.Spec.Ordinals != nil {
				first = int(s.Spec.Ordinals.Start)
			}
			fixed := s.Spec.Replicas != nil && len(own) > 0 && !slices.ContainsFunc(w.autoscalers, func(h autoscaler) bool {
				return h.Namespace == s.Namespace && h.Spec.ScaleTargetRef.Kind == "StatefulSet" &&
					h.Spec.ScaleTargetRef.Name == s.Name
			})
			if n < first || fixed && !slices.Contains(own, n) {
				return true
			}
		}
	}
}
