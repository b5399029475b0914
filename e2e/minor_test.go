package e2e

import (
	"fmt"
	"testing"

	"k8s.io/client-go/discovery"

	"stayput.dev/cluster"
)

// askVersion learns which Kubernetes the tests are run on. Those of the local
// control planes are chosen by $STAYPUT_KUBERNETES.
func askVersion() (err error) {
	if env.kubernetes, err = versionOf(env.client.Discovery()); err != nil {
		return err
	}
	env.minor = env.kubernetes.Newest.Minor
	return nil
}

// versionOf asks an API server for its version.
func versionOf(server discovery.ServerVersionInterface) (cluster.Versions, error) {
	version, err := server.ServerVersion()
	if err != nil {
		return cluster.Versions{}, fmt.Errorf("ask for the API server's version: %w", err)
	}
	v, err := cluster.VersionsOf(version)
	if err != nil {
		return v, fmt.Errorf("read the API server's version: %w", err)
	}
	return v, nil
}

// onlySince leaves a test out on a Kubernetes that is older than the thing that it
// is about.
func onlySince(t *testing.T, minor int, thing string) {
	t.Helper()
	if env.minor < minor {
		t.Skipf("Kubernetes 1.%d does not have %s", env.minor, thing)
	}
}

// recreateGate opens the feature gate of a StatefulSet's strategy Recreate, which
// 1.37 has closed and 1.38 open. Older programs do not start with it.
func recreateGate() []string {
	if env.minor < 37 {
		return nil
	}
	return []string{"--feature-gates=StatefulSetRecreateStrategy=true"}
}

// testdataGates opens the feature gates of what testdata has and the minor knows but
// drops or refuses.
func testdataGates() []string {
	if env.minor < 37 {
		return []string{"--feature-gates=MaxUnavailableStatefulSet=true"} // since 1.24
	}
	return recreateGate()
}
