package validators

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/webhook/cluster"
)

// TestUndefaulted shows rules what lint reads in manifests and no API server
// ever stores, so that no testdata can hold it: a volume without a source, which
// becomes an emptyDir.
func TestUndefaulted(t *testing.T) {
	sts := &appsv1.StatefulSet{}
	sts.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "data"}}
	raised := *statefulsetNoStorage
	raised.Level = Warn
	view := cluster.World{Source: &cluster.Snapshot{}}.View(context.Background(), cluster.Request{})
	found, _ := Review(view, []*Rule{&raised}, nil, sts)
	const want = `statefulset-no-storage: spec.template.spec.volumes[0]: Invalid value: "data": must not hold data: it is an emptyDir`
	if len(found) != 1 || !strings.HasPrefix(found[0].String(), want) {
		t.Errorf("got %v, want %s", found, want)
	}
}
