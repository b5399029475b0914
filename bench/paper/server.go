// Package paper is a cluster in memory, whose objects can be listed and watched as
// at an API server, in JSON and protobuf; lists without managed fields, too, as from
// Kubernetes 1.38 on. The benchmarks fill Stayput's informers
// from it with any number of objects in seconds. It stores only Leases and
// ConfigMaps, and has no admission.
package paper

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// A Cluster answers LIST, WATCH and GET.
type Cluster struct {
	*httptest.Server

	kinds map[schema.GroupVersionResource]*kind

	mu     sync.Mutex
	counts map[string]int
	stored map[string][]byte
	done   chan struct{}
}

// A kind holds all objects of a kind.
type kind struct {
	gvk        schema.GroupVersionKind
	namespaced bool
	objects    []cluster.Object
	byKey      map[client.ObjectKey]cluster.Object
}

const version = "1000"

// Start serves a cluster of the objects on loopback. They are not copied, and
// must have different names.
func Start(objects []cluster.Object) (*Cluster, error) {
	c := &Cluster{kinds: map[schema.GroupVersionResource]*kind{}, counts: map[string]int{}, stored: map[string][]byte{},
		done: make(chan struct{})}
	byGVK := map[schema.GroupVersionKind]*kind{}
	for _, known := range append(slices.Clone(cluster.Kinds), process...) {
		k := &kind{gvk: known.GVK(), namespaced: !known.ClusterScoped, byKey: map[client.ObjectKey]cluster.Object{}}
		c.kinds[known.GVR()], byGVK[k.gvk] = k, k
	}
	for _, obj := range objects {
		gvk, err := cluster.GVK(obj)
		if err != nil {
			return nil, err
		}
		k := byGVK[gvk]
		if k == nil {
			return nil, fmt.Errorf("a cluster on paper has no %s", gvk)
		}
		obj.GetObjectKind().SetGroupVersionKind(gvk)
		if obj.GetResourceVersion() == "" {
			obj.SetResourceVersion("1")
		}
		k.objects = append(k.objects, obj)
		k.byKey[client.ObjectKeyFromObject(obj)] = obj
	}
	c.Server = httptest.NewServer(c)
	return c, nil
}

// Stop ends all watches and the server.
func (c *Cluster) Stop() {
	close(c.done)
	c.Close()
}

// process lists the kinds that the process needs, besides those that rules look up.
var process = []cluster.Kind{
	{Object: &corev1.Secret{}, APIVersion: "v1", Resource: "secrets"},
	{Object: &corev1.Event{}, APIVersion: "v1", Resource: "events"},
	{Object: &coordinationv1.Lease{}, APIVersion: "coordination.k8s.io/v1", Resource: "leases"},
	{Object: &admissionregistrationv1.MutatingWebhookConfiguration{}, APIVersion: "admissionregistration.k8s.io/v1",
		Resource: "mutatingwebhookconfigurations", ClusterScoped: true},
	{Object: &admissionregistrationv1.ValidatingWebhookConfiguration{}, APIVersion: "admissionregistration.k8s.io/v1",
		Resource: "validatingwebhookconfigurations", ClusterScoped: true},
}

// Requests returns the number of requests, by verb and resource.
func (c *Cluster) Requests() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := make(map[string]int, len(c.counts))
	for k, n := range c.counts {
		counts[k] = n
	}
	return counts
}

func (c *Cluster) count(verb, resource string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[verb+" "+resource]++
}

