package cluster_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
)

// An apiServer counts what it is asked.
type apiServer struct {
	*cluster.Snapshot
	asked int
}

func (s *apiServer) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	s.asked++
	return s.Snapshot.Get(ctx, key, obj)
}

// TestTaken: the API server is not asked about a name that the cache lacks, and what
// it has said of it already counts.
func TestTaken(t *testing.T) {
	old := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "old"}}
	fresh := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "new"}}
	cached, now := &cluster.Snapshot{Complete: true}, &apiServer{Snapshot: &cluster.Snapshot{Complete: true}}
	if err := cached.Add(old); err != nil {
		t.Fatal(err)
	}
	if err := now.Add(old, fresh); err != nil {
		t.Fatal(err)
	}
	view := func() *cluster.View {
		return cluster.Environment{Source: cache.Cached(cached), Live: now}.View(t.Context(), cluster.Request{})
	}
	is := func(v *cluster.View, name string, want bool, asked int) {
		t.Helper()
		got, err := cluster.Taken[corev1.Service](v, "shop", name)
		if err != nil || got != want || now.asked != asked {
			t.Errorf("%s: taken %v, and should be %v; the API server was asked %d times, not %d: %v", name, got, want,
				now.asked, asked, err)
		}
	}
	is(view(), "old", true, 0)
	is(view(), "new", false, 0)
	is(view().Live(), "new", false, 0)
	looked := view()
	if svc, err := cluster.Get[corev1.Service](looked, "shop", "new"); err != nil || svc == nil {
		t.Fatal(svc, err)
	}
	is(looked, "new", true, 1)
}
