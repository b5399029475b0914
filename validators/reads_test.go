package validators

import (
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestReads changes a StatefulSet, and looks at it through reads of every form.
func TestReads(t *testing.T) {
	const volumes = "spec.template.spec.volumes[*]"
	tests := map[string]struct {
		read string
		edit func(s *appsv1.StatefulSet)
		want bool // that it is another
	}{
		"a field": {"spec.serviceName", func(s *appsv1.StatefulSet) { s.Spec.ServiceName = "x" }, true},
		"another field": {"spec.serviceName", func(s *appsv1.StatefulSet) { s.Spec.MinReadySeconds = 1 },
			false},
		"what holds a field": {"spec", func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Subdomain = "x" }, true},
		"behind a pointer": {"spec.ordinals.start", func(s *appsv1.StatefulSet) { s.Spec.Ordinals.Start = 2 },
			true},
		"behind none any more": {"spec.ordinals.start", func(s *appsv1.StatefulSet) { s.Spec.Ordinals = nil }, true},
		"nothing, behind one or none": {"spec.updateStrategy.rollingUpdate.partition",
			func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate = nil }, false},
		"an empty list, or none": {"spec.template.spec.tolerations",
			func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Tolerations = nil }, false},
		"a key":                   {"metadata.labels[a]", func(s *appsv1.StatefulSet) { s.Labels["a"] = "x" }, true},
		"a key that goes":         {"metadata.labels[a]", func(s *appsv1.StatefulSet) { s.Labels = nil }, true},
		"a key that comes, empty": {"metadata.labels[c]", func(s *appsv1.StatefulSet) { s.Labels["c"] = "" }, true},
		"another key":             {"metadata.labels[a]", func(s *appsv1.StatefulSet) { s.Labels["b"] = "x" }, false},
		"keys that begin so": {"metadata.annotations[own/*]",
			func(s *appsv1.StatefulSet) { s.Annotations["own/a"] = "x" }, true},
		"one more of them": {"metadata.annotations[own/*]",
			func(s *appsv1.StatefulSet) { s.Annotations["own/b"] = "" }, true},
		"one for another": {"metadata.annotations[own/*]",
			func(s *appsv1.StatefulSet) { delete(s.Annotations, "own/a"); s.Annotations["own/b"] = "1" }, true},
		"one fewer": {"metadata.annotations[own/*]",
			func(s *appsv1.StatefulSet) { delete(s.Annotations, "own/a") }, true},
		"keys that begin otherwise": {"metadata.annotations[own/*]",
			func(s *appsv1.StatefulSet) { s.Annotations["other/a"] = "x" }, false},
		"a field of items": {volumes + ".hostPath",
			func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Volumes[1].HostPath.Path = "/x" }, true},
		"another field of items": {volumes + ".hostPath",
			func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Volumes[0].ConfigMap = nil }, false},
		"an item without it goes": {volumes + ".hostPath",
			func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Volumes = s.Spec.Template.Spec.Volumes[1:] }, false},
		"an item that has it goes": {volumes + ".hostPath",
			func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Volumes = s.Spec.Template.Spec.Volumes[:1] }, true},
		"an item that has it is named": {volumes + ".hostPath",
			func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Volumes[1].Name = "x" }, true},
		"from one item to another": {volumes + ".hostPath", func(s *appsv1.StatefulSet) {
			v := s.Spec.Template.Spec.Volumes
			v[0].VolumeSource, v[1].VolumeSource = v[1].VolumeSource, v[0].VolumeSource
		}, true},
		"items that are named in their metadata": {"spec.volumeClaimTemplates[*].spec", func(s *appsv1.StatefulSet) {
			s.Spec.VolumeClaimTemplates[0].Name = "x"
		}, true},
		"replicas over 1, from 3 to 5": {"spec.replicas > 1", func(s *appsv1.StatefulSet) { *s.Spec.Replicas = 5 }, false},
		"replicas over 1, from 3 to 1": {"spec.replicas > 1", func(s *appsv1.StatefulSet) { *s.Spec.Replicas = 1 }, true},
		"replicas over 1, to none":     {"spec.replicas > 1", func(s *appsv1.StatefulSet) { s.Spec.Replicas = nil }, true},
		"replicas over 0, to none":     {"spec.replicas > 0", func(s *appsv1.StatefulSet) { s.Spec.Replicas = nil }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			old := readable()
			obj := old.DeepCopy()
			tt.edit(obj)
			c := On(func(*Pass, *appsv1.StatefulSet) error { return nil }).Of(tt.read)
			if got := c.Reads()[0].String(); got != tt.read {
				t.Errorf("%s is written %s", tt.read, got)
			}
			for _, pair := range [][2]*appsv1.StatefulSet{{old, obj}, {obj, old}} {
				change := changeOf(pair[0], pair[1])
				if got := !change.nothing() && change.touches(c.Reads()); got != tt.want {
					t.Errorf("touches: %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func readable() *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{
		Labels: map[string]string{"a": "1", "b": "2"}, Annotations: map[string]string{"own/a": "1"},
	}}
	s.Spec.Replicas, s.Spec.ServiceName, s.Spec.Ordinals = new(int32(3)), "db", &appsv1.StatefulSetOrdinals{Start: 1}
	s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
	pod := &s.Spec.Template.Spec
	pod.Tolerations, pod.Volumes = []corev1.Toleration{}, make([]corev1.Volume, 2)
	pod.Volumes[0].Name, pod.Volumes[0].ConfigMap = "config", &corev1.ConfigMapVolumeSource{}
	pod.Volumes[1].Name, pod.Volumes[1].HostPath = "data", &corev1.HostPathVolumeSource{Path: "/data"}
	s.Spec.VolumeClaimTemplates = make([]corev1.PersistentVolumeClaim, 1)
	s.Spec.VolumeClaimTemplates[0].Name, s.Spec.VolumeClaimTemplates[0].Spec.VolumeName = "data", "pv"
	return s
}

// TestWholeIsWhatAuthorsWrite has an update of each part of an object, and asks
// whether it is one.
func TestWholeIsWhatAuthorsWrite(t *testing.T) {
	tests := map[string]struct {
		edit func(s *appsv1.StatefulSet)
		want bool
	}{
		"nothing":         {func(*appsv1.StatefulSet) {}, false},
		"labels":          {func(s *appsv1.StatefulSet) { s.Labels["c"] = "" }, true},
		"annotations":     {func(s *appsv1.StatefulSet) { s.Annotations = nil }, true},
		"spec":            {func(s *appsv1.StatefulSet) { s.Spec.MinReadySeconds = 1 }, true},
		"status":          {func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 1 }, false},
		"resourceVersion": {func(s *appsv1.StatefulSet) { s.ResourceVersion = "2" }, false},
		"generation":      {func(s *appsv1.StatefulSet) { s.Generation = 2 }, false},
		"finalizers":      {func(s *appsv1.StatefulSet) { s.Finalizers = []string{"a/b"} }, false},
		"owners":          {func(s *appsv1.StatefulSet) { s.OwnerReferences = []metav1.OwnerReference{{}} }, false},
		"managed fields":  {func(s *appsv1.StatefulSet) { s.ManagedFields = []metav1.ManagedFieldsEntry{{}} }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			old := readable()
			obj := old.DeepCopy()
			tt.edit(obj)
			if got := changeOf(old, obj).nothing(); got == tt.want {
				t.Errorf("nothing: %v, want %v", got, !tt.want)
			}
		})
	}
	for _, kind := range reviewedKinds() {
		reads := shapeOf(reflect.TypeOf(newOf(t, kind)).Elem()).whole
		if len(reads) < 3 {
			t.Errorf("%s: %d reads: labels, annotations, and nothing of its own", kind.Kind, len(reads))
		}
	}
}

