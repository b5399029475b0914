package latency

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"stayput.dev/cluster"
	"stayput.dev/webhook"
)

// by is the label that selects the webhooks or policies for an object.
const by = "bench.stayput.dev/by"

const (
	byNothing           = "nothing"
	byStayput           = "stayput"
	byMutatingAlone     = "stayput-mutating" // alone: what a MutatingAdmissionPolicy can do
	byControllerRuntime = "controller-runtime"
	byValidatingPolicy  = "validating-policy"
	byApplyPolicy       = "apply-policy"
	byPatchPolicy       = "patch-policy"
)

// The webhooks of controller-runtime, as rivals.yaml names them.
const (
	allowMutate   = "allow.mutate.controller-runtime"
	patchMutate   = "patch.mutate.controller-runtime"
	allowValidate = "allow.validate.controller-runtime"
)

const (
	statefulSet = "StatefulSet, create"
	namedPod    = "Pod, create, mutated"
	plainPod    = "Pod, create, of no interest"
	claim       = "Claim, delete"
)

// A request is a request to the API server.
type request struct {
	method, path string
	body         []byte
}

// A testCase is a request, with the webhooks or policies that it goes through.
type testCase struct {
	request
	title, by string
	calls     []string // webhooks that are asked once each
	sets      string   // what the answer's Pod has, in JSON, that was not sent
	refused   *request // what a policy refuses: the only way to see that it is there
	sent      int
	samples   []sample
}

// makeCases fills r.cases and creates the objects that they need. Cases with the
// same title are next to each other, and the one without admission is first.
func (r *run) makeCases(ctx context.Context) error {
	objects := map[string]*unstructured.Unstructured{}
	for name, review := range map[string][]byte{statefulSet: r.StatefulSet, namedPod: r.Pod, plainPod: r.Pod,
		claim: r.Claim} {
		obj, err := objectOf(review)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		objects[name] = obj
	}
	// A policy cannot make names, and Pods of StatefulSets have theirs.
	for _, title := range []string{namedPod, plainPod} {
		objects[title].SetGenerateName("")
		objects[title].SetName("web-0")
	}
	labels := objects[plainPod].GetLabels()
	delete(labels, cluster.LabelSubdomain)
	objects[plainPod].SetLabels(labels)
	objects[plainPod].SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet",
		Name: "web", UID: "1-2", Controller: new(true)}}) // as most Pods, for whose template admission was asked

	for _, c := range []*testCase{
		{title: statefulSet, by: byNothing},
		{title: statefulSet, by: byStayput, calls: []string{webhook.Defaults, webhook.Conventions}},
		{title: statefulSet, by: byControllerRuntime, calls: []string{allowMutate, allowValidate}},
		{title: statefulSet, by: byValidatingPolicy},
		{title: namedPod, by: byNothing},
		{title: namedPod, by: byStayput, calls: []string{webhook.Identity, webhook.Pods}},
		{title: namedPod, by: byMutatingAlone, calls: []string{webhook.Identity}},
		{title: namedPod, by: byControllerRuntime, calls: []string{patchMutate, allowValidate}},
		{title: namedPod, by: byApplyPolicy},
		{title: namedPod, by: byPatchPolicy},
		{title: plainPod, by: byNothing},
		{title: plainPod, by: byStayput},
		{title: plainPod, by: byValidatingPolicy},
		{title: claim, by: byNothing},
		{title: claim, by: byStayput, calls: []string{webhook.Deletion}},
		{title: claim, by: byControllerRuntime, calls: []string{allowValidate}},
		{title: claim, by: byValidatingPolicy},
	} {
		obj := objects[c.title].DeepCopy()
		obj.SetLabels(with(obj.GetLabels(), by, c.by))
		if c.title == namedPod && c.by != byNothing {
			c.sets = fmt.Sprintf(`"hostname":%q,"subdomain":%q`, obj.GetName(), obj.GetLabels()[cluster.LabelSubdomain])
		}
		var err error
		if c.title == claim {
			err = r.deletion(ctx, c, obj)
		} else {
			err = creation(c, obj)
		}
		if err != nil {
			return fmt.Errorf("%s, %s: %w", c.title, c.by, err)
		}
		r.cases = append(r.cases, c)
	}
	return nil
}