// ServeHTTP implements [http.Handler].
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/api" || r.URL.Path == "/apis" || parts[0] == "api" && len(parts) == 2 || parts[0] == "apis" &&
		len(parts) == 3:
		c.discovery(w, parts)
		return
	case parts[0] == "api" && len(parts) > 2:
		parts = append([]string{""}, parts[1:]...)
	case parts[0] == "apis" && len(parts) > 3:
		parts = parts[1:]
	default:
		refuse(w, http.StatusNotFound, "NotFound")
		return
	}
	gv, parts := schema.GroupVersion{Group: parts[0], Version: parts[1]}, parts[2:]
	var key client.ObjectKey
	if parts[0] == "namespaces" && len(parts) > 2 {
		key.Namespace, parts = parts[1], parts[2:]
	}
	if len(parts) > 1 {
		key.Name = parts[1]
	}
	gvr := gv.WithResource(parts[0])
	k := c.kinds[gvr]
	switch {
	case k == nil:
		c.count("unknown", gvr.Resource)
		refuse(w, http.StatusNotFound, "NotFound")
	case gvr.Resource == "leases" || gvr.Resource == "configmaps" && r.URL.Query().Get("watch") == "" &&
		key.Name+r.Method != http.MethodGet:
		c.own(w, r, gvr.Resource, key)
	case r.Method != http.MethodGet:
		c.count(r.Method, gvr.Resource)
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	case key.Name != "":
		c.count("GET", gvr.Resource)
		if obj := k.byKey[key]; obj != nil {
			respond(w, r, obj, http.StatusOK)
		} else {
			respond(w, r, status(http.StatusNotFound, metav1.StatusReasonNotFound, key.Name), http.StatusNotFound)
		}
	case r.URL.Query().Get("watch") != "":
		c.watch(w, r, k, gvr)
	default:
		c.count("LIST", gvr.Resource)
		c.list(w, r, k, key.Namespace)
	}
}

// list answers with all objects of a kind, in pages if the client asks for them.
func (c *Cluster) list(w http.ResponseWriter, r *http.Request, k *kind, namespace string) {
	empty, err := cluster.Scheme().New(k.gvk.GroupVersion().WithKind(k.gvk.Kind + "List"))
	if err != nil {
		panic(err) // known kinds have lists
	}
	list := empty.(client.ObjectList)
	list.GetObjectKind().SetGroupVersionKind(k.gvk.GroupVersion().WithKind(k.gvk.Kind + "List"))
	list.SetResourceVersion(version)
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	from, limit := 0, len(k.objects)
	_, _ = fmt.Sscan(r.URL.Query().Get("continue"), &from)
	_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
	drops := strings.Contains(r.Header.Get("Accept"), ";drop=metadata.managedFields")
	var page []runtime.Object
	i := from
	for ; i < len(k.objects) && len(page) < limit; i++ {
		if obj := k.objects[i]; (namespace == "" || obj.GetNamespace() == namespace) &&
			selector.Matches(labels.Set(obj.GetLabels())) {
			if drops {
				obj = withoutManagedFields(obj)
			}
			page = append(page, obj)
		}
	}
	if i < len(k.objects) {
		list.SetContinue(fmt.Sprint(i))
	}
	if err := meta.SetList(list, page); err != nil {
		panic(err)
	}
	respond(w, r, list, http.StatusOK)
}

// watch sends all objects if the client asks for a list in this way, and no further
// events, because the objects never change.
func (c *Cluster) watch(w http.ResponseWriter, r *http.Request, k *kind, gvr schema.GroupVersionResource) {
	send := jsonEvents(w)
	media := "application/json"
	if wantsProtobuf(r) {
		send, media = protobufEvents(w), "application/vnd.kubernetes.protobuf;stream=watch"
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(http.StatusOK)
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		c.count("LIST", gvr.Resource)
		for _, obj := range k.objects {
			if send(watch.Added, obj) != nil {
				return
			}
		}
		end, err := cluster.Scheme().New(k.gvk)
		if err != nil {
			panic(err)
		}
		mark := end.(cluster.Object)
		mark.GetObjectKind().SetGroupVersionKind(k.gvk)
		mark.SetResourceVersion(version)
		mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		if send(watch.Bookmark, mark) != nil {
			return
		}
	} else {
		c.count("WATCH", gvr.Resource)
	}
	w.(http.Flusher).Flush()
	select {
	case <-r.Context().Done():
	case <-c.done:
	}
}

