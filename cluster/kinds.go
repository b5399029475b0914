package cluster

import (
	"fmt"
	"reflect"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A Kind is a kind of object that rules are about or look up. A new kind needs
// only an entry in [Kinds]: rules of webhooks, permissions, informers, the
// label of metrics and the fields that caches remove follow from it.
type Kind struct {
	Object        Object // an empty one
	APIVersion    string
	Resource      string // its plural, as in paths of the API
	ClusterScoped bool
	Scalable      bool // has the subresource scale
	ManagedFields bool // some rule reads which manager set a field
	Packed        bool // a cluster has many, or large ones: caches keep them as bytes
	Optional      bool // older API servers do not serve it, and then it has no objects
	Unread        bool // admission reviews it, and looks none up: no cache has it
	Unwatched     bool // only lint and audit know it: admission may not read it, and has no informer, see ErrUnwatched
	Linted        bool // only lint reads it for rules, nor may one at admission; Adopted of package validators may list it
	ClaimsOnly    bool // admission finds it by the claims that its Pods mount, and knows no more of it, see ErrUnwatched
}

// Kinds are all kinds that rules are about or look up.
var Kinds = []Kind{
	{Object: &CustomResourceDefinition{}, APIVersion: "apiextensions.k8s.io/v1",
		Resource: "customresourcedefinitions", ClusterScoped: true, Unread: true},
	{Object: &appsv1.Deployment{}, APIVersion: "apps/v1", Resource: "deployments", Scalable: true, Packed: true},
	{Object: &appsv1.ReplicaSet{}, APIVersion: "apps/v1", Resource: "replicasets", Scalable: true, Linted: true},
	{Object: &appsv1.StatefulSet{}, APIVersion: "apps/v1", Resource: "statefulsets", Scalable: true, Packed: true},
	{Object: &autoscalingv2.HorizontalPodAutoscaler{}, APIVersion: "autoscaling/v2",
		Resource: "horizontalpodautoscalers", Unwatched: true},
	{Object: &batchv1.CronJob{}, APIVersion: "batch/v1", Resource: "cronjobs", Packed: true, ClaimsOnly: true},
	{Object: &batchv1.Job{}, APIVersion: "batch/v1", Resource: "jobs", Packed: true, ClaimsOnly: true},
	{Object: &corev1.ConfigMap{}, APIVersion: "v1", Resource: "configmaps", Unwatched: true},
	{Object: &corev1.Namespace{}, APIVersion: "v1", Resource: "namespaces", ClusterScoped: true},
	{Object: &corev1.Node{}, APIVersion: "v1", Resource: "nodes", ClusterScoped: true},
	{Object: &corev1.PersistentVolume{}, APIVersion: "v1",
		Resource: "persistentvolumes", ClusterScoped: true, Packed: true},
	{Object: &corev1.PersistentVolumeClaim{}, APIVersion: "v1",
		Resource: "persistentvolumeclaims", ManagedFields: true, Packed: true},
	{Object: &corev1.Pod{}, APIVersion: "v1", Resource: "pods", Packed: true},
	{Object: &corev1.Service{}, APIVersion: "v1", Resource: "services", Packed: true},
	{Object: &policyv1.PodDisruptionBudget{}, APIVersion: "policy/v1", Resource: "poddisruptionbudgets"},
	{Object: &storagev1.StorageClass{}, APIVersion: "storage.k8s.io/v1",
		Resource: "storageclasses", ClusterScoped: true, ManagedFields: true},
	{Object: &storagev1.VolumeAttributesClass{}, APIVersion: "storage.k8s.io/v1",
		Resource: "volumeattributesclasses", ClusterScoped: true, Optional: true},
}

var byGVK = sync.OnceValue(func() map[schema.GroupVersionKind]*Kind {
	kinds := make(map[schema.GroupVersionKind]*Kind, len(Kinds))
	for i := range Kinds {
		kinds[Kinds[i].GVK()] = &Kinds[i]
	}
	return kinds
})

// Known returns the entry of a kind in [Kinds], or nil.
func Known(kind schema.GroupVersionKind) *Kind { return byGVK()[kind] }

// KnownObject returns the entry in [Kinds] of an object's kind, or nil.
func KnownObject(obj any) *Kind {
	for i := range Kinds {
		if reflect.TypeOf(obj) == reflect.TypeOf(Kinds[i].Object) {
			return &Kinds[i]
		}
	}
	return nil
}

// Watched says whether rules at admission know a kind: whether it has an informer,
// may be read by them, and may be what a webhook is asked about. Of a kind that is
// ClaimsOnly they know too little for that.
func Watched(kind schema.GroupVersionKind) bool {
	known := Known(kind)
	return known == nil || !known.Unwatched && !known.Linted && !known.ClaimsOnly
}

// unwatched are the types of the objects that admission does not know, or by their
// claims alone, and of their lists. It may list kinds that are Linted: what a new
// workload adopts.
var unwatched = sync.OnceValue(func() map[reflect.Type]bool {
	types := map[reflect.Type]bool{}
	for i := range Kinds {
		if gvk := Kinds[i].GVK(); Kinds[i].Unwatched || Kinds[i].ClaimsOnly {
			types[reflect.TypeOf(Kinds[i].Object)] = true
			if list, err := Scheme().New(gvk.GroupVersion().WithKind(gvk.Kind + "List")); err == nil {
				types[reflect.TypeOf(list)] = true
			}
		}
	}
	return types
})

// KnownResource returns the entry in [Kinds] of a resource such as
// "statefulsets", or nil.
func KnownResource(name string) *Kind {
	for i := range Kinds {
		if Kinds[i].Resource == name {
			return &Kinds[i]
		}
	}
	return nil
}

// GVK returns the group, version and kind.
func (k *Kind) GVK() schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(k.APIVersion, reflect.TypeOf(k.Object).Elem().Name())
}

