package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"stayput.dev/cluster"
	"stayput.dev/internal/fastjson"
	"stayput.dev/internal/quantity"
)

// A request is an AdmissionRequest with its objects decoded.
type request struct {
	*admissionv1.AdmissionRequest

	old, obj cluster.Object // nil if there is none
}

// facts returns what rules may know of the request besides its objects.
func (r *request) facts() cluster.Request {
	f := cluster.Request{UID: r.UID, User: r.UserInfo, DryRun: r.DryRun != nil && *r.DryRun}
	var options metav1.DeleteOptions
	if r.Operation == admissionv1.Delete && len(r.Options.Raw) > 0 &&
		unmarshalSlowly(r.Options.Raw, &options) == nil {
		f.Orphan = options.PropagationPolicy != nil && *options.PropagationPolicy == metav1.DeletePropagationOrphan
	}
	return f
}

// A requestError says why a review cannot be decoded.
type requestError struct {
	uid  string // empty if it could not be read
	code int32  // an HTTP status
	why  string
}

// errNoMemory is the error of a review for which there is no memory now.
var errNoMemory = &requestError{code: http.StatusTooManyRequests}

// decodeReview decodes an AdmissionReview and its objects, or returns why it
// cannot. The request's raw objects are parts of the body. It reserves memory,
// in bytes, before it takes it: for the envelope, and then for the objects once
// their size is known.
func (l Limits) decodeReview(body []byte, reserve func(int64) bool) (*request, *requestError) {
	if !reserve(takes(len(body), 0)) {
		return nil, errNoMemory
	}
	var review admissionv1.AdmissionReview
	doc := fastjson.NewDocument(body, l.budget(len(body), reserve))
	if !fastDecoder {
		doc = fastjson.NewDocument(nil, fastjson.Budget{}) // which decodes nothing
	}
	plain := doc.Unmarshal(&review, chooser(&review, len(body)))
	uid, over := "", ""
	switch {
	case plain && review.Request != nil:
		uid = string(review.Request.UID)
	case doc.Full():
		return nil, errNoMemory
	case !plain:
		var cost int64
		if uid, cost, over = l.scan(body); over == "" && !reserve(cost) {
			return nil, errNoMemory
		}
	}
	switch {
	case over != "":
		return nil, &requestError{clean(uid), http.StatusRequestEntityTooLarge, over}
	case !utf8.Valid(body): // the decoder would replace the invalid bytes
		return nil, &requestError{clean(uid), http.StatusBadRequest, "cannot be read: it is not UTF-8"}
	case !plain:
		review = admissionv1.AdmissionReview{}
		if err := unmarshalSlowly(body, &review); err != nil {
			return nil, &requestError{clean(uid), http.StatusBadRequest, "cannot be read: " + err.Error()}
		}
	}
	req := &request{AdmissionRequest: review.Request}
	if err := req.decode(&review, doc); err != nil {
		uid := ""
		if review.Request != nil {
			uid = clean(string(review.Request.UID))
		}
		return nil, &requestError{uid, http.StatusBadRequest, "cannot be read: " + err.Error()}
	}
	return req, nil
}

// once is the largest body whose objects are decoded together with the
// envelope. That may be in vain: if the end of the body is malformed, another
// decoder decodes it again.
const once = 64 << 10

// chooser chooses the types of a review's objects as soon as its kind is known.
// An API server writes the kind before the objects.
func chooser(review *admissionv1.AdmissionReview, size int) fastjson.Chooser {
	if size > once {
		return nil
	}
	return func(field *runtime.RawExtension) (into any, managedFields bool) {
		req := review.Request
		if req == nil || field != &req.Object && field != &req.OldObject {
			return nil, false
		}
		obj, err := newObject(schema.GroupVersionKind(req.Kind))
		if err != nil {
			return nil, false
		}
		return obj, readsManagedFields(schema.GroupVersionKind(req.Kind))
	}
}

