package manifest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	kjson "sigs.k8s.io/json"

	"stayput.dev/cluster"
)

// A Retired is a version of a kind that Kubernetes no longer serves, or will not
// serve from a release on.
type Retired struct {
	Was     schema.GroupVersionKind
	Since   int                     // the first minor that does not serve it
	Instead schema.GroupVersionKind // empty if nothing replaces it
}

// An Outdated is an object that was written in such a version, and is read in the
// one that replaces it.
type Outdated struct {
	Retired

	// Defaults are what has to be written in the new version to mean the same, for
	// what it has there by default is something else. They are in order.
	Defaults []Default

	// Lacks are the fields of the object that the new version does not have.
	Lacks []string

	// Caution says what has another meaning in the new version, or is empty.
	Caution string
}

// A Default is the value that the old version gave a field, as JSON decodes it.
type Default struct {
	Path  string
	Value any
}

// A lifecycle is what the types of k8s.io/api say about themselves. The API server
// stops serving a version by the same answers, which are those of
// https://kubernetes.io/docs/reference/using-api/deprecation-guide/.
type lifecycle interface {
	APILifecycleRemoved() (major, minor int)
}

// outside are versions whose types have been taken out of k8s.io/api. Source: the
// deprecation guide.
var outside = []Retired{
	{gvk("autoscaling/v2beta1", "HorizontalPodAutoscaler"), 25, gvk("autoscaling/v2", "HorizontalPodAutoscaler")},
	{gvk("autoscaling/v2beta2", "HorizontalPodAutoscaler"), 26, gvk("autoscaling/v2", "HorizontalPodAutoscaler")},
}

func gvk(version, kind string) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(version, kind)
}

// retiredOf returns what is known of a version of a kind, or false if no release
// is known that does not serve it.
func retiredOf(was schema.GroupVersionKind) (Retired, bool) {
	for _, r := range outside {
		if r.Was == was {
			return r, true
		}
	}
	obj, err := cluster.Scheme().New(was)
	if err != nil {
		return Retired{}, false
	}
	of, ok := obj.(lifecycle)
	if !ok {
		return Retired{}, false
	}
	_, since := of.APILifecycleRemoved()
	r := Retired{Was: was, Since: since}
	if of, ok := obj.(interface {
		APILifecycleReplacement() schema.GroupVersionKind
	}); ok {
		r.Instead = of.APILifecycleReplacement()
		r.Instead.Kind = strings.TrimSuffix(r.Instead.Kind, "List") // of an IngressClass, too
	}
	if r.Instead.Empty() { // the same in another version of the group
		for _, gv := range cluster.Scheme().PrioritizedVersionsForGroup(was.Group) {
			if other := gv.WithKind(was.Kind); other != was && served(other) {
				r.Instead = other
				break
			}
		}
		return r, true
	}
	if next, again := retiredOf(r.Instead); again && next.Since <= cluster.NewestMinor {
		r.Instead = next.Instead
	}
	return r, true
}

// served says whether the newest release known serves a kind.
func served(kind schema.GroupVersionKind) bool {
	obj, err := cluster.Scheme().New(kind)
	if err != nil {
		return false
	}
	of, ends := obj.(lifecycle)
	if !ends {
		return true
	}
	_, since := of.APILifecycleRemoved()
	return since > cluster.NewestMinor
}

// AllRetired returns the versions that Kubernetes 1.minor does not serve, sorted.
func AllRetired(minor int) (all []Retired) {
	for kind := range cluster.Scheme().AllKnownTypes() {
		if r, ok := retiredOf(kind); ok && r.Since <= minor && isObject(kind) {
			all = append(all, r)
		}
	}
	for _, r := range outside {
		if r.Since <= minor {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Retired) int {
		return cmp.Or(cmp.Compare(a.Was.GroupVersion().String(), b.Was.GroupVersion().String()),
			cmp.Compare(a.Was.Kind, b.Was.Kind))
	})
	return all
}

