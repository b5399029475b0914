package main

import (
	"os"
	"testing"
)

// TestRecoverFrom prints what a file or standard input has saved, and nothing where it
// is not all of it.
func TestRecoverFrom(t *testing.T) {
	const volume = "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: a, uid: b}\nspec: {persistentVolumeReclaim" +
		"Policy: Delete, claimRef: {namespace: c, name: d, uid: e, resourceVersion: '1'}}\nstatus: {phase: Bound}\n"
	file := write(t, t.TempDir(), "saved.yaml", volume)
	for name, tt := range map[string]invocation{
		"a file":         {args: []string{"--from", file}, stdout: "persistentVolumeReclaimPolicy: Retain"},
		"standard input": {args: []string{"--from", "-"}, stdin: volume, stdout: "persistentVolumeReclaimPolicy: Retain"},
		"no file":        {args: []string{"--from", "absent"}, code: 2, stderr: "--from: open absent"},
		"no name":        {args: []string{"--from", ""}, code: 2, stderr: "--from: open"},
		"no YAML": {args: []string{"--from", "-"}, stdin: volume + "---\na: b: c\n", code: 2,
			stderr: "--from: standard input:7"},
		"no volume": {args: []string{"--from", "-"}, stdin: "a: b\n", code: 2, stderr: "has no PersistentVolume"},
		"and a cluster": {args: []string{"--from", file, "--yes"}, code: 2,
			stderr: "asks no cluster, and does not go with --yes"},
		"and a claim": {args: []string{"--from", file, "c/d"}, code: 2, stderr: "does not go with c/d"},
	} {
		t.Run(name, func(t *testing.T) {
			r := tt.of(t, "recover")
			if tt.code != 0 && r.stdout != "" {
				t.Errorf("prints a part: %s", r.stdout)
			}
		})
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != volume {
		t.Errorf("the file was changed: %v", err)
	}
}
