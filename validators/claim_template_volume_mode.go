package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

var claimTemplateVolumeMode = &Rule{
	Name:  "claim-template-volume-mode",
	Level: Deny,
	Reads: []client.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `a Block claim must be in volumeDevices, and a file system in volumeMounts

A claim with volumeMode: Block is a device without files, which a container gets
by volumeDevices; any other claim is a file system, which volumeMounts mounts.
Where the two differ the API server says nothing, and the kubelet starts none of
the Pods: they are in ContainerCreating, with an event that names the volume. A
claim template cannot be changed later, nor can the volumeMode of a claim.

The rule only warns of a claim that the Pods name: it may be made anew.`,

	Exempt: "never: no kubelet starts such a Pod; where a webhook rewrites it, exempt it with that as the reason",

	Checks: ofPods(func(p *Pass, obj client.Object, spec *corev1.PodSpec, at *field.Path) error {
		uses, fromTemplate := usesIn(spec), map[string]bool{}
		if sts, ok := obj.(*appsv1.StatefulSet); ok {
			for i := range sts.Spec.VolumeClaimTemplates {
				t := &sts.Spec.VolumeClaimTemplates[i]
				fromTemplate[t.Name] = true
				uses[t.Name].as(p, at, t.Name, &t.Spec, aTemplate)
			}
		}
		for i := range spec.Volumes {
			v := &spec.Volumes[i]
			if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil && !fromTemplate[v.Name] {
				uses[v.Name].as(p, at, v.Name, &v.Ephemeral.VolumeClaimTemplate.Spec, anEphemeral)
			}
		}
		for i := range spec.Volumes {
			v := &spec.Volumes[i]
			if v.PersistentVolumeClaim == nil || fromTemplate[v.Name] {
				continue
			}
			name := v.PersistentVolumeClaim.ClaimName
			pvc, err := cluster.Get[corev1.PersistentVolumeClaim](p.Cluster, obj.GetNamespace(), name)
			if err != nil {
				return fmt.Errorf("get PersistentVolumeClaim %s: %w", name, err)
			}
			if pvc != nil {
				uses[v.Name].as(p, at, v.Name, &pvc.Spec, aClaim)
			}
		}
		return nil
	}, append(inContainers("volumeMounts", "volumeDevices"), "volumes[*].persistentVolumeClaim", "volumes[*].ephemeral"),
		"spec.volumeClaimTemplates"),
}

// A claimedBy says by what a volume is a claim.
type claimedBy string

const (
	aTemplate   claimedBy = "its template"
	anEphemeral claimedBy = "its claim"
	aClaim      claimedBy = "the claim"
)

// volumeUses are the first places at which containers use a volume, relative to the
// Pod's spec; nil where none does.
type volumeUses struct {
	mount, device func(at *field.Path) *field.Path
}

// usesIn returns, by name, how the containers of a Pod use its volumes.
func usesIn(spec *corev1.PodSpec) map[string]volumeUses {
	uses := map[string]volumeUses{}
	for _, c := range containers(spec) {
		in := func(list string, i int) func(*field.Path) *field.Path {
			return func(at *field.Path) *field.Path { return at.Child(c.field).Index(c.index).Child(list).Index(i) }
		}
		for i := range c.item.VolumeMounts {
			if name := c.item.VolumeMounts[i].Name; uses[name].mount == nil {
				uses[name] = volumeUses{in("volumeMounts", i), uses[name].device}
			}
		}
		for i := range c.item.VolumeDevices {
			if name := c.item.VolumeDevices[i].Name; uses[name].device == nil {
				uses[name] = volumeUses{uses[name].mount, in("volumeDevices", i)}
			}
		}
	}
	return uses
}

// as reports a use of a volume that its claim is not made for.
func (u volumeUses) as(p *Pass, at *field.Path, volume string, claim *corev1.PersistentVolumeClaimSpec, by claimedBy) {
	block := claim.VolumeMode != nil && *claim.VolumeMode == corev1.PersistentVolumeBlock
	report := func(path *field.Path, text, remedy string) {
		err := field.Invalid(path, volume, text+"; no Pod ever starts")
		if by == aClaim {
			p.Warn(err, remedy)
			return
		}
		mode := corev1.PersistentVolumeFilesystem
		if !block {
			mode = corev1.PersistentVolumeBlock
		}
		other := fmt.Sprintf("volumes: [{name: %s, ephemeral: {volumeClaimTemplate: {spec: {volumeMode: %s}}}}]", volume, mode)
		if by == aTemplate {
			err.Detail += ", and templates are fixed"
			other = fmt.Sprintf("volumeClaimTemplates: [{metadata: {name: %s}, spec: {volumeMode: %s}}]", volume, mode)
		}
		p.Report(err, other+"; or, "+remedy)
		p.Briefly(remedy)
	}
	switch {
	case block && u.mount != nil:
		report(u.mount(at), "cannot be mounted: "+string(by)+" has volumeMode: Block",
			fmt.Sprintf("remove it, and set volumeDevices: [{name: %s, devicePath: /dev/%[1]s}]", volume))
	case !block && u.device != nil:
		report(u.device(at), "cannot be a device: "+string(by)+" is a file system",
			fmt.Sprintf("remove it, and set volumeMounts: [{name: %s, mountPath: /%[1]s}]", volume))
	}
}
