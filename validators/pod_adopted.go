package validators

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// Source: k8s.io/kubernetes@v1.38.0-beta.0
// pkg/controller/statefulset/stateful_set_utils.go, isMemberOf; kubernetes#141094.
var exactPodNames = &cluster.Feature{
	With:    "a StatefulSet adopts only Pods that are named as it names them, and the rule ignores db-01",
	Without: "the number may begin with zeros",
	On:      []cluster.Span{{From: cluster.Version{Minor: 38}}},
}

// Source: k8s.io/kubernetes@v1.33.13 and v1.34.4: the StatefulSet controller's UpdateStatefulPod
// writes db-01 as db-1. An older API server calls that a conflict, and not an object that is not
// there; the second try finds the name in order, and the Pod, of no revision, is replaced as one
// of an old revision (findings/statefulset-adopts-by-number.sh).
var adoptedStays = &cluster.Feature{
	With:    "an adopted Pod db-01 stays, and db-1 is never made",
	Without: "it is deleted, and db-1 made, unless updates are OnDelete; the rule warns all the same",
	On:      []cluster.Span{{From: cluster.Version{Minor: 34}}},
}

var podAdopted = &Rule{
	Name:  "pod-adopted",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &appsv1.StatefulSet{}, &corev1.Pod{}},
	Doc: `a Pod that no controller made must not look like one of a controller's Pods

A StatefulSet adopts every Pod that its selector matches and whose name is the
StatefulSet's name, a dash and a number. If the number may begin with zeros, a
Pod db-01 counts as ordinal 1 of StatefulSet db: it is deleted, or db-1 is never
created, nor any Pod with a higher ordinal. A Pod db-1 that somebody else made takes the
place of that member, without its volumes and its DNS name. A Pod whose number
is out of range is deleted at once, and so is one whose ordinal exists already.
The ReplicaSet of a Deployment adopts a Pod with its label pod-template-hash,
such as a copy of one of its Pods, and then deletes that Pod or another, because
there is one Pod too many. A ReplicaSet that no Deployment made adopts every Pod
that its selector matches; lint looks for those.

Give such a Pod a name that does not end in a number, or other labels, and leave
pod-template-hash out of a copy. The rule ignores Pods that a StatefulSet has
left behind (--cascade=orphan), which have its hostnames: they are meant to be
adopted again. Audit and lint also find a Pod that has been adopted already
under such a number.`,

	Versions: []*cluster.Feature{adoptedStays, exactPodNames},

	Exempt: "the Pod was made by hand to stand in for one of a controller, and goes again",

	Checks: []Check{
		OnCreate(func(p *Pass, pod *corev1.Pod) error {
			if !live(pod) {
				return nil
			}
			if metav1.GetControllerOfNoCopy(pod) != nil {
				wasAdopted(p, pod)
				return nil
			}
			if pod.ResourceVersion != "" && !p.Cluster.Manifests() {
				return nil // nobody has adopted it, though it is there
			}
			return errors.Join(bySet(p, pod), byDeployment(p, pod), byReplicaSet(p, pod))
		}),
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			if sts.DeletionTimestamp != nil || sts.ResourceVersion != "" && !p.Cluster.Manifests() {
				return nil // what it adopts it has adopted
			}
			return adoptsStrays(p, sts)
		}),
		OnCreate(func(p *Pass, rs *appsv1.ReplicaSet) error {
			if !p.Cluster.Manifests() || madeByDeployment(rs) {
				return nil
			}
			return adoptsAny(p, rs)
		}),
	},
}

// wasAdopted reports a Pod that a StatefulSet controls, but cannot have made. One
// that adopts no such name lets it go again.
func wasAdopted(p *Pass, pod *corev1.Pod) {
	set, ordinal, own, ok := cluster.Numbered(pod.Name)
	if !ok || own || p.has(exactPodNames) == cluster.Always || !ofStatefulSet(pod) ||
		metav1.GetControllerOfNoCopy(pod).Name != set {
		return
	}
	fate := fmt.Sprintf("%s-%d is never made", set, ordinal)
	if p.has(adoptedStays) != cluster.Always {
		fate = "it is deleted, or " + fate
	}
	p.Report(field.Invalid(namePath, short(pod.Name), fmt.Sprintf(
		"must not be a Pod of StatefulSet %s, which adopted it as ordinal %d; %s", set, ordinal, fate)),
		p.Mend("name: "+numberless(pod.Name), fmt.Sprintf("kubectl delete pod %s -n %s", pod.Name, pod.Namespace)))
}

