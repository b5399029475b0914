package validators_test

import (
	"os"
	"path/filepath"
	"testing"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/manifest"
)

// allTestdata reads the testdata of all rules.
func allTestdata(t *testing.T) (all []*clustertest.Testdata) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := clustertest.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

// snapshotOf returns the objects of testdata as a whole cluster.
func snapshotOf(t *testing.T, data *clustertest.Testdata) *cluster.Snapshot {
	t.Helper()
	snap, err := data.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// parsed reads a file of manifests.
func parsed(t *testing.T, file string) []manifest.Manifest {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := manifest.ParseManifests(file, data)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