// isObject says whether a kind is one of objects, and not of lists or of parts of a
// request.
func isObject(kind schema.GroupVersionKind) bool {
	obj, err := cluster.Scheme().New(kind)
	_, ok := obj.(cluster.Object)
	return err == nil && ok && !slices.Contains([]string{"Eviction", "Scale", "DeploymentRollback"}, kind.Kind)
}

// newer are the kinds that are read in the version which replaces theirs: those
// that a rule looks into.
var newer = []string{"StatefulSet", "Deployment", "ReplicaSet", "DaemonSet", "PodDisruptionBudget", "StorageClass",
	"VolumeAttributesClass", "CronJob"}

// outdated returns an object in the version that replaces its own, with the
// defaults of its own, and what became of that version; or the object as it is,
// and nil, if all releases known serve its version.
func outdated(obj cluster.Object, was schema.GroupVersionKind) (cluster.Object, *Outdated, error) {
	r, ok := retiredOf(was)
	if !ok {
		return obj, nil, nil
	}
	o := &Outdated{Retired: r}
	if !slices.Contains(newer, was.Kind) || r.Instead.Kind != was.Kind {
		return obj, o, nil
	}
	like, err := cluster.Scheme().New(r.Instead)
	if err != nil {
		return obj, o, nil //nolint:nilerr // replaced by what is not in the scheme: read as it is
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, nil, err
	}
	lacks, err := kjson.UnmarshalStrict(data, like)
	if err != nil {
		return nil, nil, fmt.Errorf("read as %s: %w", r.Instead.GroupVersion(), err)
	}
	for _, err := range lacks {
		if at := kjson.FieldError(nil); errors.As(err, &at) {
			o.Lacks = append(o.Lacks, at.FieldPath())
		}
	}
	now := like.(cluster.Object)
	now.GetObjectKind().SetGroupVersionKind(r.Instead)
	o.complete(now)
	return now, o, nil
}

// autoscaler returns an autoscaler of a version that is in no scheme: what it
// scales and how far, which all versions have in the same fields.
func autoscaler(data []byte, r Retired) (cluster.Object, error) {
	obj := &autoscalingv2.HorizontalPodAutoscaler{}
	var of struct {
		Metadata *metav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			ScaleTargetRef *autoscalingv2.CrossVersionObjectReference `json:"scaleTargetRef"`
			MinReplicas    **int32                                    `json:"minReplicas"`
			MaxReplicas    *int32                                     `json:"maxReplicas"`
		} `json:"spec"`
	}
	of.Metadata, of.Spec.ScaleTargetRef = &obj.ObjectMeta, &obj.Spec.ScaleTargetRef
	of.Spec.MinReplicas, of.Spec.MaxReplicas = &obj.Spec.MinReplicas, &obj.Spec.MaxReplicas
	if err := json.Unmarshal(data, &of); err != nil {
		return nil, err
	}
	obj.SetGroupVersionKind(r.Instead)
	return obj, nil
}

// renewed returns an autoscaler of autoscaling/v1, which is served and is not
// outdated, in the version in which rules look autoscalers up.
func renewed(was *autoscalingv1.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	now := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: was.ObjectMeta}
	now.SetGroupVersionKind(gvk("autoscaling/v2", "HorizontalPodAutoscaler"))
	now.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference(was.Spec.ScaleTargetRef)
	now.Spec.MinReplicas, now.Spec.MaxReplicas = was.Spec.MinReplicas, was.Spec.MaxReplicas
	return now
}

