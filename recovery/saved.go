package recovery

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/volume"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
)

// Saved are the volumes and claims of a cluster, as kubectl get printed them, in the
// form in which another cluster can have them with their data.
type Saved struct {
	// Objects are Namespaces, then volumes, then claims: the order in which to create
	// them.
	Objects []map[string]any

	// Notes say what was changed or left out, and what to look at, a line each.
	Notes []string
}

// annotationsOfLife are annotations that controllers and kubectl wrote for the
// object's life in its cluster. With bind-completed a claim whose volume does not
// have its uid is Lost. Sources: k8s.io/component-helpers/storage/volume;
// pkg/controller/volume/persistentvolume of k8s.io/kubernetes@v1.37.1.
var annotationsOfLife = []string{
	volume.AnnBindCompleted, volume.AnnBoundByController, volume.AnnSelectedNode, volume.AnnStorageProvisioner,
	volume.AnnBetaStorageProvisioner, corev1.LastAppliedConfigAnnotation,
}

// ReadSaved reads YAML or JSON as `kubectl get pv,pvc -A -o yaml` prints it. A
// bound volume is reserved for the claim of that name, whatever its uid will be;
// one whose claim is gone stays Released. All are retained. It is an error if a part
// cannot be read, or if nothing is a volume or a claim.
func ReadSaved(file string, data []byte) (*Saved, error) {
	s := manifest.ReadStream(file, data)
	if len(s.Errors) > 0 {
		return nil, s.Errors[0]
	}
	r := &reader{
		namespaces: map[string]map[string]any{},
		volumes:    map[string]read[*corev1.PersistentVolume]{},
		claims:     map[types.NamespacedName]read[*corev1.PersistentVolumeClaim]{},
		others:     s.Others,
	}
	for i := range s.Manifests {
		if err := r.add(&s.Manifests[i]); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, s.Manifests[i].Line(""), err)
		}
	}
	if len(r.volumes)+len(r.claims) == 0 {
		return nil, fmt.Errorf("%s: has no PersistentVolume and no PersistentVolumeClaim: kubectl get pv,pvc -A -o yaml "+
			"prints them", file)
	}
	return r.saved(), nil
}

// A read is an object as it was read: as its type, and with all fields it has.
type read[T cluster.Object] struct {
	typed T
	whole map[string]any
}

type reader struct {
	namespaces map[string]map[string]any
	volumes    map[string]read[*corev1.PersistentVolume]
	claims     map[types.NamespacedName]read[*corev1.PersistentVolumeClaim]
	others     map[string]int // objects that are neither, by kind

	out Saved

	// What the notes are about: names of volumes and claims.
	ephemeral, doomed, unbound, deleted, letGo, pinned, lone, unclaimed []string
}

func (r *reader) add(m *manifest.Manifest) error {
	whole := map[string]any{}
	if root := m.At(""); root != nil {
		if err := root.Decode(&whole); err != nil {
			return err
		}
	}
	twice := fmt.Errorf("%s %s is there twice", m.GetObjectKind().GroupVersionKind().Kind, m.GetName())
	switch obj := m.Object.(type) {
	case *corev1.Namespace:
		r.namespaces[obj.Name] = whole
	case *corev1.PersistentVolume:
		if _, ok := r.volumes[obj.Name]; ok {
			return twice
		}
		r.volumes[obj.Name] = read[*corev1.PersistentVolume]{obj, whole}
	case *corev1.PersistentVolumeClaim:
		key := cluster.KeyOf(obj)
		if _, ok := r.claims[key]; ok {
			return twice
		}
		if ofEphemeralVolume(obj) {
			r.ephemeral = append(r.ephemeral, key.String())
			return nil
		}
		r.claims[key] = read[*corev1.PersistentVolumeClaim]{obj, whole}
	default:
		r.others[obj.GetObjectKind().GroupVersionKind().Kind]++
	}
	return nil
}

// ofEphemeralVolume says whether a claim was made for a generic ephemeral volume of
// a Pod. A Pod does not start if another made the claim that it is to make.
func ofEphemeralVolume(pvc *corev1.PersistentVolumeClaim) bool {
	owner := metav1.GetControllerOf(pvc)
	return owner != nil && owner.Kind == "Pod" && strings.HasPrefix(pvc.Name, owner.Name+"-")
}

func (r *reader) saved() *Saved {
	needed := map[string]bool{}
	var volumes, claims []map[string]any
	for _, name := range slices.Sorted(maps.Keys(r.volumes)) {
		volumes = append(volumes, r.volume(r.volumes[name]))
	}
	keys := slices.SortedFunc(maps.Keys(r.claims), func(a, b types.NamespacedName) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, key := range keys {
		needed[key.Namespace] = key.Namespace != metav1.NamespaceDefault
		claims = append(claims, r.claim(r.claims[key]))
	}
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		if !needed[name] {
			continue
		}
		ns := r.namespaces[name]
		if ns == nil {
			ns = map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}
		}
		delete(ns, "spec") // its finalizers
		r.out.Objects = append(r.out.Objects, born(ns))
	}
	r.out.Objects = slices.Concat(r.out.Objects, volumes, claims)
	r.notes()
	return &r.out
}

