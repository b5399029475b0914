package e2e

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"stayput.dev/cluster"
)

// TestKinds holds the table of kinds to what the API server serves: the names of
// resources, which kinds live in a namespace, and which can be scaled.
func TestKinds(t *testing.T) {
	t.Parallel()
	client, err := discovery.NewDiscoveryClientForConfig(env.Cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := client.ServerGroupsAndResources()
	if group := (*discovery.ErrGroupDiscoveryFailed)(nil); err != nil && !errors.As(err, &group) { // another test's
		t.Fatal(err)
	}
	met := map[schema.GroupVersionKind]bool{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		scalable := map[string]bool{}
		for _, r := range list.APIResources {
			if name, ok := strings.CutSuffix(r.Name, "/scale"); ok {
				scalable[name] = true
			}
		}
		for _, r := range list.APIResources {
			gvk := gv.WithKind(r.Kind)
			if strings.Contains(r.Name, "/") || !cluster.Scheme().Recognizes(gvk) {
				continue
			}
			met[gvk] = true
			if cluster.Namespaced(gvk.GroupKind()) != r.Namespaced {
				t.Errorf("%s: in a namespace: %v, but the API server says %v", gvk, !r.Namespaced, r.Namespaced)
			}
			if known := cluster.Known(gvk); known != nil && (known.Resource != r.Name || known.Scalable != scalable[r.Name]) {
				t.Errorf("%s: resource %s, scalable: %v; the API server says %s, %v", gvk, known.Resource, known.Scalable, r.Name,
					scalable[r.Name])
			}
		}
	}
	for i := range cluster.Kinds {
		if gvk := cluster.Kinds[i].GVK(); !met[gvk] && (gvk.Kind != "VolumeAttributesClass" || env.minor >= 34) {
			t.Errorf("the API server does not serve %s", gvk)
		}
	}
}
