package validators

import (
	"context"
	"math"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"stayput.dev/cluster"
)

func TestStatefulSetNameLength(t *testing.T) {
	tests := map[string]struct {
		length          int
		replicas, start int32
		want            string
	}{
		"the longest name":                             {length: 52, replicas: 3},
		"the longest name and the highest ordinal":     {length: 52, replicas: math.MaxInt32, start: math.MaxInt32},
		"one more, too long for the label":             {length: 53, replicas: 1, want: "a label of the Pods"},
		"the longest host name":                        {length: 61, replicas: 10, want: "a label of the Pods"},
		"a host name that is too long from ordinal 10": {length: 61, replicas: 11, want: "a host name of 64"},
		"a first ordinal that makes it too long":       {length: 61, replicas: 1, start: 10, want: "a host name of 64"},
		"no replicas, which still is a name":           {length: 62, replicas: 0, want: "a host name of 64"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sts := &appsv1.StatefulSet{}
			sts.Name = strings.Repeat("a", tt.length)
			sts.Spec.Replicas = &tt.replicas
			sts.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: tt.start}
			view := cluster.Environment{Source: &cluster.Snapshot{}}.View(context.Background(), cluster.Request{})
			found, undecided := Review(view, []*Rule{statefulsetNameLength}, nil, sts)
			if len(undecided) > 0 {
				t.Fatal(undecided[0])
			}
			switch {
			case tt.want == "" && len(found) > 0:
				t.Errorf("unexpected: %v", found[0])
			case tt.want != "" && (len(found) != 1 || !strings.Contains(found[0].String(), tt.want)):
				t.Errorf("got %v, want one finding with %q", found, tt.want)
			}
		})
	}
}
