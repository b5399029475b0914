// Package rehearsal replays the requests in an API server's audit log against
// the rules in mode enforce, and shows what would have been denied, and to
// whom.
package rehearsal

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

// An Event is one of audit.k8s.io/v1: a request that the API server answered.
type Event struct {
	APIVersion       string                     `json:"apiVersion"`
	Kind             string                     `json:"kind"`
	Level            string                     `json:"level"`
	Stage            string                     `json:"stage"`
	RequestURI       string                     `json:"requestURI"`
	Verb             string                     `json:"verb"`
	User             authenticationv1.UserInfo  `json:"user"`
	ImpersonatedUser *authenticationv1.UserInfo `json:"impersonatedUser"`
	ObjectRef        *Reference                 `json:"objectRef"`
	ResponseStatus   *struct{ Code int }        `json:"responseStatus"`
	RequestObject    json.RawMessage            `json:"requestObject"`
	ResponseObject   json.RawMessage            `json:"responseObject"`
	Received         time.Time                  `json:"requestReceivedTimestamp"`
	Annotations      map[string]string          `json:"annotations"`
	kind             schema.GroupVersionKind    // of what the request is about
}

// A Reference says what a request is about.
type Reference struct {
	Resource, Namespace, Name, APIGroup, Subresource string
}

// counts sets the kind of an event, and says whether it is a successful request
// that changed, or was to change, an object of one of the kinds.
func (l *Log) counts(e *Event) bool {
	ref := e.ObjectRef
	if e.Stage != "ResponseComplete" || ref == nil ||
		!slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, e.Verb) {
		return false
	}
	kind, known := l.kinds[schema.GroupResource{Group: ref.APIGroup, Resource: ref.Resource}]
	scales := ref.Subresource == "scale" && ref.APIGroup == "apps"
	e.kind = kind
	return known && (ref.Subresource == "" || scales) && !e.dryRun() && e.answered()
}

// answered says whether the request succeeded, or was denied by Stayput.
func (e *Event) answered() bool {
	if e.ResponseStatus == nil {
		return false
	}
	return e.ResponseStatus.Code/100 == 2 || e.ResponseStatus.Code == 403 && e.byStayput()
}

// byStayput says whether Stayput denied the request.
func (e *Event) byStayput() bool {
	return slices.ContainsFunc(validators.Audited(e.Annotations), func(d validators.Decision) bool {
		return d.Level == validators.Deny
	})
}

func (e *Event) query() url.Values {
	u, err := url.Parse(e.RequestURI)
	if err != nil {
		return nil
	}
	return u.Query()
}

func (e *Event) dryRun() bool { return e.query().Get("dryRun") != "" || len(e.options().DryRun) > 0 }

// options returns the options of a deletion, from its body.
func (e *Event) options() (o metav1.DeleteOptions) {
	if strings.HasPrefix(e.Verb, "delete") {
		_ = json.Unmarshal(e.RequestObject, &o) // without a body, or with another, there are none
	}
	return o
}

func (e *Event) orphan() bool {
	p := e.options().PropagationPolicy
	return e.query().Get("propagationPolicy") == string(metav1.DeletePropagationOrphan) || p != nil &&
		*p == metav1.DeletePropagationOrphan
}

// who returns the user for whom the request was made.
func (e *Event) who() authenticationv1.UserInfo {
	if e.ImpersonatedUser != nil {
		return *e.ImpersonatedUser
	}
	return e.User
}

func (e *Event) request() cluster.Request { return cluster.Request{User: e.who(), Orphan: e.orphan()} }

// creates says whether the request made the object, which a patch may.
func (e *Event) creates() bool {
	return e.Verb == "create" || !strings.HasPrefix(e.Verb, "delete") && e.ResponseStatus.Code == 201
}

// object returns the object in a body, or nil if it is not of the event's kind.
func (e *Event) object(body json.RawMessage) cluster.Object {
	var t metav1.TypeMeta
	if json.Unmarshal(body, &t) != nil || t.GroupVersionKind() != e.kind {
		return nil
	}
	made, err := cluster.Scheme().New(e.kind)
	if err != nil {
		return nil
	}
	obj, ok := made.(cluster.Object)
	if !ok || json.Unmarshal(body, obj) != nil {
		return nil
	}
	cluster.StripManagedFields(obj)
	if e.ObjectRef.Namespace != "" && e.kind.Kind != "Namespace" {
		obj.SetNamespace(e.ObjectRef.Namespace)
	}
	return obj
}

// written returns the result of a creation, an update or a patch. If the log
// lacks it, the object that was sent is used.
func (e *Event) written() cluster.Object {
	if obj := e.object(e.ResponseObject); obj != nil {
		return obj
	}
	if e.Verb == "patch" {
		return nil
	}
	obj := e.object(e.RequestObject)
	if obj != nil && obj.GetName() == "" {
		obj.SetName(e.ObjectRef.Name)
	}
	return obj
}

// scale returns the Scale that a request came to.
func (e *Event) scale() *autoscalingv1.Scale {
	for _, body := range []json.RawMessage{e.ResponseObject, e.RequestObject} {
		s := &autoscalingv1.Scale{}
		if json.Unmarshal(body, s) == nil && s.Kind == "Scale" {
			return s
		}
	}
	return nil
}

// deleted returns the objects that a deletion returned as deleted, if any.
func (e *Event) deleted() (objs []cluster.Object) {
	var list struct{ Items []json.RawMessage }
	if e.Verb == "deletecollection" {
		_ = json.Unmarshal(e.ResponseObject, &list) // what is no list has no items
		for _, item := range list.Items {
			var fields map[string]any
			if json.Unmarshal(item, &fields) != nil {
				continue
			}
			// The items of a list have neither.
			fields["apiVersion"], fields["kind"] = e.kind.GroupVersion().String(), e.kind.Kind
			if whole, err := json.Marshal(fields); err == nil {
				objs = append(objs, e.object(whole))
			}
		}
	} else {
		objs = append(objs, e.object(e.ResponseObject))
	}
	objs = slices.DeleteFunc(objs, func(obj cluster.Object) bool { return obj == nil })
	for _, obj := range objs {
		alive(obj)
	}
	return objs
}