// TestReadsThatAreNone has paths that lead nowhere.
func TestReadsThatAreNone(t *testing.T) {
	for path, want := range map[string]string{
		"spec.replica":                                       "no author writes replica in a",
		"spec.replicas.count":                                "no author writes count in a",
		"spec.template.spec.volumes[0]":                      "and not [*]",
		"spec.serviceName > 1":                               "no number of replicas",
		"spec.replicas > some":                               "invalid syntax",
		"status.replicas":                                    "no author writes status in a",
		"metadata.name":                                      "no author writes name in a",
		"spec.template.spec.overhead[cpu]":                   "no map of strings",
		"spec.template.spec.containers[*].ports[*].hostPort": "has no ports.*.hostPort",
	} {
		if _, err := parseRead(reflect.TypeFor[appsv1.StatefulSet](), path); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestComparingTakesNoMemory is about two objects that mean the same, so that
// all of both is looked at.
func TestComparingTakesNoMemory(t *testing.T) {
	old := readable()
	old.Spec.Template.Spec.Containers = []corev1.Container{{Name: "db",
		Ports: []corev1.ContainerPort{{ContainerPort: 5432}}}}
	obj := old.DeepCopy()
	got := testing.AllocsPerRun(100, func() {
		if !changeOf(old, obj).nothing() {
			t.Fatal("they differ")
		}
	})
	if got > 1 { // the result
		t.Errorf("%.0f allocations", got)
	}
}
