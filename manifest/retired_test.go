package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"

	"stayput.dev/cluster"
)

// TestRetiredVersionsAreKnown holds what is known of versions to the deprecation
// guide, for the kinds that people still write.
func TestRetiredVersionsAreKnown(t *testing.T) {
	known := map[string]string{}
	for _, r := range AllRetired(cluster.NewestMinor) {
		known[r.Was.GroupVersion().String()+" "+r.Was.Kind] = Retired{Since: r.Since, Instead: r.Instead}.text()
		if next, again := retiredOf(r.Instead); again && next.Since <= cluster.NewestMinor {
			t.Errorf("%s is replaced by %s, which is not served either", r.Was, r.Instead)
		}
	}
	for was, want := range map[string]string{
		"apps/v1beta1 StatefulSet":                    "16 apps/v1",
		"apps/v1beta2 StatefulSet":                    "16 apps/v1",
		"apps/v1beta2 ReplicaSet":                     "16 apps/v1",
		"extensions/v1beta1 Deployment":               "16 apps/v1",
		"extensions/v1beta1 DaemonSet":                "16 apps/v1",
		"extensions/v1beta1 Ingress":                  "22 networking.k8s.io/v1",
		"networking.k8s.io/v1beta1 Ingress":           "22 networking.k8s.io/v1",
		"policy/v1beta1 PodDisruptionBudget":          "25 policy/v1",
		"storage.k8s.io/v1beta1 StorageClass":         "22 storage.k8s.io/v1",
		"storage.k8s.io/v1beta1 CSIStorageCapacity":   "27 storage.k8s.io/v1",
		"storage.k8s.io/v1alpha1 CSIStorageCapacity":  "24 storage.k8s.io/v1",
		"batch/v1beta1 CronJob":                       "25 batch/v1",
		"autoscaling/v2beta1 HorizontalPodAutoscaler": "25 autoscaling/v2",
		"autoscaling/v2beta2 HorizontalPodAutoscaler": "26 autoscaling/v2",
		"rbac.authorization.k8s.io/v1beta1 Role":      "22 rbac.authorization.k8s.io/v1",
	} {
		if known[was] != want {
			t.Errorf("%s: %q, want %q", was, known[was], want)
		}
	}
	for _, k := range cluster.Kinds {
		if r, ok := retiredOf(k.GVK()); ok {
			t.Errorf("%s is what rules review, and is not served since 1.%d", k.GVK(), r.Since)
		}
	}
}

func (r Retired) text() string {
	return fmt.Sprintf("%d %s", r.Since, r.Instead.GroupVersion())
}

// TestOutdatedIsReadAsMeant reads objects of old versions with the defaults that
// these had.
func TestOutdatedIsReadAsMeant(t *testing.T) {
	const pods = "  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: i}]}}\n"
	for name, tt := range map[string]struct {
		text    string
		holds   func(cluster.Object) bool
		want    []Default
		lacks   []string
		caution bool
	}{
		"a StatefulSet of apps/v1beta1": {
			text: "apiVersion: apps/v1beta1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  serviceName: db\n" + pods,
			holds: func(o cluster.Object) bool {
				s := o.(*appsv1.StatefulSet)
				return s.Spec.UpdateStrategy.Type == "OnDelete" && s.Spec.Selector.MatchLabels["app"] == "db"
			},
			want: []Default{{"spec.selector.matchLabels", map[string]any{"app": "db"}},
				{"spec.updateStrategy.type", "OnDelete"}},
		},
		"one that says all of it": {
			text: "apiVersion: apps/v1beta1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n" +
				"  selector: {matchLabels: {app: db}}\n  updateStrategy: {type: RollingUpdate}\n" + pods,
			holds: func(o cluster.Object) bool {
				return o.(*appsv1.StatefulSet).Spec.UpdateStrategy.Type == "RollingUpdate"
			},
		},
		"a StatefulSet of apps/v1beta2": {
			text: "apiVersion: apps/v1beta2\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n" + pods,
			holds: func(o cluster.Object) bool {
				s := o.(*appsv1.StatefulSet)
				return s.Spec.UpdateStrategy.Type == "" && s.Spec.Selector == nil && s.Spec.Template.Labels["app"] == "db"
			},
		},
		"a Deployment of extensions/v1beta1": {
			text: "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: db}\nspec:\n  strategy: {rollingUpdate: " +
				"{maxSurge: 0}}\n" + pods,
			holds: func(o cluster.Object) bool {
				d := o.(*appsv1.Deployment)
				return d.Spec.Selector.MatchLabels["app"] == "db" && d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() == 1 &&
					d.Spec.Strategy.RollingUpdate.MaxSurge.IntValue() == 0
			},
			want: []Default{{"spec.selector.matchLabels", map[string]any{"app": "db"}},
				{"spec.strategy.rollingUpdate.maxUnavailable", 1}},
		},
		"fields that only the old version has": {
			text: "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: db}\nspec:\n  rollbackTo: {revision: 3}\n" +
				"  selector: {matchLabels: {app: db}}\n" + pods,
			holds: func(o cluster.Object) bool { return *o.(*appsv1.Deployment).Spec.RevisionHistoryLimit == 2 },
			lacks: []string{"spec.rollbackTo"},
		},
		"a budget that selects nothing": {
			text:    "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: db}\nspec: {selector: {}}\n",
			holds:   func(o cluster.Object) bool { return o.(*policyv1.PodDisruptionBudget).Spec.Selector == nil },
			caution: true,
		},
		"an autoscaler": {
			text: "apiVersion: autoscaling/v2beta2\nkind: HorizontalPodAutoscaler\nmetadata: {name: db}\n" +
				"spec: {metrics: [], scaleTargetRef: {kind: StatefulSet, name: x}, minReplicas: 2}\n",
			holds: func(o cluster.Object) bool {
				h, ok := o.(*autoscalingv2.HorizontalPodAutoscaler)
				return ok && h.Name == "db" && h.Spec.ScaleTargetRef.Name == "x" && *h.Spec.MinReplicas == 2
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := ReadStream("f.yaml", []byte(tt.text))
			if len(s.Errors) > 0 || len(s.Manifests) != 1 {
				t.Fatalf("%v, %d objects", s.Errors, len(s.Manifests))
			}
			m := &s.Manifests[0]
			if m.Outdated == nil || !tt.holds(m.Object) || (m.Outdated.Caution != "") != tt.caution || len(m.Unknown) > 0 {
				t.Errorf("read as %+v, %+v, unknown %v", m.Object, m.Outdated, m.Unknown)
			}
			if diff := cmp.Diff(tt.want, m.Outdated.Defaults); diff != "" {
				t.Errorf("defaults (-want +got):\n%s", diff)
			}
			if !slices.Equal(m.Outdated.Lacks, tt.lacks) {
				t.Errorf("the new version lacks %v, want %v", m.Outdated.Lacks, tt.lacks)
			}
			live := m.Object.DeepCopyObject().(cluster.Object)
			over, err := m.Over(live)
			if err != nil || over.GetObjectKind().GroupVersionKind() != m.GetObjectKind().GroupVersionKind() {
				t.Errorf("laid over itself: %v, %v", over, err)
			}
		})
	}
}

