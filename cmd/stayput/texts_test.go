package main

import (
	"fmt"
	"strings"
	"testing"

	"stayput.dev/manifest"
)

// TestRemarks has sizes that are no whole number of bytes wherever a size stands,
// and ports that kubectl apply cannot tell apart.
func TestRemarks(t *testing.T) {
	const template = "kind: StatefulSet, apiVersion: apps/v1, metadata: {name: a}, spec: {volumeClaimTemplates: " +
		"[{metadata: {name: d}, spec: {resources: {requests: {storage: %s}}}}]}"
	const ephemeral = "volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {resources: {requests: {storage: " +
		"%s}}}}}}]"
	for text, want := range map[string]string{
		template: "spec.volumeClaimTemplates[0].spec.resources.requests[storage]",
		"kind: PersistentVolumeClaim, apiVersion: v1, metadata: {name: a}, " +
			"spec: {resources: {requests: {storage: %s}}}": "spec.resources.requests[storage]",
		"kind: PersistentVolume, apiVersion: v1, metadata: {name: a}, " +
			"spec: {capacity: {storage: %s}}": "spec.capacity[storage]",
		"kind: Pod, apiVersion: v1, metadata: {name: a}, spec: {" + ephemeral +
			"}": "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]",
		"kind: Deployment, apiVersion: apps/v1, metadata: {name: a}, spec: {template: {spec: {" + ephemeral +
			"}}}": "spec.template.spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]",
		"kind: DaemonSet, apiVersion: apps/v1, metadata: {name: a}, spec: {template: {spec: {" + ephemeral +
			"}}}": "spec.template.spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]",
		"kind: ReplicationController, apiVersion: v1, metadata: {name: a}, spec: {template: {spec: {" + ephemeral +
			"}}}": "spec.template.spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]",
		"kind: Job, apiVersion: batch/v1, metadata: {name: a}, spec: {template: {spec: {" + ephemeral +
			"}}}": "spec.template.spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]",
		"kind: CronJob, apiVersion: batch/v1, metadata: {name: a}, spec: {jobTemplate: {spec: {template: {spec: {" +
			ephemeral +
			"}}}}}": "spec.jobTemplate.spec.template.spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources." +
			"requests[storage]",
		"kind: StatefulSet, apiVersion: apps/v1, metadata: {name: a}, spec: {serviceName: a, template: {spec: {" + ephemeral +
			"}}}": "spec.template.spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]",
	} {
		for size, remedy := range map[string]string{"0.1Gi": "storage: 103Mi", "100m": "storage: 1Mi", "1.5Gi": "", "1Gi": "",
			"0.5Mi": "", "1e3": "", "0": ""} {
			found := remarks(t, fmt.Sprintf(text, size))
			switch {
			case remedy == "" && len(found) > 0:
				t.Errorf("%s is found in %s: %v", size, text, found)
			case remedy != "" && (len(found) != 1 || found[0].Field != want || found[0].Remedy != remedy ||
				found[0].Name != fractionalSize):
				t.Errorf("of %s in %s %v is said, want one at %s with %s", size, text, found, want, remedy)
			}
		}
	}
	for spec, want := range map[string]string{
		"clusterIP: None, ports: [{port: 53, protocol: UDP}, {port: 54, protocol: UDP}, " +
			"{port: 53, protocol: TCP}]": "spec.ports[2].port",
		"clusterIP: None, ports: [{port: 53, protocol: UDP}, {port: 54, protocol: TCP}]": "",
		"ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]":                  "",
	} {
		var fields []string
		for _, f := range remarks(t, "kind: Service, apiVersion: v1, metadata: {name: a}, spec: {"+spec+"}") {
			fields = append(fields, f.Field)
		}
		if got := strings.Join(fields, " "); got != want {
			t.Errorf("of %s %q is said, want %q", spec, got, want)
		}
	}
}

func remarks(t *testing.T, text string) []manifest.Remark {
	t.Helper()
	stream := manifest.ReadStream("f.yaml", []byte("{"+text+"}"))
	if len(stream.Manifests) != 1 {
		t.Fatalf("%s: %v", text, stream.Errors)
	}
	return remarksOf(stream.Manifests[0].Object)
}