// GVR returns the group, version and resource.
func (k *Kind) GVR() schema.GroupVersionResource {
	return k.GVK().GroupVersion().WithResource(k.Resource)
}

func gvkOf(obj Object) schema.GroupVersionKind {
	gvk, err := GVK(obj)
	if err != nil {
		panic(fmt.Sprintf("%T is not in the scheme: %v", obj, err))
	}
	return gvk
}

// KindOf returns the kind of a typed object. It panics for a type that is not
// one of Kubernetes, which a test of any rule shows.
func KindOf[T Object]() schema.GroupVersionKind {
	t := reflect.TypeFor[T]()
	if gvk, known := gvks.Load(t); known {
		return gvk.(schema.GroupVersionKind)
	}
	return gvkOf(reflect.New(t.Elem()).Interface().(Object))
}

// clusterScoped are the other cluster-scoped kinds of Kubernetes, which lint
// finds in manifests beside those of [Kinds].
var clusterScoped = map[schema.GroupKind]bool{
	{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicy"}:          true,
	{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicyBinding"}:   true,
	{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}:     true,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"}:        true,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicyBinding"}: true,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}:   true,
	{Group: "apiregistration.k8s.io", Kind: "APIService"}:                             true,
	{Group: "authentication.k8s.io", Kind: "SelfSubjectReview"}:                       true,
	{Group: "authentication.k8s.io", Kind: "TokenReview"}:                             true,
	{Group: "authorization.k8s.io", Kind: "SelfSubjectAccessReview"}:                  true,
	{Group: "authorization.k8s.io", Kind: "SelfSubjectRulesReview"}:                   true,
	{Group: "authorization.k8s.io", Kind: "SubjectAccessReview"}:                      true,
	{Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"}:                 true,
	{Group: "certificates.k8s.io", Kind: "ClusterTrustBundle"}:                        true,
	{Group: "flowcontrol.apiserver.k8s.io", Kind: "FlowSchema"}:                       true,
	{Group: "flowcontrol.apiserver.k8s.io", Kind: "PriorityLevelConfiguration"}:       true,
	{Group: "internal.apiserver.k8s.io", Kind: "StorageVersion"}:                      true,
	{Group: "networking.k8s.io", Kind: "IPAddress"}:                                   true,
	{Group: "networking.k8s.io", Kind: "IngressClass"}:                                true,
	{Group: "networking.k8s.io", Kind: "ServiceCIDR"}:                                 true,
	{Group: "node.k8s.io", Kind: "RuntimeClass"}:                                      true,
	{Group: "policy", Kind: "PodSecurityPolicy"}:                                      true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:                         true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}:                  true,
	{Group: "resource.k8s.io", Kind: "DeviceClass"}:                                   true,
	{Group: "resource.k8s.io", Kind: "DeviceTaintRule"}:                               true,
	{Group: "resource.k8s.io", Kind: "ResourceSlice"}:                                 true,
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}:                               true,
	{Group: "storage.k8s.io", Kind: "CSIDriver"}:                                      true,
	{Group: "storage.k8s.io", Kind: "CSINode"}:                                        true,
	{Group: "storage.k8s.io", Kind: "VolumeAttachment"}:                               true,
	{Group: "storagemigration.k8s.io", Kind: "StorageVersionMigration"}:               true,
	{Kind: "ComponentStatus"}:                                                         true,
}

// Namespaced says whether objects of a kind have a namespace. For a kind that
// is not one of Kubernetes, it is true.
func Namespaced(kind schema.GroupKind) bool {
	for gvk, known := range byGVK() {
		if gvk.GroupKind() == kind {
			return !known.ClusterScoped
		}
	}
	return !clusterScoped[kind]
}

// DefaultNamespace is the namespace of objects that name none, as in kubectl.
const DefaultNamespace = "default"
