package validators_test

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// lives says whether something runs of a workload that is created, and will be
// adopted.
func lives(w *world, obj Object) bool {
	switch o := obj.(type) {
	case sts:
		return len(livingPods(w, o)) > 0
	case deployment:
		return len(livingSets(w, o)) > 0
	}
	return false
}

// runsSo says, for each rule that denies a creation, whether all that it denies is
// so already with what lives on. There is something that does.
var runsSo = map[string]func(w *world, obj Object) bool{
	"statefulset-service-headless": somePod(func(s sts, _ int,
		p *corev1.Pod) bool {
		return p.Spec.Subdomain == s.Spec.ServiceName
	}),
	"statefulset-service-name": somePod(func(_ sts, _ int, p *corev1.Pod) bool {
		return p.Spec.Subdomain == "" &&
			p.Spec.Hostname == p.Name
	}),
	"statefulset-name-length": somePod(func(_ sts, _ int, p *corev1.Pod) bool { return p.Spec.Hostname == p.Name }),
	"statefulset-grace-period": somePod(func(_ sts, _ int, p *corev1.Pod) bool {
		return p.Spec.TerminationGracePeriodSeconds != nil && *p.Spec.TerminationGracePeriodSeconds == 0
	}),
	"statefulset-shared-claim": func(w *world, obj Object) bool {
		s := obj.(sts)
		for _, claim := range overwritten(w, s) {
			users := 0
			for _, p := range livingPods(w, s) {
				if slices.Contains(claimsIn(&p.Spec), claim) {
					users++
				}
			}
			if users < 2 {
				return false
			}
		}
		return true
	},
	"claim-template-duplicate": everyName(func(s sts) (names []string) {
		for i, t := range s.Spec.VolumeClaimTemplates {
			for _, other := range s.Spec.VolumeClaimTemplates[:i] {
				if other.Name == t.Name {
					names = append(names, t.Name)
				}
			}
		}
		return names
	}),
	"claim-template-pinned": func(w *world, obj Object) bool {
		s := obj.(sts)
		var asked, used []string // volumes, claims
		var ordinals []int
		for n, p := range livingPods(w, s) {
			ordinals, used = append(ordinals, n), append(used, claimsIn(&p.Spec)...)
		}
		for _, c := range claimsFor(w, s, ordinals) {
			if slices.Contains(used, c.Name) {
				asked = append(asked, c.Spec.VolumeName)
			}
		}
		return !slices.ContainsFunc(s.Spec.VolumeClaimTemplates, func(t corev1.PersistentVolumeClaim) bool {
			return t.Spec.VolumeName != "" && !slices.Contains(asked, t.Spec.VolumeName)
		})
	},
	"statefulset-retention": func(w *world, obj Object) bool {
		s := obj.(sts)
		for _, c := range claimsFor(w, s, upTo(100)) {
			if pv := volumeHad(w, c); pv == nil || pv.DeletionTimestamp != nil ||
				pv.Spec.PersistentVolumeReclaimPolicy != "Retain" {
				return false
			}
		}
		wants := map[string]bool{}
		for _, t := range s.Spec.VolumeClaimTemplates {
			if wants[t.Name] {
				return false
			}
			wants[t.Name] = true
		}
		return len(claimsFor(w, s, ordinalsOf(s))) == len(wants)*count(s.Spec.Replicas)
	},
	"deployment-hostname": func(w *world, obj Object) bool {
		d := obj.(deployment)
		return slices.ContainsFunc(livingSets(w, d), func(rs *appsv1.ReplicaSet) bool {
			return rs.Status.Replicas > 1 && rs.Spec.Template.Spec.Hostname == d.Spec.Template.Spec.Hostname
		})
	},
	"deployment-shared-claim": func(w *world, obj Object) bool {
		d := obj.(deployment)
		for _, c := range claimsMounted(w, d) {
			users := 0
			for _, rs := range livingSets(w, d) {
				if slices.Contains(claimsIn(&rs.Spec.Template.Spec), c.Name) {
					users += int(rs.Status.Replicas)
				}
			}
			if users < 2 && slices.Contains(c.Spec.AccessModes, corev1.ReadWriteOncePod) {
				return false
			}
		}
		return true
	},
	"stayput-annotation": func(w *world, obj Object) bool {
		var template *metav1.ObjectMeta
		var had []metav1.ObjectMeta
		bad := misused(strings.TrimPrefix(fmt.Sprintf("%T", obj), "*v1."), obj)
		switch o := obj.(type) {
		case sts:
			template = o.Spec.Template.ObjectMeta.DeepCopy()
			for _, p := range livingPods(w, o) {
				had = append(had, p.ObjectMeta)
			}
			for i := range o.Spec.VolumeClaimTemplates {
				bad = bad || misused("claim template", &o.Spec.VolumeClaimTemplates[i])
			}
		case deployment:
			template = o.Spec.Template.ObjectMeta.DeepCopy()
			for _, rs := range livingSets(w, o) {
				had = append(had, rs.Spec.Template.ObjectMeta)
			}
		}
		for _, m := range had { // what runs so is no news
			for k, v := range m.Labels {
				if template.Labels[k] == v {
					delete(template.Labels, k)
				}
			}
			for k, v := range m.Annotations {
				if template.Annotations[k] == v {
					delete(template.Annotations, k)
				}
			}
		}
		return !bad && !misused("Pod", template)
	},
}

