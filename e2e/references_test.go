package e2e

import (
	"strings"
	"testing"
)

// namesAreLeftBehind creates objects with references to names that do not exist,
// and then corrects them.
func namesAreLeftBehind(t *testing.T, ns string) {
	kept := ns + "-kept"
	forget(t, kept)
	static := "storageClassName: " + ns + ", " + once
	copied := "storageClassName: disk, " + once + ", dataSource: {kind: PersistentVolumeClaim, name: seed}"
	ephemeral := `apiVersion: v1
kind: Pod
metadata: {name: scratch}
spec:
  containers: [{name: db, image: db}]
  volumes:
  - name: tmp
    ephemeral: {volumeClaimTemplate: {spec: {storageClassName: no-` + ns + ", " + once + `}}}
---
`
	apply(t, ns, pvcNamed("prod-files", static))
	out := apply(t, ns, ephemeral+pvcNamed("copy", copied)+
		volumeNamed(kept, ns, oneGibi+", claimRef: {namespace: "+ns+", name: files}"))
	contains(t, out, "must name a class that exists; Pods stay Pending",
		`"seed": must exist to be copied; claim and Pods stay Pending`,
		`"files": must exist, or the volume is kept for nobody; claim prod-files, which may be meant, does not get it`)
	output(t, "Pending", "get", "pvc", "scratch-tmp", "-n", ns, "-o", "jsonpath={.status.phase}")
	apply(t, ns, volumeNamed(ns+"-other", "other-"+ns, oneGibi)+
		pvcNamed("later", "storageClassName: other-"+ns+", "+once))
	forget(t, ns+"-other")
	phases(t, ns, "pvc", map[string]string{"later": "Bound"}) // and with it the controller has been round
	phases(t, ns, "pvc", map[string]string{"copy": "Pending", "scratch-tmp": "Pending", "prod-files": "Pending"})
	phases(t, ns, "pod", map[string]string{"scratch": "Pending"})
	output(t, "Available", "get", "pv", kept, "-o", "jsonpath={.status.phase}")
	for line := range strings.Lines(out) {
		if _, command, found := strings.Cut(line, "fix: kubectl "); found && strings.Contains(line, "volume-claim-name") {
			kubectl(t, "patch", "pv", kept, "-p", strings.Trim(command[strings.Index(command, "'"):], "'\n"))
		}
	}
	phases(t, ns, "pvc", map[string]string{"prod-files": "Bound"})
}
