package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"stayput.dev/cluster/cache"
	"stayput.dev/cluster/cache/trim"
)

// inProtobuf returns a client that asks for protobuf.
func inProtobuf(t *testing.T, wrap transport.WrapperFunc) *kubernetes.Clientset {
	t.Helper()
	config := rest.CopyConfig(env.Cluster.Config())
	config.ContentType = runtime.ContentTypeProtobuf
	config.Wrap(wrap)
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func trimming(next http.RoundTripper) http.RoundTripper { return trim.Transport(next, next) }

// TestWatchesAreTrimmed watches Pods at a real API server, as the caches do: it
// gets the existing Pods without unread fields, then the bookmark that ends the
// list, then changes.
func TestWatchesAreTrimmed(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, `apiVersion: v1
kind: Pod
metadata: {name: db-0, labels: {app: db}}
spec:
  hostname: db-0
  subdomain: db
  containers: [{name: a, image: b, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`)
	options := metav1.ListOptions{AllowWatchBookmarks: true}
	marked := env.minor >= 34 // a bookmark ends what was there, unless a gate is closed
	if marked {
		options.SendInitialEvents, options.ResourceVersionMatch = new(true), metav1.ResourceVersionMatchNotOlderThan
	}
	w, err := inProtobuf(t, trimming).CoreV1().Pods(ns).Watch(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	listed := false
	change := func() {
		listed = true
		kubectl(t, "annotate", "pod", "db-0", "-n", ns, "a=b")
	}
	for changed := false; !changed; {
		select {
		case event := <-w.ResultChan():
			pod, ok := event.Object.(*corev1.Pod)
			switch {
			case !ok:
				t.Fatalf("%s: %v", event.Type, event.Object)
			case event.Type == watch.Bookmark:
				if !listed && pod.Annotations[metav1.InitialEventsAnnotationKey] == "true" {
					change()
				}
				continue
			case pod.Name != "db-0" || pod.Spec.Hostname != "db-0" || len(pod.Spec.Volumes) == 0 ||
				pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != "data":
				t.Errorf("%s: too little is left: %v", event.Type, pod)
			case len(pod.ManagedFields)+len(pod.Spec.Containers)+len(pod.Labels)+len(pod.Annotations) > 0:
				t.Errorf("%s: not trimmed: %v", event.Type, pod)
			}
			changed = listed
			if !listed && !marked {
				change()
			}
		case <-time.After(env.patient):
			t.Fatal("nothing comes")
		}
	}
}

// TestListsAreTrimmed lists at a real API server as the caches do: the items come
// one by one and small, and they are those of a list that is not trimmed.
func TestListsAreTrimmed(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	for _, name := range []string{"a", "b", "c"} {
		apply(t, ns, "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: "+name+", labels: {app: db}, "+
			"finalizers: [example.com/mine]}\n"+
			"spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n")
	}
	whole, trimmed := inProtobuf(t, nil), inProtobuf(t, trimming)
	want, err := whole.CoreV1().PersistentVolumeClaims(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{0, 2} {
		var items []corev1.PersistentVolumeClaim
		more := ""
		for page := 0; page == 0 || more != ""; page++ {
			ctx := trim.WithItems(t.Context(), func(data []byte) error {
				var item corev1.PersistentVolumeClaim
				err := item.Unmarshal(data)
				items = append(items, item)
				return err
			})
			list, err := trimmed.CoreV1().PersistentVolumeClaims(ns).List(ctx, metav1.ListOptions{Limit: limit, Continue: more})
			if err != nil {
				t.Fatal(err)
			}
			if len(list.Items) > 0 || list.ResourceVersion == "" {
				t.Errorf("this is left of the list: %v", list)
			}
			more = list.Continue
		}
		if len(items) != 3 || len(want.Items) != 3 {
			t.Fatalf("%d items, want %d", len(items), len(want.Items))
		}
		for i := range items {
			got, err := cache.Strip(&items[i])
			if err != nil {
				t.Fatal(err)
			}
			if len(items[i].Finalizers) > 0 {
				t.Errorf("not trimmed: %v", items[i])
			}
			wanted, err := cache.Strip(want.Items[i].DeepCopy())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wanted, got); diff != "" {
				t.Errorf("limit %d (-whole +trimmed):\n%s", limit, diff)
			}
		}
	}
}