// born takes from an object what the API server and controllers gave it: uid, owners,
// finalizers, status. An owner that does not exist has the garbage collector delete
// the object.
func born(obj map[string]any) map[string]any {
	was, _ := obj["metadata"].(map[string]any)
	metadata := map[string]any{}
	for _, field := range []string{"name", "namespace", "labels", "annotations"} {
		if value, ok := was[field]; ok {
			metadata[field] = value
		}
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		for _, name := range annotationsOfLife {
			delete(annotations, name)
		}
		if len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	obj["metadata"] = metadata
	delete(obj, "status")
	return obj
}

// volume returns a volume that is retained, and that its claim alone can have.
func (r *reader) volume(v read[*corev1.PersistentVolume]) map[string]any {
	pv, obj := v.typed, born(v.whole)
	spec, _ := obj["spec"].(map[string]any)
	if spec == nil {
		return obj // the API server says what is wrong
	}
	const retain = corev1.PersistentVolumeReclaimRetain
	if p := pv.Spec.PersistentVolumeReclaimPolicy; p != retain && p != "" { // Retain is the default
		r.doomed = append(r.doomed, pv.Name)
	}
	spec["persistentVolumeReclaimPolicy"] = string(retain)
	if pv.Annotations[cluster.AnnotationReclaim] == string(corev1.PersistentVolumeReclaimDelete) {
		unstructured.RemoveNestedField(obj, "metadata", "annotations", cluster.AnnotationReclaim)
		r.letGo = append(r.letGo, pv.Name)
	}
	if pv.DeletionTimestamp != nil {
		r.deleted = append(r.deleted, pv.Name)
	}
	if pv.Spec.NodeAffinity != nil {
		r.pinned = append(r.pinned, pv.Name)
	}
	ref := pv.Spec.ClaimRef
	if ref == nil {
		return obj
	}
	claimRef := map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": ref.Namespace,
		"name": ref.Name}
	spec["claimRef"] = claimRef
	claim, there := r.claims[types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}]
	switch {
	case ref.UID == "": // was reserved
	case !r.boundTo(pv, claim.typed):
		// A uid that no claim has keeps the volume Released: nothing can be bound to it.
		claimRef["uid"] = string(ref.UID)
		r.unbound = append(r.unbound, pv.Name)
	case !there:
		r.unclaimed = append(r.unclaimed, fmt.Sprintf("%s for %s/%s", pv.Name, ref.Namespace, ref.Name))
	}
	return obj
}

// boundTo says whether the claim with the name in the volume's claimRef had the
// volume: pvc, or, if that is nil, one that was not saved.
func (r *reader) boundTo(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	if slices.Contains(r.ephemeral, pv.Spec.ClaimRef.Namespace+"/"+pv.Spec.ClaimRef.Name) {
		return false
	}
	if pvc == nil {
		return pv.Status.Phase == corev1.VolumeBound
	}
	return pvc.Spec.VolumeName == pv.Name && (pvc.UID == "" || pvc.UID == pv.Spec.ClaimRef.UID)
}

// claim returns a claim that asks for its volume by name.
func (r *reader) claim(c read[*corev1.PersistentVolumeClaim]) map[string]any {
	pvc, obj := c.typed, born(c.whole)
	name := pvc.Namespace + "/" + pvc.Name
	if metadata, ok := obj["metadata"].(map[string]any); ok {
		metadata["namespace"] = pvc.Namespace
	}
	if pvc.DeletionTimestamp != nil {
		r.deleted = append(r.deleted, name)
	}
	if pvc.Spec.VolumeName == "" {
		return obj
	}
	pv, ok := r.volumes[pvc.Spec.VolumeName]
	if !ok {
		r.lone = append(r.lone, fmt.Sprintf("%s for %s", name, pvc.Spec.VolumeName))
		return obj
	}
	// A volume of another attributes class is never bound; this one was bound before its
	// class began to change.
	spec, _ := obj["spec"].(map[string]any)
	if class := pv.typed.Spec.VolumeAttributesClassName; class != nil {
		spec["volumeAttributesClassName"] = *class
	} else {
		delete(spec, "volumeAttributesClassName")
	}
	return obj
}

// notes writes a line about each thing that a person should know.
func (r *reader) notes() {
	note := func(names []string, what string) {
		if len(names) > 0 {
			r.out.Notes = append(r.out.Notes, what+": "+cluster.Few(names))
		}
	}
	note(r.doomed, "would be destroyed with their claims, and are Retain now")
	note(r.letGo, "may be destroyed by their annotation "+cluster.AnnotationReclaim+", which is left out")
	note(r.unbound, "have no claim; they will be Released, with their data, and stayput recover gives them back")
	note(r.unclaimed, "are reserved for claims that are not in this file")
	note(r.lone, "wait for volumes that are not in this file")
	note(r.ephemeral, "are of Pods' ephemeral volumes, and are left out: the Pods make them anew")
	note(r.deleted, "were being deleted, and are written all the same")
	note(r.pinned, "are for nodes that their nodeAffinity names: the other cluster must have them, or their new names "+
		"here")
	kinds := slices.Sorted(maps.Keys(r.others))
	for i, kind := range kinds {
		kinds[i] = fmt.Sprintf("%d %s", r.others[kind], kind)
	}
	note(kinds, "are no volumes or claims, and are left out")
}

// Write writes the objects as YAML, below comments with the notes.
func (s *Saved) Write(w io.Writer) error {
	var text strings.Builder
	text.WriteString("# To create these, in this order, and before what mounts them: kubectl create -f FILE\n")
	for _, n := range s.Notes {
		fmt.Fprintf(&text, "# - %s\n", cluster.OneLine(n)) // another line would be no comment
	}
	var all error
	for _, obj := range s.Objects {
		data, err := yaml.Marshal(obj)
		all = errors.Join(all, err)
		fmt.Fprintf(&text, "---\n%s", data)
	}
	if all != nil {
		return fmt.Errorf("write the objects: %w", all)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