// somePod asks about each Pod that lives, with its ordinal.
func somePod(f func(s sts, n int, p *corev1.Pod) bool) func(*world, Object) bool {
	return func(w *world, obj Object) bool {
		for n, p := range livingPods(w, obj.(sts)) {
			if f(obj.(sts), n, p) {
				return true
			}
		}
		return false
	}
}

// everyName says whether, of each name, some Pod has the claim of a template of
// that name as its volume.
func everyName(names func(sts) []string) func(*world, Object) bool {
	return func(w *world, obj Object) bool {
		return !slices.ContainsFunc(names(obj.(sts)), func(name string) bool {
			return !somePod(func(s sts, n int, p *corev1.Pod) bool {
				return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
					return v.Name == name && v.PersistentVolumeClaim != nil &&
						v.PersistentVolumeClaim.ClaimName == fmt.Sprintf("%s-%s-%d", name, s.Name, n)
				})
			})(w, obj)
		})
	}
}

// livingPods returns the Pods, by ordinal, that a StatefulSet which is created
// finds and takes.
func livingPods(w *world, s sts) map[int]*corev1.Pod {
	found := map[int]*corev1.Pod{}
	for _, n := range ordinalsOf(s) {
		p := find(w.pods, s.Namespace, fmt.Sprintf("%s-%d", s.Name, n))
		if p != nil && runs(p) && matches(s.Spec.Selector, p.Labels) && free(p, "StatefulSet", s.Name) {
			found[n] = p
		}
	}
	return found
}

func livingSets(w *world, d deployment) (found []*appsv1.ReplicaSet) {
	for _, rs := range in(w.replicaSets, d.Namespace) {
		if rs.DeletionTimestamp == nil && rs.Status.Replicas > 0 && matches(d.Spec.Selector, rs.Labels) &&
			free(rs, "Deployment", d.Name) {
			found = append(found, rs)
		}
	}
	return found
}

// free says whether an object has no controller, or one whose name is that of
// what is created, and which so is gone.
func free(o Object, kind, name string) bool {
	c := ownerOf(o)
	return c == nil || c.APIVersion == "apps/v1" && c.Kind == kind && c.Name == name
}

func claimsIn(pod *corev1.PodSpec) (names []string) {
	for _, v := range pod.Volumes {
		if v.PersistentVolumeClaim != nil {
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return names
}
