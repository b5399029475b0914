package validators

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"stayput.dev/cluster"
)

func TestWorkloadFQDNLength(t *testing.T) {
	tests := map[string]struct {
		name, domain string
		want         bool
	}{
		// db-0.db.default.svc.cluster.local has 33 characters.
		"64 characters":          {name: strings.Repeat("d", 33)},
		"65 characters":          {name: strings.Repeat("d", 34), want: true},
		"a longer domain counts": {name: strings.Repeat("d", 33), domain: "cluster.local.", want: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			yes := true
			sts := &appsv1.StatefulSet{}
			sts.Name, sts.Namespace, sts.Spec.ServiceName = tt.name, "default", "db"
			sts.Spec.Template.Spec.SetHostnameAsFQDN = &yes
			view := cluster.Environment{Source: &cluster.Snapshot{}, ClusterDomain: tt.domain}.View(context.Background(),
				cluster.Request{})
			if found, _ := Review(view, []*Rule{workloadFQDNLength}, nil, sts); (len(found) > 0) != tt.want {
				t.Errorf("got %v", found)
			}
		})
	}
}

func TestGeneratedName(t *testing.T) {
	for deployment, want := range map[int]int{
		3:  len("web-4294967295-abcde"),
		46: 63,
		63: 63,
	} {
		if got := generatedName(deployment); got != want {
			t.Errorf("%d: got %d, want %d", deployment, got, want)
		}
	}
}
