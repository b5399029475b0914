// Package kind tries the chart in a real cluster: kind, with its kubelets,
// container runtime, DNS and provisioner. `make e2e` runs it; it needs docker,
// and where that cannot run it fails and says so.
package kind