// decode checks the envelope and decodes the objects in it.
func (r *request) decode(review *admissionv1.AdmissionReview, doc *fastjson.Document) error {
	if review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Kind != "AdmissionReview" {
		return fmt.Errorf("apiVersion and kind are %q and %q: must be %q and %q", review.APIVersion, review.Kind,
			admissionv1.SchemeGroupVersion, "AdmissionReview")
	}
	if r.AdmissionRequest == nil {
		return errors.New("request: is missing")
	}
	if r.UID == "" {
		return errors.New("request.uid: is missing")
	}
	return r.decodeObjects(doc)
}

// decodeObjects decodes the objects into the types of the request's kind, and
// checks that all objects of the operation are there.
func (r *request) decodeObjects(doc *fastjson.Document) (err error) {
	gvk := schema.GroupVersionKind(r.Kind)
	if r.old, err = decodeObject("oldObject", gvk, r.OldObject.Raw, r.Namespace, doc); err != nil {
		return err
	}
	if r.obj, err = decodeObject("object", gvk, r.Object.Raw, r.Namespace, doc); err != nil {
		return err
	}
	var old, obj bool // which of the two the operation requires
	switch r.Operation {
	case admissionv1.Create:
		obj = true
	case admissionv1.Update:
		old, obj = true, true
	case admissionv1.Delete:
		old = true
	case admissionv1.Connect:
		return errors.New("request.operation: CONNECT carries no object that a convention could be about")
	default:
		return fmt.Errorf("request.operation: %q: must be CREATE, UPDATE or DELETE", r.Operation)
	}
	switch {
	case old && r.old == nil:
		return fmt.Errorf("request.oldObject: is missing on %s", r.Operation)
	case obj && r.obj == nil:
		return fmt.Errorf("request.object: is missing on %s", r.Operation)
	case !old && r.old != nil:
		return fmt.Errorf("request.oldObject: must be null on %s", r.Operation)
	case !obj && r.obj != nil:
		return fmt.Errorf("request.object: must be null on %s", r.Operation)
	}
	return nil
}

func decodeObject(field string, gvk schema.GroupVersionKind, raw []byte, namespace string,
	doc *fastjson.Document) (cluster.Object, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	obj, decoded := doc.Decoded(raw).(cluster.Object)
	if !decoded {
		var err error
		if obj, err = newObject(gvk); err != nil {
			return nil, err
		}
		decoded = doc.UnmarshalRaw(raw, obj, readsManagedFields(gvk))
	}
	if !decoded {
		obj, _ = newObject(gvk) // no error: see above
		if err := unmarshalSlowly(raw, obj); err != nil {
			return nil, fmt.Errorf("request.%s: %w", field, err)
		}
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

// readsManagedFields says whether any rule reads the managed fields of a kind:
// to find who made a claim, and whether the author of a class wrote its
// reclaimPolicy.
func readsManagedFields(gvk schema.GroupVersionKind) bool {
	kind := cluster.Known(gvk)
	return kind != nil && kind.ManagedFields
}

func newObject(gvk schema.GroupVersionKind) (cluster.Object, error) {
	if gvk == autoscalingv1.SchemeGroupVersion.WithKind("Scale") {
		return new(autoscalingv1.Scale), nil
	}
	obj, err := cluster.Scheme().New(gvk)
	if err != nil {
		return nil, fmt.Errorf("request.kind: no convention is about %s", gvk)
	}
	o, ok := obj.(cluster.Object)
	if !ok {
		return nil, fmt.Errorf("request.kind: %s is not an object that is stored", gvk)
	}
	return o, nil
}

// unmarshalSlowly decodes what package fastjson does not, and returns what is
// wrong with it. Keys are case-sensitive, and a repeated key is an error.
// Unknown fields are accepted, because newer versions may have them.
func unmarshalSlowly(data []byte, into any) error {
	if err := quantity.Check(data, into); err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict(data, into, kjson.DisallowDuplicateFields)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if len(strict) > 0 {
		return strict[0]
	}
	return nil
}