func jsonEvents(w io.Writer) func(watch.EventType, runtime.Object) error {
	return func(t watch.EventType, obj runtime.Object) error {
		raw, err := json.Marshal(obj)
		if err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(metav1.WatchEvent{Type: string(t), Object: runtime.RawExtension{Raw: raw}})
	}
}

func protobufEvents(w io.Writer) func(watch.EventType, runtime.Object) error {
	frames := protobuf.LengthDelimitedFramer.NewFrameWriter(w)
	s := protobuf.NewSerializer(cluster.Scheme(), cluster.Scheme())
	return func(t watch.EventType, obj runtime.Object) error {
		raw, err := runtime.Encode(s, obj)
		if err != nil {
			return err
		}
		event, err := (&metav1.WatchEvent{Type: string(t), Object: runtime.RawExtension{Raw: raw}}).Marshal()
		if err != nil {
			return err
		}
		_, err = frames.Write(event)
		return err
	}
}

func wantsProtobuf(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Accept"), runtime.ContentTypeProtobuf)
}

func respond(w http.ResponseWriter, r *http.Request, obj runtime.Object, code int) {
	if wantsProtobuf(r) {
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		w.WriteHeader(code)
		_ = protobuf.NewSerializer(cluster.Scheme(), cluster.Scheme()).Encode(obj, w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(obj)
}

func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(status(code, reason, ""))
}

func status(code int, reason metav1.StatusReason, name string) *metav1.Status {
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code),
		Reason: reason, Details: &metav1.StatusDetails{Name: name},
	}
}

// discovery answers for the groups, and for the resources of one.
func (c *Cluster) discovery(w http.ResponseWriter, parts []string) {
	w.Header().Set("Content-Type", "application/json")
	var answer any
	switch {
	case parts[0] == "api" && len(parts) == 1:
		answer = metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions", APIVersion: "v1"},
			Versions: []string{"v1"}}
	case len(parts) == 1:
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		seen := map[string]bool{"": true}
		for gvr := range c.kinds {
			if !seen[gvr.Group] {
				seen[gvr.Group] = true
				v := metav1.GroupVersionForDiscovery{GroupVersion: gvr.GroupVersion().String(), Version: gvr.Version}
				list.Groups = append(list.Groups, metav1.APIGroup{Name: gvr.Group, Versions: []metav1.GroupVersionForDiscovery{v},
					PreferredVersion: v})
			}
		}
		answer = list
	default:
		gv := strings.Join(parts[1:], "/")
		list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv}
		for gvr, k := range c.kinds {
			if gvr.GroupVersion().String() == gv {
				list.APIResources = append(list.APIResources, metav1.APIResource{
					Name: gvr.Resource, SingularName: strings.ToLower(k.gvk.Kind), Namespaced: k.namespaced, Kind: k.gvk.Kind,
					Verbs: []string{"get", "list", "watch"},
				})
			}
		}
		slices.SortFunc(list.APIResources, func(a, b metav1.APIResource) int { return strings.Compare(a.Name, b.Name) })
		answer = list
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// own stores Stayput's own objects when they are created. The first leader stays
// the leader.
func (c *Cluster) own(w http.ResponseWriter, r *http.Request, resource string, key client.ObjectKey) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[r.Method+" "+resource]++
	if r.Method != http.MethodGet {
		decoded, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), body)
		if err != nil {
			refuse(w, http.StatusBadRequest, "BadRequest")
			return
		}
		obj := decoded.(cluster.Object)
		obj.SetResourceVersion(fmt.Sprint(len(c.counts)))
		key.Name = obj.GetName()
		if c.stored[resource+key.String()], err = json.Marshal(obj); err != nil {
			panic(err)
		}
	}
	data, ok := c.stored[resource+key.String()]
	if !ok {
		refuse(w, http.StatusNotFound, "NotFound")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
}
