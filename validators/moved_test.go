package validators_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
)

var (
	// copies is how a remedy begins that leads a mount to another volume.
	copies = regexp.MustCompile(`^(?:to use it, )?copy the data `)

	// ofVolumes is what such a remedy speaks of where no machine can do it.
	ofVolumes = regexp.MustCompile(`volumeClaimTemplates|volumeMounts|persistentVolumeClaim|claimName|hostPath|emptyDir|` +
		`\b(?:use|mount|move it to) (?:a|another) (?:claim|volume)`)
)

// volumesAt returns which volume is at each path of the containers of a workload, by
// container and path; without those that only bring files.
func volumesAt(o cluster.Object) map[string]string {
	var spec *corev1.PodSpec
	volumes := map[string]string{}
	switch o := o.(type) {
	case *corev1.Pod:
		spec = &o.Spec
	case *appsv1.Deployment:
		spec = &o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		spec = &o.Spec.Template.Spec
		for _, t := range o.Spec.VolumeClaimTemplates {
			volumes[t.Name] = "claim of template " + t.Name
		}
	default:
		return nil
	}
	for _, v := range spec.Volumes {
		s := v.VolumeSource
		brings := s.ConfigMap != nil || s.Secret != nil || s.Projected != nil || s.DownwardAPI != nil || s.Image != nil
		if volumes[v.Name] == "" && !brings { // the controller puts the claim over a volume
			volumes[v.Name] = s.String()
			if s.Ephemeral != nil { // a claim of the Pod's and the volume's name, whatever it asks for
				volumes[v.Name] = "ephemeral"
			}
		}
	}
	at := map[string]string{}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, m := range c.VolumeMounts {
			if v := volumes[m.Name]; v != "" {
				at[c.Name+" "+m.MountPath] = fmt.Sprint(v, " ", m.SubPath, m.SubPathExpr)
			}
		}
		for _, d := range c.VolumeDevices {
			if v := volumes[d.Name]; v != "" {
				at[c.Name+" "+d.DevicePath] = v
			}
		}
	}
	return at
}

// leftBehind returns a path where a workload had another volume before, or "".
func leftBehind(before, after cluster.Object) string {
	was, is := volumesAt(before), volumesAt(after)
	for _, path := range slices.Sorted(maps.Keys(was)) {
		if is[path] != was[path] {
			return path
		}
	}
	return ""
}

// TestLeftBehind proves that a remedy which leads a mount to another volume would be
// found by [TestRemediesMend], whichever field it writes.
func TestLeftBehind(t *testing.T) {
	const rest = "containers: [{name: db, image: db, volumeMounts: [{name: data, mountPath: /data}, " +
		"{name: conf, mountPath: /etc}]}]"
	set := func(volumes, more string) cluster.Object {
		s := &appsv1.StatefulSet{}
		text := fmt.Sprintf("{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db}, spec: {%stemplate: {spec: "+
			"{volumes: [{name: conf, configMap: {name: a}}, %s], %s}}}}", more, volumes, rest)
		if err := yaml.Unmarshal([]byte(text), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	hostPath := set("{name: data, hostPath: {path: /var/lib/db}}", "")
	template := "volumeClaimTemplates: [{metadata: {name: data}}], "
	for name, tt := range map[string]struct {
		before, after cluster.Object
		want          string
	}{
		"nothing changed":    {hostPath, set("{name: data, hostPath: {path: /var/lib/db}}", "replicas: 1, "), ""},
		"another directory":  {hostPath, set("{name: data, hostPath: {path: /mnt}}", ""), "db /data"},
		"a template instead": {hostPath, set("{name: more, emptyDir: {}}", template), "db /data"},
		"a template over it": {hostPath, set("{name: data, hostPath: {path: /var/lib/db}}", template), "db /data"},
		"another claim": {set("{name: data, persistentVolumeClaim: {claimName: a}}", ""),
			set("{name: data, persistentVolumeClaim: {claimName: b}}", ""), "db /data"},
		"a volume that a template hid": {set("{name: data, emptyDir: {}}", template), set("{name: more, emptyDir: {}}",
			template), ""},
		"a file": {hostPath, set("{name: data, hostPath: {path: /var/lib/db}}, {name: b, configMap: {name: b}}", ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := leftBehind(tt.before, tt.after); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