// TestRepeatedKeysAreOfTheirObject reads keys that are written twice, in items of a
// List, in JSON and in labels.
func TestRepeatedKeysAreOfTheirObject(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string // by object: the path, and the line of the last
	}{
		"items": {text: "apiVersion: v1\nkind: List\nkind: List\nitems:\n" +
			"- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n" +
			"- apiVersion: v1\n  kind: Service\n  metadata:\n    name: b\n    name: c\n" +
			"  spec: {type: NodePort, type: ClusterIP}\n",
			want: []string{"kind 3:1", "metadata.name 12:5 spec.type 13:26"}},
		"JSON": {text: "{\"apiVersion\": \"v1\", \"kind\": \"Service\",\n" +
			" \"metadata\": {\"name\": \"a\", \"name\": \"b\"}}\n",
			want: []string{"metadata.name 2:28"}},
		"a label": {text: "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels:\n    x.y/z: a\n    x.y/z: b\n",
			want: []string{"metadata.labels[x.y/z] 7:5"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := ReadStream("f", []byte(tt.text))
			var got []string
			for _, m := range s.Manifests {
				var all []string
				for _, err := range m.Unknown {
					var twice *RepeatedError
					if !errors.As(err, &twice) {
						t.Fatal(err)
					}
					all = append(all, fmt.Sprintf("%s %d:%d", twice.Field, twice.Last.Line, twice.Last.Column))
				}
				got = append(got, strings.Join(all, " "))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, s.Errors)
			}
		})
	}
}

// TestServedAutoscaler reads an autoscaler of the older version, which is served, in
// the one in which rules look autoscalers up, from every form of a document.
func TestServedAutoscaler(t *testing.T) {
	const v1 = "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: db, namespace: shop}\n" +
		"spec: {minReplicas: 2, maxReplicas: 5, targetCPUUtilizationPercentage: 80, " +
		"scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: db}}\n"
	for name, text := range map[string]string{
		"plain":    v1,
		"a typo":   v1 + "speck: {}\n",
		"in order": "kind: HorizontalPodAutoscaler\n" + strings.Replace(v1, "kind: HorizontalPodAutoscaler\n", "", 1),
		"in a list": "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(v1), "\n", "\n  ") +
			"\n",
	} {
		all, _, err := ParseManifests("hpa.yaml", []byte(text))
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %d objects, %v", name, len(all), err)
		}
		m := all[0]
		h, ok := m.Object.(*autoscalingv2.HorizontalPodAutoscaler)
		if !ok {
			t.Fatalf("%s: a %T", name, m.Object)
		}
		if ref := h.Spec.ScaleTargetRef; m.Outdated != nil || h.Name != "db" || h.Namespace != "shop" ||
			*h.Spec.MinReplicas != 2 || h.Spec.MaxReplicas != 5 || ref.Kind != "StatefulSet" || ref.Name != "db" ||
			h.APIVersion != "autoscaling/v2" {
			t.Errorf("%s: outdated %v, %+v", name, m.Outdated, h)
		}
		if (len(m.Unknown) > 0) != (name == "a typo") {
			t.Errorf("%s: unknown %v", name, m.Unknown)
		}
	}
}
