package validators

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// copyFirst begins every remedy that changes the volume behind a mount: without
// a copy, the workload would start with an empty one.
const copyFirst = "copy the data first (it stays in the old volume, the new one starts empty), then "

// ownClaims is the remedy that gives each replica of a StatefulSet a claim in the
// place of a volume, or of what else it now writes to.
func ownClaims(volume, size string) string {
	return fmt.Sprintf("%smove it to volumeClaimTemplates: [{metadata: {name: %s}, spec: {accessModes: [ReadWriteOnce], "+
		"resources: {requests: {storage: %s}}}}]", copyFirst, volume, size)
}

// ownClaimsBriefly is ownClaims where there is no room for the template.
const ownClaimsBriefly = copyFirst + "use volumeClaimTemplates"

// freePath returns an example of a path at which no container of a Pod mounts
// anything yet: what is mounted over something hides it.
func freePath(spec *corev1.PodSpec) string {
	used := map[string]bool{}
	for _, c := range containers(spec) {
		for _, m := range c.item.VolumeMounts {
			used[m.MountPath] = true
		}
	}
	path := "/data"
	for n := 2; used[path]; n++ {
		path = fmt.Sprintf("/data%d", n)
	}
	return path
}
