package e2e

import (
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"stayput.dev/webhook/cluster/trim"
)

// TestWatchesAreTrimmed watches Pods at a real API server, as the caches do: what
// is there comes small, then the bookmark that ends the list, then changes.
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
	config := rest.CopyConfig(env.Cluster.Config())
	config.ContentType = runtime.ContentTypeProtobuf
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return trim.Transport(next, next) })
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.CoreV1().Pods(ns).Watch(t.Context(), metav1.ListOptions{
		SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	listed := false
	for changed := false; !changed; {
		select {
		case event := <-w.ResultChan():
			pod, ok := event.Object.(*corev1.Pod)
			switch {
			case !ok:
				t.Fatalf("%s: %v", event.Type, event.Object)
			case event.Type == watch.Bookmark:
				if !listed && pod.Annotations[metav1.InitialEventsAnnotationKey] == "true" {
					listed = true
					kubectl(t, "annotate", "pod", "db-0", "-n", ns, "a=b")
				}
				continue
			case pod.Name != "db-0" || pod.Spec.Hostname != "db-0" || len(pod.Spec.Volumes) == 0 || pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != "data":
				t.Errorf("%s: too little is left: %v", event.Type, pod)
			case len(pod.ManagedFields)+len(pod.Spec.Containers)+len(pod.Labels)+len(pod.Annotations) > 0:
				t.Errorf("%s: not trimmed: %v", event.Type, pod)
			}
			changed = listed
		case <-time.After(env.patient):
			t.Fatal("nothing comes")
		}
	}
}