// creation sets the request of c to the creation of an object.
func creation(c *testCase, obj *unstructured.Unstructured) (err error) {
	path := "/api/v1/namespaces/" + obj.GetNamespace() + "/pods"
	bad := obj.DeepCopy()
	if obj.GetKind() == "StatefulSet" {
		path = "/apis/apps/v1/namespaces/" + obj.GetNamespace() + "/statefulsets"
		unstructured.RemoveNestedField(bad.Object, "spec", "serviceName")
	} else if err := unstructured.SetNestedField(bad.Object, "alone", "spec", "hostname"); err != nil {
		return err
	}
	c.method, c.path = http.MethodPost, path
	if c.body, err = obj.MarshalJSON(); err != nil || c.by != byValidatingPolicy {
		return err
	}
	c.refused = &request{method: c.method, path: c.path}
	c.refused.body, err = bad.MarshalJSON()
	return err
}

// deletion sets the request of c to the deletion of a claim. It creates the claim,
// bound to a retained volume and unused.
func (r *run) deletion(ctx context.Context, c *testCase, obj *unstructured.Unstructured) error {
	obj.SetName("spare-" + c.by)
	path, err := r.bind(ctx, obj)
	if err != nil {
		return err
	}
	c.method, c.path = http.MethodDelete, path
	if c.by != byValidatingPolicy {
		return nil
	}
	obj.SetName("protected")
	obj.SetAnnotations(map[string]string{"protected": "true"})
	path, err = r.bind(ctx, obj)
	c.refused = &request{method: http.MethodDelete, path: path}
	return err
}

// bind creates a claim and a volume that are bound to each other, and returns the
// claim's path.
func (r *run) bind(ctx context.Context, obj *unstructured.Unstructured) (path string, err error) {
	var pvc corev1.PersistentVolumeClaim
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &pvc); err != nil {
		return "", err
	}
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: pvc.Name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: pvc.Spec.Resources.Requests, AccessModes: pvc.Spec.AccessModes,
			StorageClassName:              *pvc.Spec.StorageClassName,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{Driver: "csi.example.org", VolumeHandle: pvc.Name},
			},
		},
	}
	pvc.Spec.VolumeName = pv.Name
	made, err := r.client.CoreV1().PersistentVolumeClaims(pvc.Namespace).Create(ctx, &pvc, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	made.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, AccessModes: pv.Spec.AccessModes,
		Capacity: pv.Spec.Capacity}
	if _, err := r.client.CoreV1().PersistentVolumeClaims(pvc.Namespace).UpdateStatus(ctx, made,
		metav1.UpdateOptions{}); err != nil {
		return "", err
	}
	pv.Spec.ClaimRef = &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: made.Namespace,
		Name: made.Name, UID: made.UID}
	if pv, err = r.client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	pv.Status.Phase = corev1.VolumeBound
	if _, err := r.client.CoreV1().PersistentVolumes().UpdateStatus(ctx, pv, metav1.UpdateOptions{}); err != nil {
		return "", err
	}
	return "/api/v1/namespaces/" + made.Namespace + "/persistentvolumeclaims/" + made.Name, nil
}

// objectOf returns the object of an AdmissionReview as its author would send it.
func objectOf(body []byte) (*unstructured.Unstructured, error) {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, err
	}
	raw := review.Request.Object.Raw
	if len(raw) == 0 {
		raw = review.Request.OldObject.Raw
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	delete(obj.Object, "status")
	for _, field := range []string{"managedFields", "uid", "resourceVersion", "creationTimestamp", "generation"} {
		unstructured.RemoveNestedField(obj.Object, "metadata", field)
	}
	return obj, nil
}

func with(labels map[string]string, key, value string) map[string]string {
	all := maps.Clone(labels)
	all[key] = value
	return all
}

// groups returns the cases with the same title, in order.
func (r *run) groups() (groups [][]*testCase) {
	for _, c := range r.cases {
		if last := len(groups) - 1; last >= 0 && groups[last][0].title == c.title {
			groups[last] = append(groups[last], c)
		} else {
			groups = append(groups, []*testCase{c})
		}
	}
	return groups
}

// find returns a case.
func (r *run) find(title, who string) *testCase {
	i := slices.IndexFunc(r.cases, func(c *testCase) bool { return c.title == title && c.by == who })
	return r.cases[i]
}
