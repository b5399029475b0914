package validators

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
)

// TestUndefaulted shows rules what lint reads in manifests and no API server
// ever stores, so that no testdata can hold it: a volume without a source, which
// becomes an emptyDir.
func TestUndefaulted(t *testing.T) {
	sts := &appsv1.StatefulSet{}
	sts.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "data"}}
	raised := *statefulsetNoStorage
	raised.Level = Warn
	view := cluster.Environment{Source: &cluster.Snapshot{}}.View(context.Background(), cluster.Request{})
	found, _ := Review(view, []*Rule{&raised}, nil, sts)
	const want = `statefulset-no-storage: spec.template.spec.volumes[0]: Invalid value: "data": must not hold data: it ` +
		`is an emptyDir`
	if len(found) != 1 || !strings.HasPrefix(found[0].String(), want) {
		t.Errorf("got %v, want %s", found, want)
	}
}

// TestServiceOnItsWayOut: a load balancer's finalizer keeps a Service for a
// while after it is deleted to be made again, headless. No testdata can hold it,
// for no API server stores a new object as deleted.
func TestServiceOnItsWayOut(t *testing.T) {
	for name, tt := range map[string]struct {
		deleted *metav1.Time
		want    Level
	}{
		"it stays": {nil, Deny},
		"it goes":  {new(metav1.Unix(1, 0)), Warn},
	} {
		t.Run(name, func(t *testing.T) {
			svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default",
				DeletionTimestamp: tt.deleted}}
			svc.Spec.ClusterIP, svc.Spec.Selector = "10.0.0.1", map[string]string{"app": "db"}
			snap := &cluster.Snapshot{Complete: true}
			if err := snap.Add(svc); err != nil {
				t.Fatal(err)
			}
			sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default"}}
			sts.Spec.ServiceName, sts.Spec.Replicas = "db", new(int32(3))
			sts.Spec.Template.Labels = svc.Spec.Selector
			sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
			view := cluster.Environment{Source: snap}.View(context.Background(), cluster.Request{})
			found, _ := Review(view, []*Rule{statefulsetServiceHeadless}, nil, sts)
			if len(found) != 1 || found[0].Level != tt.want {
				t.Errorf("got %v, want one finding of level %s", found, tt.want)
			}
		})
	}
}
