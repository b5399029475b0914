package validators

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// TestContainersVisitsEveryMount walks corev1.PodSpec. Wherever in it a volume
// can be mounted, containers must return what mounts it: a Kubernetes that adds
// a list of containers fails this test until it does.
func TestContainersVisitsEveryMount(t *testing.T) {
	for _, of := range []reflect.Type{reflect.TypeFor[[]corev1.VolumeMount](), reflect.TypeFor[[]corev1.VolumeDevice]()} {
		paths := pathsTo(reflect.TypeFor[corev1.PodSpec](), of, nil)
		if len(paths) < 3 {
			t.Errorf("only %d ways to %v: the walk is broken", len(paths), of)
		}
		for _, path := range paths {
			var spec corev1.PodSpec
			mounts := dig(reflect.ValueOf(&spec).Elem(), path)
			mounts.Set(reflect.MakeSlice(of, 1, 1))
			mounts.Index(0).FieldByName("Name").SetString("data")
			t.Run(dotted(path), func(t *testing.T) {
				visited := slices.ContainsFunc(containers(&spec), func(c listed[*corev1.Container]) bool {
					return c.index == 0 && strings.EqualFold(c.field, path[0].Name) &&
						(len(c.item.VolumeMounts) == 1 && c.item.VolumeMounts[0].Name == "data" ||
							len(c.item.VolumeDevices) == 1 && c.item.VolumeDevices[0].Name == "data")
				})
				if !visited {
					t.Errorf("containers does not visit what stands in %s of a PodSpec", dotted(path))
				}
			})
		}
	}
}

// pathsTo returns the fields that lead from a struct to values of a type,
// through pointers and the first items of lists.
func pathsTo(from, to reflect.Type, via []reflect.Type) (paths [][]reflect.StructField) {
	for from.Kind() == reflect.Pointer || from.Kind() == reflect.Slice {
		from = from.Elem()
	}
	if from.Kind() != reflect.Struct || slices.Contains(via, from) {
		return nil
	}
	for i := range from.NumField() {
		f := from.Field(i)
		if f.Type == to {
			paths = append(paths, []reflect.StructField{f})
			continue
		}
		for _, rest := range pathsTo(f.Type, to, append(slices.Clone(via), from)) {
			paths = append(paths, append([]reflect.StructField{f}, rest...))
		}
	}
	return paths
}

// dig returns the field at the end of a path, with all before it filled in.
func dig(v reflect.Value, path []reflect.StructField) reflect.Value {
	for _, f := range path {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice {
			if v.Kind() == reflect.Pointer {
				v.Set(reflect.New(v.Type().Elem()))
				v = v.Elem()
			} else {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
				v = v.Index(0)
			}
		}
		v = v.FieldByIndex(f.Index)
	}
	return v
}

func dotted(path []reflect.StructField) string {
	var names []string
	for _, f := range path {
		names = append(names, f.Name)
	}
	return strings.Join(names, ".")
}

// A fateOf is what becomes of what a Pod writes into a volume, and so what the
// rules about volumes must say of it.
type fateOf int

const (
	onNode    fateOf = iota // stays behind on the node: workload-host-path
	claimed                 // a claim, which the replicas share: statefulset-shared-claim
	dies                    // dies with the Pod: statefulset-no-storage
	readOnly                // files that are brought to the Pod, and hold no data of it
	elsewhere               // a disk or a file server outside the cluster, which keeps it
)

// fates has every source of a volume that Kubernetes has. What is not in it
// fails the test, for no rule has thought of it.
var fates = map[string]fateOf{
	"HostPath": onNode, "PersistentVolumeClaim": claimed, "EmptyDir": dies, "Ephemeral": dies,

	// What a CSI driver makes without a claim mostly brings secrets.
	"GitRepo": readOnly, "Secret": readOnly, "DownwardAPI": readOnly, "ConfigMap": readOnly, "Projected": readOnly,
	"CSI": readOnly, "Image": readOnly,

	"GCEPersistentDisk": elsewhere, "AWSElasticBlockStore": elsewhere, "NFS": elsewhere, "ISCSI": elsewhere,
	"Glusterfs": elsewhere,
	"RBD":       elsewhere, "FlexVolume": elsewhere, "Cinder": elsewhere, "CephFS": elsewhere, "Flocker": elsewhere,
	"FC":        elsewhere,
	"AzureFile": elsewhere, "VsphereVolume": elsewhere, "Quobyte": elsewhere, "AzureDisk": elsewhere,
	"PhotonPersistentDisk": elsewhere,
	"PortworxVolume":       elsewhere, "ScaleIO": elsewhere, "StorageOS": elsewhere,
}

// TestEveryVolumeSourceHasAFate walks corev1.VolumeSource, and holds the rules
// about volumes to the table.
func TestEveryVolumeSourceHasAFate(t *testing.T) {
	snap := &cluster.Snapshot{Complete: true}
	shared := &corev1.PersistentVolumeClaim{}
	shared.Namespace, shared.Spec.AccessModes = "default", []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	if err := snap.Add(shared, node("a"), node("b")); err != nil {
		t.Fatal(err)
	}
	raised := *statefulsetNoStorage
	raised.Level = Warn
	all := reflect.TypeFor[corev1.VolumeSource]()
	for i := range all.NumField() {
		name := all.Field(i).Name
		t.Run(name, func(t *testing.T) {
			want, known := fates[name]
			if !known {
				t.Fatalf("no rule knows volumes of the source %s: decide what becomes of the data, and see to the rules", name)
			}
			sts := &appsv1.StatefulSet{}
			sts.Namespace, sts.Spec.Replicas = "default", new(int32(3))
			pod := &sts.Spec.Template.Spec
			pod.Volumes = make([]corev1.Volume, 1)
			source := reflect.ValueOf(&pod.Volumes[0].VolumeSource).Elem().Field(i)
			source.Set(reflect.New(source.Type().Elem()))
			pod.Volumes[0].Name = "data"
			pod.Containers = []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "data"}}}}

			view := cluster.Environment{Source: snap}.View(context.Background(), cluster.Request{})
			found, undecided := Review(view, []*Rule{workloadHostPath, statefulsetSharedClaim, &raised}, nil, sts)
			if len(undecided) > 0 {
				t.Fatal(undecided[0])
			}
			path := "spec.template.spec.volumes[0]."
			wants := map[fateOf][]string{
				onNode:    {"workload-host-path at " + path + "hostPath.path"},
				claimed:   {"statefulset-shared-claim at " + path + "persistentVolumeClaim.claimName"},
				dies:      {"statefulset-no-storage at " + path + strings.ToLower(name[:1]) + name[1:]},
				readOnly:  {"statefulset-no-storage at spec.volumeClaimTemplates"},
				elsewhere: nil,
			}
			var got []string
			for _, f := range found {
				got = append(got, fmt.Sprintf("%s at %s", f.Rule.Name, f.Field))
			}
			if !slices.Equal(got, wants[want]) {
				t.Errorf("got %q, want %q", got, wants[want])
			}
		})
	}
	if n := all.NumField(); n < len(fates) {
		t.Errorf("%d sources, and %d in the table", n, len(fates))
	}
}

func node(name string) cluster.Object {
	n := &corev1.Node{}
	n.Name = name
	return n
}
