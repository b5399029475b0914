package mutators

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gomodules.xyz/jsonpatch/v2"
	evanphx "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPatch(t *testing.T) {
	for name, tc := range map[string]struct {
		raw  string
		edit func(pod *corev1.Pod)
		ops  string // the patch, exactly
		want string // what the patch makes of raw
	}{
		"nothing changed": {
			raw:  `{"metadata":{"name":"a"},"spec":{"containers":[]}}`,
			edit: func(*corev1.Pod) {},
			ops:  `null`,
			want: `{"metadata":{"name":"a"},"spec":{"containers":[]}}`,
		},
		"what differs in Go and not in JSON is no change": {
			raw: `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}`,
			edit: func(pod *corev1.Pod) {
				pod.Labels = map[string]string{}
				pod.Spec.Containers[0].Env = []corev1.EnvVar{}
				pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{}
			},
			ops:  `null`,
			want: `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}`,
		},
		"a map that was not there is added as one": {
			raw:  `{"metadata":{"name":"a"},"spec":{"containers":[]}}`,
			edit: func(pod *corev1.Pod) { pod.Annotations = map[string]string{"b/c~d": "1", "a": "2"} },
			ops:  `[{"op":"add","path":"/metadata/annotations","value":{"a":"2","b/c~d":"1"}}]`,
			want: `{"metadata":{"name":"a","annotations":{"a":"2","b/c~d":"1"}},"spec":{"containers":[]}}`,
		},
		"keys are escaped, and changed in order": {
			raw: `{"metadata":{"annotations":{"b/c~d":"1","e":"2"}},"spec":{"containers":[]}}`,
			edit: func(pod *corev1.Pod) {
				pod.Annotations["b/c~d"] = "3"
				pod.Annotations["a\"/"] = "4"
				delete(pod.Annotations, "e")
			},
			ops: `[{"op":"add","path":"/metadata/annotations/a\"~1","value":"4"},
				{"op":"replace","path":"/metadata/annotations/b~1c~0d","value":"3"},
				{"op":"remove","path":"/metadata/annotations/e"}]`,
			want: `{"metadata":{"annotations":{"b/c~d":"3","a\"/":"4"}},"spec":{"containers":[]}}`,
		},
		"what is written as empty is there as well as not": {
			raw: `{"metadata":{"labels":{},"annotations":null},"spec":{"hostname":"","subdomain":null,"containers":[],"securityContext":{"newer":1}}}`,
			edit: func(pod *corev1.Pod) {
				pod.Labels = map[string]string{"a": "b"}
				pod.Annotations = map[string]string{"a": "b"}
				pod.Spec.Hostname, pod.Spec.Subdomain = "h", "s"
				pod.Spec.SecurityContext.RunAsUser = new(int64(1 << 60))
				pod.Spec.Containers = []corev1.Container{{Name: "c"}}
			},
			ops: `[{"op":"add","path":"/metadata/labels","value":{"a":"b"}},
				{"op":"add","path":"/metadata/annotations","value":{"a":"b"}},
				{"op":"add","path":"/spec/containers/0","value":{"name":"c","resources":{}}},
				{"op":"add","path":"/spec/securityContext/runAsUser","value":1152921504606846976},
				{"op":"add","path":"/spec/hostname","value":"h"},
				{"op":"add","path":"/spec/subdomain","value":"s"}]`,
			want: `{"metadata":{"labels":{"a":"b"},"annotations":{"a":"b"}},"spec":{"hostname":"h","subdomain":"s",
				"containers":[{"name":"c","resources":{}}],"securityContext":{"newer":1,"runAsUser":1152921504606846976}}}`,
		},
		"a struct that Go always has is added where the wire has none": {
			raw:  `{"spec":{"containers":[{"name":"c"}]}}`,
			edit: func(pod *corev1.Pod) { setCPU(&pod.Spec.Containers[0]); pod.Status.Phase = "Running"; pod.Name = "a" },
			ops: `[{"op":"add","path":"/metadata","value":{"name":"a"}},
				{"op":"add","path":"/spec/containers/0/resources","value":{"limits":{"cpu":"1"}}},
				{"op":"add","path":"/status","value":{"phase":"Running"}}]`,
			want: `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1"}}}]},"status":{"phase":"Running"}}`,
		},
		"what goes is removed, and nothing beside it": {
			raw: `{"metadata":{"creationTimestamp":"2026-01-01T00:00:00Z","labels":{"a":"b"}},"spec":{"newer":1,"hostname":"h","securityContext":{"runAsUser":1},"containers":[{"name":"c","resources":{"newer":1,"limits":{"cpu":"1"}}}]}}`,
			edit: func(pod *corev1.Pod) {
				pod.CreationTimestamp, pod.Labels, pod.Spec.Hostname, pod.Spec.SecurityContext = metav1.Time{}, nil, "", nil
				pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{}
			},
			ops: `[{"op":"remove","path":"/metadata/creationTimestamp"},
				{"op":"remove","path":"/metadata/labels"},
				{"op":"remove","path":"/spec/containers/0/resources/limits"},
				{"op":"remove","path":"/spec/securityContext"},
				{"op":"remove","path":"/spec/hostname"}]`,
			want: `{"metadata":{},"spec":{"newer":1,"containers":[{"name":"c","resources":{"newer":1}}]}}`,
		},
		"unknown fields stay with the container of their name": {
			raw: `{"spec":{"newer":1,"containers":[{"name":"db","newer":{"of":"db"}},{"name":"log","newer":{"of":"log"}}]}}`,
			edit: func(pod *corev1.Pod) {
				c := pod.Spec.Containers
				setCPU(&c[0])
				pod.Spec.Containers = []corev1.Container{{Name: "agent"}, c[1], c[0]}
			},
			ops: `[{"op":"add","path":"/spec/containers/0","value":{"name":"agent","resources":{}}},
				{"op":"remove","path":"/spec/containers/2"},
				{"op":"add","path":"/spec/containers/1","value":{"name":"log","newer":{"of":"log"}}},
				{"op":"add","path":"/spec/containers/2/resources","value":{"limits":{"cpu":"1"}}}]`,
			want: `{"spec":{"newer":1,"containers":[{"name":"agent","resources":{}},{"name":"log","newer":{"of":"log"}},
				{"name":"db","newer":{"of":"db"},"resources":{"limits":{"cpu":"1"}}}]}}`,
		},
		"of two items of one name, the one that stays keeps what is its own": {
			raw:  `{"spec":{"containers":[{"name":"c","image":"a","newer":1},{"name":"c","image":"b","newer":2}]}}`,
			edit: func(pod *corev1.Pod) { pod.Spec.Containers = pod.Spec.Containers[1:] },
			ops:  `[{"op":"remove","path":"/spec/containers/0"}]`,
			want: `{"spec":{"containers":[{"name":"c","image":"b","newer":2}]}}`,
		},
		"items are removed, last first, and inserted": {
			raw: `{"spec":{"containers":[{"name":"a"},{"name":"b","args":["1","2","3"]},{"name":"c"}]}}`,
			edit: func(pod *corev1.Pod) {
				c := pod.Spec.Containers
				c[1].Args = []string{"0", "2", "3", "4"}
				pod.Spec.Containers = []corev1.Container{c[1], {Name: "d", Image: "d"}}
			},
			ops: `[{"op":"remove","path":"/spec/containers/2"},
				{"op":"remove","path":"/spec/containers/0"},
				{"op":"remove","path":"/spec/containers/0/args/0"},
				{"op":"add","path":"/spec/containers/0/args/0","value":"0"},
				{"op":"add","path":"/spec/containers/0/args/3","value":"4"},
				{"op":"add","path":"/spec/containers/1","value":{"name":"d","image":"d","resources":{}}}]`,
			want: `{"spec":{"containers":[{"name":"b","args":["0","2","3","4"]},{"name":"d","image":"d","resources":{}}]}}`,
		},
		"an unnamed item of a list that kept its length is the one in its place": {
			raw:  `{"spec":{"containers":[],"tolerations":[{"key":"a","newer":1},{"key":"b"}]}}`,
			edit: func(pod *corev1.Pod) { pod.Spec.Tolerations[0].Effect = corev1.TaintEffectNoExecute },
			ops:  `[{"op":"add","path":"/spec/tolerations/0/effect","value":"NoExecute"}]`,
			want: `{"spec":{"containers":[],"tolerations":[{"key":"a","newer":1,"effect":"NoExecute"},{"key":"b"}]}}`,
		},
		"fields of a volume source lie in the volume": {
			raw:  `{"spec":{"containers":[],"volumes":[{"name":"v","emptyDir":{"newer":1}}]}}`,
			edit: func(pod *corev1.Pod) { pod.Spec.Volumes[0].EmptyDir.Medium = corev1.StorageMediumMemory },
			ops:  `[{"op":"add","path":"/spec/volumes/0/emptyDir/medium","value":"Memory"}]`,
			want: `{"spec":{"containers":[],"volumes":[{"name":"v","emptyDir":{"newer":1,"medium":"Memory"}}]}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var before corev1.Pod
			if err := json.Unmarshal([]byte(tc.raw), &before); err != nil {
				t.Fatal(err)
			}
			after := before.DeepCopy()
			tc.edit(after)
			ops, err := Patch([]byte(tc.raw), &before, after)
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(ops)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, []byte(tc.ops)), decode(t, data)); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(decode(t, []byte(tc.want)), decode(t, applyPatch(t, []byte(tc.raw), ops))); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPatchRefuses(t *testing.T) {
	two := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}}}
	edited := two.DeepCopy()
	setCPU(&edited.Spec.Containers[1])
	for name, tc := range map[string]struct {
		raw           string
		before, after *corev1.Pod
		want          string
	}{
		"a list of another length": {
			raw: `{"spec":{"containers":[{"name":"a"}]}}`, before: two, after: edited,
			want: "/spec/containers: has 2 items, and 1 on the wire: before was not decoded from raw",
		},
		"what is no JSON": {
			raw: `{"spec":`, before: two, after: edited,
			want: "decode raw/spec/containers: unexpected end of JSON input",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Patch([]byte(tc.raw), tc.before, tc.after); err == nil || err.Error() != tc.want {
				t.Errorf("got error %v, want %s", err, tc.want)
			}
		})
	}
	if _, err := Patch([]byte(`{}`), two, &corev1.Service{}); err == nil || err.Error() != "patch a *v1.Pod to a *v1.Service: not one Go type of a Kubernetes object" {
		t.Errorf("two types: got error %v", err)
	}
}

func TestPatchOfNothingDoesNotLookAtRaw(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}}}
	for name, after := range map[string]*corev1.Pod{"itself": pod, "an equal one": pod.DeepCopy()} {
		if ops, err := Patch([]byte("no JSON"), pod, after); err != nil || len(ops) > 0 {
			t.Errorf("%s: got %v, %v", name, ops, err)
		}
	}
}

func setCPU(c *corev1.Container) {
	c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
}

// applyPatch applies operations as the API server does.
func applyPatch(t testing.TB, raw []byte, ops []jsonpatch.Operation) []byte {
	t.Helper()
	if len(ops) == 0 {
		return slices.Clone(raw)
	}
	data, err := json.Marshal(ops)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := evanphx.DecodePatch(data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply(raw)
	if err != nil {
		t.Fatalf("apply %.2000s: %v", data, err)
	}
	return out
}

// decode decodes JSON of any kind, and numbers as they are written.
func decode(t testing.TB, data []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
