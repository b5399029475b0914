package rehearsal

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
)

// A Trial is what an operator would be told if it made a StatefulSet anew, and
// deleted it, its claims and their volumes: one instance for each kind of owner.
type Trial struct {
	Owner string `json:"owner"` // Kind.group namespace/name
	// As is the operator's account, and By how it is known.
	As string `json:"as,omitempty"`
	By string `json:"by,omitempty"`
	// Steps are what was tried; none where the account is not known.
	Steps []Step `json:"steps"`
}

// A Step is one request of a trial.
type Step struct {
	Verb   string `json:"verb"`
	Object string `json:"object"`
	// Denied is what the rules would say in enforce, by rule.
	Denied []string `json:"denied,omitempty"`
	// Server is what the API server says of a dry run under the account, with the
	// admission webhooks that it has; empty where it lets the request through.
	Server string `json:"server,omitempty"`
}

// An Instance is what one custom resource has: a StatefulSet or none, and claims
// with their volumes.
type Instance struct {
	Kind      schema.GroupKind
	Owner     metav1.OwnerReference
	Namespace string
	Set       *appsv1.StatefulSet
	Claims    []*corev1.PersistentVolumeClaim
}

// Instances returns the first instance of each kind of owner, by namespace and
// name, with a StatefulSet if there is one.
func Instances(v *cluster.View) ([]*Instance, error) {
	first := map[schema.GroupKind]*Instance{}
	consider := func(owner *metav1.OwnerReference, namespace string, set *appsv1.StatefulSet) {
		if owner == nil {
			return
		}
		i := &Instance{schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind(), *owner, namespace, set, nil}
		known := first[i.Kind]
		switch {
		case known == nil, known.Set == nil && set != nil:
		case known.Set != nil && set == nil, known.place() <= i.place():
			return
		}
		first[i.Kind] = i
	}
	err := cluster.Each(v, func(sts *appsv1.StatefulSet) { consider(cluster.ForeignOwner(sts), sts.Namespace, sts) })
	if err != nil {
		return nil, fmt.Errorf("look through StatefulSets: %w", err)
	}
	var claims []*corev1.PersistentVolumeClaim
	err = cluster.Each(v, func(pvc *corev1.PersistentVolumeClaim) {
		consider(cluster.ForeignOwner(pvc), pvc.Namespace, nil)
		claims = append(claims, pvc)
	})
	if err != nil {
		return nil, fmt.Errorf("look through PersistentVolumeClaims: %w", err)
	}
	var all []*Instance
	for _, i := range first {
		for _, pvc := range claims {
			if i.has(pvc) {
				i.Claims = append(i.Claims, pvc)
			}
		}
		slices.SortFunc(i.Claims, func(a, b *corev1.PersistentVolumeClaim) int { return strings.Compare(a.Name, b.Name) })
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b *Instance) int { return strings.Compare(a.Kind.String(), b.Kind.String()) })
	return all, nil
}

func (i *Instance) place() string {
	name := i.Owner.Name
	if i.Set != nil {
		name = i.Set.Name
	}
	return i.Namespace + "/" + name
}

// has says whether a claim is of the StatefulSet or, where there is none, of the
// owner itself.
func (i *Instance) has(pvc *corev1.PersistentVolumeClaim) bool {
	if pvc.Namespace != i.Namespace {
		return false
	}
	if i.Set != nil {
		return len(cluster.ClaimsAmong([]appsv1.StatefulSet{*i.Set}, pvc)) > 0
	}
	return slices.ContainsFunc(pvc.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == i.Owner.UID })
}

// Subject is the object by which the operator's account is found.
func (i *Instance) Subject() cluster.Object {
	switch {
	case i.Set != nil:
		return i.Set
	case len(i.Claims) > 0:
		return i.Claims[0]
	}
	return nil
}

// A Server is asked what it says of a request in a dry run, under an account. It
// returns "" where that is let through.
type Server func(ctx context.Context, user authenticationv1.UserInfo, verb string, obj cluster.Object) string

// Account returns what the API server says of a user's groups, a service account's
// in particular.
func Account(user string) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: user, Groups: []string{"system:authenticated"}}
	if rest, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		ns, _, _ := strings.Cut(rest, ":")
		info.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"}
	}
	return info
}

// Try tries what the operator of an instance does at the end of its life, in the
// order that denies most: the claims while the StatefulSet is there.
func (r *Rehearsal) Try(ctx context.Context, i *Instance, as, by string, server Server) {
	t := &Trial{Owner: i.Kind.String() + " " + i.Namespace + "/" + i.Owner.Name, As: as, By: by, Steps: []Step{}}
	r.Trials = append(r.Trials, t)
	if as == "" {
		return
	}
	try := func(verb string, obj cluster.Object) {
		user := Account(as)
		v := r.environment.View(ctx, cluster.Request{User: user})
		step := Step{Verb: verb, Object: describe(obj), Server: server(ctx, user, verb, obj)}
		old, is := obj, cluster.Object(nil)
		if verb == "create" {
			old, is = nil, obj
		}
		for _, f := range r.denials(v, old, is) {
			step.Denied = append(step.Denied, f.String())
			r.entries.add(v, f.Rule, as, obj, is == nil)
		}
		t.Steps = append(t.Steps, step)
	}
	if i.Set != nil {
		try("create", i.Set)
	}
	for _, pvc := range i.Claims {
		try("delete", pvc)
	}
	if i.Set != nil {
		try("delete", i.Set)
	}
	for _, pvc := range i.Claims {
		if pvc.Spec.VolumeName == "" {
			continue
		}
		v := r.environment.View(ctx, cluster.Request{})
		if pv, err := cluster.Get[corev1.PersistentVolume](v, "", pvc.Spec.VolumeName); err == nil && pv != nil {
			try("delete", pv)
		}
	}
}

func describe(obj cluster.Object) string {
	kind, _ := cluster.GVK(obj)
	if obj.GetNamespace() == "" {
		return kind.Kind + " " + obj.GetName()
	}
	return kind.Kind + " " + obj.GetNamespace() + "/" + obj.GetName()
}

func (t *Trial) text(w io.Writer) {
	if t.As == "" {
		fmt.Fprintf(w, "not tried: %s: nobody knows the account of its operator; give it with --as\n", clean(t.Owner))
		return
	}
	fmt.Fprintf(w, "tried: %s as %s (%s)\n", clean(t.Owner), clean(t.As), t.By)
	for _, s := range t.Steps {
		verdict := "let through"
		if len(s.Denied) > 0 {
			verdict = "denied in enforce"
		}
		fmt.Fprintf(w, "  %s %s: %s\n", s.Verb, clean(s.Object), verdict)
		for _, f := range s.Denied {
			fmt.Fprintf(w, "    %s\n", clean(f))
		}
		if s.Server != "" {
			fmt.Fprintf(w, "    API server: %s\n", clean(s.Server))
		}
	}
}
