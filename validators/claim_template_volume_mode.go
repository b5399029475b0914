package validators

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimTemplateVolumeMode = &Rule{
	Name:  "claim-template-volume-mode",
	Level: Deny,
	Loses: LosesTime,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `a Block claim must be in volumeDevices, and a file system in volumeMounts

A claim with volumeMode: Block is a raw device, which a container lists in
volumeDevices; any other claim is a file system, which it lists in volumeMounts.
If the container uses the wrong list, the API server accepts it, and the kubelet
starts none of the Pods: they stay in ContainerCreating, with an event that
names the volume. A claim template cannot be changed later, nor can the
volumeMode of a claim.

For a claim that the Pods mount by its name the rule only warns, because the
claim may be deleted and created again.`,

	Exempt: "never: no kubelet starts such a Pod; where a webhook rewrites it, exempt it with that as the reason",

	Checks: ofPods(func(p *Pass, obj cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
		claims, err := volumesClaimed(p, obj, spec)
		if err != nil || len(claims.blocks)+len(claims.files) == 0 {
			return err
		}
		for _, c := range containers(spec) {
			for i := range c.item.VolumeMounts {
				name := c.item.VolumeMounts[i].Name
				if claim, ok := claims.blocks[name]; ok {
					claim.mounted(p, at.Child(c.field).Index(c.index).Child("volumeMounts").Index(i), name)
					delete(claims.blocks, name) // once is enough
				}
			}
			for i := range c.item.VolumeDevices {
				name := c.item.VolumeDevices[i].Name
				if claim, ok := claims.files[name]; ok {
					claim.device(p, at.Child(c.field).Index(c.index).Child("volumeDevices").Index(i), name)
					delete(claims.files, name)
				}
			}
		}
		return nil
	}, append(inContainers("volumeMounts", "volumeDevices"), "volumes[*].persistentVolumeClaim", "volumes[*].ephemeral"),
		"spec.volumeClaimTemplates"),
}

// A claimedVolume is what a volume of a Pod claims.
type claimedVolume struct {
	spec *corev1.PersistentVolumeClaimSpec
	by   claimedBy
}

// claimedVolumes are the claims of a Pod's volumes by the volumes' names: those that
// are devices, and those that are file systems.
type claimedVolumes struct{ blocks, files map[string]claimedVolume }

func (c *claimedVolumes) add(volume string, claim claimedVolume) {
	of := &c.files
	if mode := claim.spec.VolumeMode; mode != nil && *mode == corev1.PersistentVolumeBlock {
		of = &c.blocks
	}
	if _, has := (*of)[volume]; has && claim.by == aClaim {
		return
	}
	if *of == nil {
		*of = map[string]claimedVolume{}
	}
	(*of)[volume] = claim
}

// volumesClaimed returns the claims of a Pod's volumes.
func volumesClaimed(p *Pass, obj cluster.Object, spec *corev1.PodSpec) (claims claimedVolumes, err error) {
	for _, c := range podClaims(obj, spec) {
		pvc, err := c.object(p.Cluster, obj.GetNamespace())
		if err != nil {
			return claims, err
		}
		if c.by == aTemplate { // the last of a name replaces the others: claim-template-duplicate
			delete(claims.blocks, c.volume)
			delete(claims.files, c.volume)
		}
		if pvc != nil {
			claims.add(c.volume, claimedVolume{&pvc.Spec, c.by})
		}
	}
	return claims, nil
}

// mounted reports that containers mount a Block claim.
func (c claimedVolume) mounted(p *Pass, path *field.Path, volume string) {
	c.report(p, field.Invalid(path, volume,
		"cannot be mounted: "+string(c.by)+" has volumeMode: Block; no Pod ever starts"),
		fmt.Sprintf("remove it, and set volumeDevices: [{name: %s, devicePath: /dev/%[1]s}]", volume),
		corev1.PersistentVolumeFilesystem)
}

// device reports that containers want a file system as a device.
func (c claimedVolume) device(p *Pass, path *field.Path, volume string) {
	c.report(p, field.Invalid(path, volume,
		"cannot be a device: "+string(c.by)+" is a file system; no Pod ever starts"),
		fmt.Sprintf("remove it, and set volumeMounts: [{name: %s, mountPath: /%[1]s}]", volume),
		corev1.PersistentVolumeBlock)
}

// report reports a use of a volume that its claim is not made for: other is the mode
// that would be right for it.
func (c claimedVolume) report(p *Pass, err *field.Error, remedy string, other corev1.PersistentVolumeMode) {
	if c.by == aClaim {
		p.Warn(err, remedy)
		return
	}
	change := "volumes: [{name: %s, ephemeral: {volumeClaimTemplate: {spec: {volumeMode: %s}}}}]"
	if c.by == aTemplate {
		err.Detail += ", and templates are fixed"
		change = "volumeClaimTemplates: [{metadata: {name: %s}, spec: {volumeMode: %s}}]"
	}
	p.Report(err, fmt.Sprintf(change, err.BadValue, other), "; or, "+remedy)
	p.Briefly(remedy)
}