// strays is [cluster.Strays] for the releases of the cluster.
func strays(p *Pass, pod *corev1.Pod) (set string, ordinal int, ok bool) {
	set, ordinal, ok = cluster.Strays(pod)
	if ok && p.has(exactPodNames) == cluster.Always {
		_, _, ok, _ = cluster.Numbered(pod.Name)
	}
	return set, ordinal, ok
}

// numberless returns a name like another that does not end in a number.
func numberless(name string) string {
	const suffix = "-pod"
	return cut(name, validation.DNS1123LabelMaxLength-len(suffix)) + suffix
}

// bySet reports a Pod that a StatefulSet will adopt.
func bySet(p *Pass, pod *corev1.Pod) error {
	name, ordinal, ok := strays(p, pod)
	if !ok {
		return nil
	}
	sts, err := cluster.Get[appsv1.StatefulSet](p.Cluster, pod.Namespace, name)
	if err != nil {
		return fmt.Errorf("get StatefulSet %s: %w", name, err)
	}
	if sts == nil || sts.DeletionTimestamp != nil || !selects(sts.Spec.Selector, pod.Labels) {
		return nil
	}
	fate := "deletes it at once"
	if ordinals(sts).has(ordinal) {
		fate = fmt.Sprintf("keeps it in place of %s-%d, or deletes it", name, ordinal)
	}
	p.Report(field.Invalid(namePath, short(pod.Name), fmt.Sprintf(
		"must not be a name of StatefulSet %s, whose selector matches the Pod; it adopts it, and %s", name, fate)),
		"name: "+numberless(pod.Name))
	return nil
}

// selects says whether a workload's selector matches a Pod.
func selects(selector *metav1.LabelSelector, podLabels map[string]string) bool {
	sel, err := metav1.LabelSelectorAsSelector(selector) // nil matches nothing
	return err == nil && !sel.Empty() && sel.Matches(labels.Set(podLabels))
}

