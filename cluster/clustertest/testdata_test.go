package clustertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stayput.dev/cluster"
)

const claims = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: old, namespace: default}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
# Of a newer Kubernetes.
# since 1.34
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: new, namespace: default}
spec: {accessModes: [ReadWriteOnce], volumeAttributesClassName: gold, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: new, namespace: default}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}
`

// An older Kubernetes has neither what is newer, nor what is made of it.
func TestOn(t *testing.T) {
	for minor, want := range map[int]string{33: "old", 34: "old new new"} {
		data, err := Load(testdata(t, claims))
		if err != nil {
			t.Fatal(err)
		}
		data.On(cluster.Version{Minor: minor})
		var steps []string
		for _, s := range data.Steps {
			steps = append(steps, s.Obj.GetName())
		}
		if got := strings.Join(steps, " "); got != want {
			t.Errorf("1.%d has the steps %q, want %q", minor, got, want)
		}
		if got := len(data.Objects); got != minor-32 {
			t.Errorf("1.%d has %d objects, want %d", minor, got, minor-32)
		}
	}
	if _, err := Load(testdata(t, strings.Replace(claims, "1.34", "34", 1))); err == nil {
		t.Error("a mark that names no minor is taken")
	}
}

func testdata(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "testdata.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