// complete gives an object the defaults that its old version had and the new one
// has not. Source: k8s.io/kubernetes pkg/apis/{apps,extensions,policy}/v1beta1,
// defaults.go and conversion.go.
func (o *Outdated) complete(obj cluster.Object) {
	version := o.Was.GroupVersion().String()
	bare := version == "extensions/v1beta1" || version == "apps/v1beta1" // the selector may be left out
	switch obj := obj.(type) {
	case *appsv1.StatefulSet:
		if bare {
			o.selector(&obj.Spec.Selector, obj.Spec.Template.Labels)
			if obj.Spec.UpdateStrategy.Type == "" {
				obj.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
				o.set("spec.updateStrategy.type", string(appsv1.OnDeleteStatefulSetStrategyType))
			}
		}
	case *appsv1.DaemonSet:
		if version == "extensions/v1beta1" {
			o.selector(&obj.Spec.Selector, obj.Spec.Template.Labels)
			if obj.Spec.UpdateStrategy.Type == "" {
				obj.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
				o.set("spec.updateStrategy.type", string(appsv1.OnDeleteDaemonSetStrategyType))
			}
		}
	case *appsv1.ReplicaSet:
		if bare {
			o.selector(&obj.Spec.Selector, obj.Spec.Template.Labels)
		}
	case *appsv1.Deployment:
		if bare {
			o.selector(&obj.Spec.Selector, obj.Spec.Template.Labels)
			o.deployment(&obj.Spec, version)
		}
	case *policyv1.PodDisruptionBudget:
		if s := obj.Spec.Selector; s != nil && len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
			obj.Spec.Selector = nil
			o.Caution = "its empty selector selects no Pod, and in policy/v1 all Pods of the namespace"
		}
	}
}

// selector is by default what the Pod template's labels are.
func (o *Outdated) selector(selector **metav1.LabelSelector, labels map[string]string) {
	if *selector != nil || len(labels) == 0 {
		return
	}
	*selector = &metav1.LabelSelector{MatchLabels: labels}
	value := map[string]any{}
	for k, v := range labels {
		value[k] = v
	}
	o.set("spec.selector.matchLabels", value)
}

// deployment fills in how a Deployment is rolled out. Histories and deadlines
// without an end are no loss.
func (o *Outdated) deployment(spec *appsv1.DeploymentSpec, version string) {
	if version == "apps/v1beta1" {
		fillNil(&spec.RevisionHistoryLimit, 2)
		return
	}
	fillNil(&spec.RevisionHistoryLimit, math.MaxInt32)
	fillNil(&spec.ProgressDeadlineSeconds, math.MaxInt32)
	if spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return
	}
	if spec.Strategy.RollingUpdate == nil {
		spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
	}
	rolling := spec.Strategy.RollingUpdate
	for _, f := range []struct {
		name string
		of   **intstr.IntOrString
	}{{"maxSurge", &rolling.MaxSurge}, {"maxUnavailable", &rolling.MaxUnavailable}} {
		if *f.of == nil {
			fillNil(f.of, intstr.FromInt32(1))
			o.set("spec.strategy.rollingUpdate."+f.name, 1)
		}
	}
}

func (o *Outdated) set(path string, value any) { o.Defaults = append(o.Defaults, Default{path, value}) }

// current returns an object as JSON in the version that it is read in.
func (m *Manifest) current(written []byte) ([]byte, error) {
	if m.Outdated == nil {
		return written, nil
	}
	var fields map[string]any
	if err := json.Unmarshal(written, &fields); err != nil {
		return nil, err
	}
	now := m.GetObjectKind().GroupVersionKind()
	fields["apiVersion"], fields["kind"] = now.GroupVersion().String(), now.Kind
	for _, d := range m.Outdated.Defaults {
		put(fields, strings.Split(d.Path, "."), d.Value)
	}
	return json.Marshal(fields)
}

// put sets a value in nested maps, unless something else is in its way.
func put(fields map[string]any, path []string, value any) {
	if len(path) == 1 {
		fields[path[0]] = value
		return
	}
	inner, ok := fields[path[0]].(map[string]any)
	if !ok && fields[path[0]] == nil {
		inner, ok = map[string]any{}, true
		fields[path[0]] = inner
	}
	if ok {
		put(inner, path[1:], value)
	}
}