// byDeployment reports a Pod with the label by which the ReplicaSet of a Deployment
// knows its own. The ReplicaSets need not be looked up: nobody writes the label
// himself.
func byDeployment(p *Pass, pod *corev1.Pod) error {
	hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if hash == "" {
		return nil
	}
	all, err := cluster.Find(p.Cluster, cluster.DeploymentsByLabel, pod.Namespace,
		cluster.SelectorKeys(labels.Everything())...)
	if err != nil {
		return fmt.Errorf("list Deployments: %w", err)
	}
	var names []string
	for _, d := range all {
		if d.DeletionTimestamp == nil && selects(d.Spec.Selector, pod.Labels) {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	p.Report(field.Invalid(field.NewPath("metadata", "labels").Key(appsv1.DefaultDeploymentUniqueLabelKey), short(hash),
		fmt.Sprintf("must be left out; the ReplicaSet of Deployment %s that has it adopts the Pod, and deletes it or another",
			slices.Min(names))), "remove it")
	return nil
}

// adoptsStrays reports the Pods that a new StatefulSet will adopt, though none made
// them. Of Pods in the same manifests it is said where they are.
func adoptsStrays(p *Pass, sts *appsv1.StatefulSet) error {
	found, err := cluster.Find(p.Cluster, cluster.StrayPods, sts.Namespace, sts.Name)
	if p.Cluster.Manifests() && errors.Is(err, cluster.ErrUnknown) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list Pods: %w", err)
	}
	found = slices.DeleteFunc(slices.Clone(found), func(pod *corev1.Pod) bool {
		set, _, ok := strays(p, pod)
		return !ok || set != sts.Name
	})
	return reportAdopted(p, sts.Namespace, sts.Spec.Selector, found)
}

// reportAdopted reports those of some Pods that a new workload will adopt.
func reportAdopted(p *Pass, namespace string, selector *metav1.LabelSelector, found []*corev1.Pod) (err error) {
	var names []string
	for _, pod := range found {
		if !live(pod) || p.Cluster.Manifests() && pod.ResourceVersion == "" {
			continue
		}
		if now := p.Cluster.Live(); now != nil { // caches have no labels of Pods
			if pod, err = cluster.Get[corev1.Pod](now, pod.Namespace, pod.Name); err != nil {
				return fmt.Errorf("get Pod: %w", err)
			}
		}
		if pod != nil && selects(selector, pod.Labels) {
			names = append(names, pod.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	p.Report(field.Invalid(specPath.Child("selector"), short(formatSelector(selector)),
		fmt.Sprintf("must not match Pods that no controller made: %s; it adopts them in place of its own, or deletes them",
			cluster.Few(names))), p.Mend("select by a label that these Pods do not have", freed(namespace, selector, names)))
	return nil
}

// madeByDeployment says whether a Deployment made a ReplicaSet. By that, its Pods are
// judged.
func madeByDeployment(rs *appsv1.ReplicaSet) bool {
	owner := metav1.GetControllerOfNoCopy(rs)
	return owner != nil && owner.Kind == "Deployment"
}

// byReplicaSet reports a Pod that a ReplicaSet will adopt which no Deployment made.
// Only lint knows ReplicaSets, and perhaps not that there are none.
func byReplicaSet(p *Pass, pod *corev1.Pod) error {
	if !p.Cluster.Manifests() {
		return nil
	}
	all, err := cluster.List[appsv1.ReplicaSetList](p.Cluster, cluster.InNamespace(pod.Namespace))
	if err != nil {
		return cluster.Failed(fmt.Errorf("list ReplicaSets: %w", err))
	}
	var by *appsv1.ReplicaSet
	for i := range all.Items {
		rs := &all.Items[i]
		if rs.DeletionTimestamp == nil && !madeByDeployment(rs) && selects(rs.Spec.Selector, pod.Labels) &&
			(by == nil || rs.Name < by.Name) {
			by = rs
		}
	}
	if by == nil {
		return nil
	}
	fate := "keeps it in place of one of its own, or deletes it or another"
	if replicasOf(by.Spec.Replicas) == 0 {
		fate = "deletes it at once"
	}
	what := fmt.Sprintf("must not match ReplicaSet %s, which no Deployment made; it adopts the Pod, and %s", by.Name, fate)
	path := field.NewPath("metadata", "labels")
	key, value := telling(by.Spec.Selector)
	if key == "" {
		p.Report(field.Invalid(path, short(labels.FormatLabels(pod.Labels)), what),
			"give the Pod labels that do not match "+formatSelector(by.Spec.Selector))
		return nil
	}
	p.Report(field.Invalid(path.Key(key), short(value), what), setting(path.Key(key), numberless(value), 2).Text())
	return nil
}

// adoptsAny reports the Pods in the cluster that a ReplicaSet in a manifest will
// adopt. Of Pods in manifests it is said where they are.
func adoptsAny(p *Pass, rs *appsv1.ReplicaSet) error {
	pods, err := cluster.List[corev1.PodList](p.Cluster, cluster.InNamespace(rs.Namespace))
	if err != nil {
		return cluster.Failed(fmt.Errorf("list Pods: %w", err))
	}
	var bare []*corev1.Pod
	for i := range pods.Items {
		if metav1.GetControllerOfNoCopy(&pods.Items[i]) == nil {
			bare = append(bare, &pods.Items[i])
		}
	}
	return reportAdopted(p, rs.Namespace, rs.Spec.Selector, bare)
}

// telling returns the shortest label that a selector requires, or "".
func telling(selector *metav1.LabelSelector) (key, value string) {
	wanted := selectorLabels(selector)
	if len(wanted) == 0 {
		return "", ""
	}
	key = slices.MinFunc(slices.Collect(maps.Keys(wanted)), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return key, wanted[key]
}

// freed returns the command that takes Pods out of the reach of a selector, or, if
// that requires no label, the one that deletes them.
func freed(namespace string, selector *metav1.LabelSelector, pods []string) string {
	all := strings.Join(pods, " ")
	key, value := telling(selector)
	if key == "" {
		return fmt.Sprintf("kubectl delete pod %s -n %s", all, namespace)
	}
	return fmt.Sprintf("kubectl label pod %s -n %s --overwrite %s=%s", all, namespace, key, numberless(value))
}
