package webhook

import (
	"errors"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kjson "sigs.k8s.io/json"

	"stayput.dev/webhook/cluster"
)

// A request is an AdmissionRequest with its objects decoded.
type request struct {
	*admissionv1.AdmissionRequest

	old, obj client.Object // nil where there is none
}

// facts returns what rules may know about the request besides its objects.
func (r *request) facts() cluster.Request {
	f := cluster.Request{UID: r.UID, User: r.UserInfo, DryRun: r.DryRun != nil && *r.DryRun}
	var options metav1.DeleteOptions
	if r.Operation == admissionv1.Delete && len(r.Options.Raw) > 0 &&
		kjson.UnmarshalCaseSensitivePreserveInts(r.Options.Raw, &options) == nil {
		f.Orphan = options.PropagationPolicy != nil && *options.PropagationPolicy == metav1.DeletePropagationOrphan
	}
	return f
}

// decodeReview decodes the envelope of an AdmissionReview and says what is
// wrong with it. The request is returned as far as it could be read, so that
// the answer can name its uid.
func decodeReview(body []byte) (*request, error) {
	var review admissionv1.AdmissionReview
	if err := unmarshal(body, &review); err != nil {
		return &request{AdmissionRequest: review.Request}, err
	}
	req := &request{AdmissionRequest: review.Request}
	if gvk := review.GroupVersionKind(); gvk != admissionv1.SchemeGroupVersion.WithKind("AdmissionReview") {
		return req, fmt.Errorf("apiVersion and kind are %q and %q: must be %q and %q", review.APIVersion, review.Kind, admissionv1.SchemeGroupVersion, "AdmissionReview")
	}
	if review.Request == nil {
		return req, errors.New("request: is missing")
	}
	if review.Request.UID == "" {
		return req, errors.New("request.uid: is missing")
	}
	return req, req.decodeObjects()
}

// decodeObjects decodes the objects into the types that the request's kind
// names, and checks that there are those that the operation has.
func (r *request) decodeObjects() (err error) {
	gvk := schema.GroupVersionKind(r.Kind)
	if r.old, err = decodeObject("oldObject", gvk, r.OldObject.Raw, r.Namespace); err != nil {
		return err
	}
	if r.obj, err = decodeObject("object", gvk, r.Object.Raw, r.Namespace); err != nil {
		return err
	}
	needs := map[admissionv1.Operation]struct{ old, obj bool }{
		admissionv1.Create: {obj: true},
		admissionv1.Update: {old: true, obj: true},
		admissionv1.Delete: {old: true},
	}
	want, known := needs[r.Operation]
	switch {
	case r.Operation == admissionv1.Connect:
		return errors.New("request.operation: CONNECT carries no object that a convention could be about")
	case !known:
		return fmt.Errorf("request.operation: %q: must be CREATE, UPDATE or DELETE", r.Operation)
	case want.old && r.old == nil:
		return fmt.Errorf("request.oldObject: is missing on %s", r.Operation)
	case want.obj && r.obj == nil:
		return fmt.Errorf("request.object: is missing on %s", r.Operation)
	case !want.old && r.old != nil:
		return fmt.Errorf("request.oldObject: must be null on %s", r.Operation)
	case !want.obj && r.obj != nil:
		return fmt.Errorf("request.object: must be null on %s", r.Operation)
	}
	return nil
}

func decodeObject(field string, gvk schema.GroupVersionKind, raw []byte, namespace string) (client.Object, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	obj, err := newObject(gvk)
	if err != nil {
		return nil, err
	}
	if err := unmarshal(raw, obj); err != nil {
		return nil, fmt.Errorf("request.%s: %w", field, err)
	}
	if got := obj.GetObjectKind().GroupVersionKind(); got != gvk {
		return nil, fmt.Errorf("request.%s: is a %s, but request.kind says %s", field, got, gvk)
	}
	// Before 1.37 the object of a creation has no namespace of its own.
	if obj.GetNamespace() == "" && gvk.Kind != "Namespace" {
		obj.SetNamespace(namespace)
	}
	return obj, nil
}

func newObject(gvk schema.GroupVersionKind) (client.Object, error) {
	if gvk == autoscalingv1.SchemeGroupVersion.WithKind("Scale") {
		return new(autoscalingv1.Scale), nil
	}
	obj, err := scheme.Scheme.New(gvk)
	if err != nil {
		return nil, fmt.Errorf("request.kind: no convention is about %s", gvk)
	}
	o, ok := obj.(client.Object)
	if !ok {
		return nil, fmt.Errorf("request.kind: %s is not an object that is stored", gvk)
	}
	return o, nil
}

// unmarshal decodes as the API server does: keys are case-sensitive, and a key
// that occurs twice is an error. Unknown fields are left to newer versions.
func unmarshal(data []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(data, into, kjson.DisallowDuplicateFields)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if len(strict) > 0 {
		return strict[0]
	}
	return nil
}
