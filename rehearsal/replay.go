package rehearsal

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// A Rehearsal is what the rules say in enforce of requests that were made
// without them.
type Rehearsal struct {
	// Replayed counts the requests that the rules were asked about.
	Replayed int `json:"replayed"`
	// Denied are the requests that would have been denied, by user and rule.
	Denied []*Denial `json:"denied"`
	// MadeAnew are the objects of the present cluster that would be denied if
	// they were created now, by the user who writes them in the log.
	MadeAnew []*Denial `json:"madeAnew"`
	// Trials are the re-creations and deletions that were tried.
	Trials []*Trial `json:"trials,omitempty"`
	// Left are the requests that could not be replayed, or only roughly.
	Left []*Left `json:"notReplayed"`
	// Configuration is what lets the denied through, in YAML.
	Configuration string `json:"configuration"`

	policy      *validators.Policy
	mutators    []*mutators.Mutator
	environment cluster.Environment
	then        *cluster.Overlay
	writers     map[place]string // who wrote an object of the present cluster last
	byKey       map[denialKey]*Denial
	left        map[string]*Left
	entries     entries
}

// A Denial is what one rule denies one user, of one kind in one namespace.
type Denial struct {
	User      string   `json:"user,omitempty"`
	Rule      string   `json:"rule"`
	Verb      string   `json:"verb"`
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace,omitempty"`
	Times     int      `json:"times"`
	Objects   []string `json:"objects"` // the first three names
	// Message is what the first one would have been told.
	Message string `json:"message"`
}

// Left is why requests could not be replayed, or only roughly.
type Left struct {
	Verb  string `json:"verb"`
	Kind  string `json:"kind"`
	Why   string `json:"why"`
	Times int    `json:"times"`
	// Roughly says that they were replayed, with less than all.
	Roughly bool `json:"roughly,omitempty"`
}

type place struct {
	kind schema.GroupVersionKind
	types.NamespacedName
}

type denialKey struct {
	anew                              bool
	user, rule, verb, kind, namespace string
}

// New returns a rehearsal in the present cluster, of a policy that is taken for
// enforce wherever it is not off.
func New(policy validators.Policy, ms []*mutators.Mutator, present cluster.Environment) *Rehearsal {
	policy.Mode = validators.ModeEnforce
	var allowed []validators.Mode
	for _, m := range policy.AllowedModes {
		if m == validators.ModeOff {
			allowed = append(allowed, m)
		}
	}
	policy.AllowedModes = allowed
	return &Rehearsal{
		Denied: []*Denial{}, MadeAnew: []*Denial{}, Left: []*Left{},
		policy: &policy, mutators: ms, environment: present,
		writers: map[place]string{}, byKey: map[denialKey]*Denial{}, left: map[string]*Left{},
	}
}

// Present is what the present cluster is kept in.
type Present interface {
	cluster.Reader
	cluster.Finder
}

// Replay replays a log. What the log says of an object before and after counts,
// and the present cluster for the rest.
func (r *Rehearsal) Replay(ctx context.Context, present Present, log *Log) error {
	r.then = &cluster.Overlay{Below: present}
	if err := r.rewind(ctx, present, log); err != nil {
		return err
	}
	environment := r.environment
	environment.Source, environment.Finder = r.then, r.then
	return log.Each(func(e *Event) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return r.replay(environment.View(ctx, e.request()), e)
	})
}

// rewind restores the cluster before the first event: without the objects that
// the log saw created, and with those that it saw deleted.
func (r *Rehearsal) rewind(ctx context.Context, present Present, log *Log) error {
	err := log.Each(func(e *Event) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return r.undo(ctx, present, e)
	})
	r.then.Tidy(ctx) // an object that was created and deleted did not exist before
	return err
}

// undo restores in the cluster the state before an event, unless an earlier
// event did.
func (r *Rehearsal) undo(ctx context.Context, present Present, e *Event) error {
	if e.ObjectRef.Subresource != "" || e.ResponseStatus.Code == 403 {
		return nil
	}
	before := e.deleted()
	if !strings.HasPrefix(e.Verb, "delete") {
		obj := e.written()
		if obj == nil {
			return nil
		}
		if key := cluster.KeyOf(obj); e.creates() && !r.then.Changed(e.kind, key) {
			r.then.Remove(e.kind, key)
			return nil
		}
		before = []cluster.Object{obj}
	}
	for _, obj := range before {
		key := cluster.KeyOf(obj)
		if r.then.Changed(e.kind, key) {
			continue
		}
		if !strings.HasPrefix(e.Verb, "delete") {
			if err := present.Get(ctx, key, obj.DeepCopyObject().(cluster.Object)); err == nil {
				continue // the present object is the best guess
			}
		}
		if err := r.then.Put(obj); err != nil {
			return err
		}
	}
	return nil
}

// replay reviews what one event asks, and does it.
func (r *Rehearsal) replay(v *cluster.View, e *Event) error {
	done := e.ResponseStatus.Code != 403
	switch {
	case e.ObjectRef.Subresource == "scale":
		old, obj := r.scaled(e)
		if obj == nil {
			return nil
		}
		r.review(v, e.Verb+" scale of", old, obj)
		return r.then.Put(obj)
	case e.Verb == "delete" || e.Verb == "deletecollection":
		olds := e.deleted()
		if e.Verb == "delete" {
			key := types.NamespacedName{Namespace: e.ObjectRef.Namespace, Name: e.ObjectRef.Name}
			if e.kind.Kind == "Namespace" {
				key.Namespace = ""
			}
			if known := r.known(e.kind, key); known != nil {
				olds = []cluster.Object{known}
			}
		}
		if len(olds) == 0 {
			r.leave(e, "neither the log nor the cluster has the object any more; level RequestResponse records it", false)
		}
		for _, old := range olds {
			r.review(v, "delete", old, nil)
			if done {
				r.then.Remove(e.kind, cluster.KeyOf(old))
				r.then.Tidy(context.Background(), old)
			}
		}
		return nil
	}
	obj := e.written()
	if obj == nil {
		why := "the log does not have the object; level Request records it"
		if e.Verb == "patch" {
			why = "the log does not have the object that the patch came to; level RequestResponse records it"
		}
		r.leave(e, why, false)
		return nil
	}
	var old cluster.Object
	key := cluster.KeyOf(obj)
	verb := "create"
	if !e.creates() {
		verb = "update"
		if old = r.known(e.kind, key); old == nil {
			r.leave(e, "the object before is not known", false)
			return r.then.Put(obj)
		}
		if !r.then.Changed(e.kind, key) && !v.Request.ByController() {
			r.leave(e, "compared with the present object, for the log has none from before", true)
		}
	}
	if !v.Request.ByController() {
		if err := r.then.Below.Get(context.Background(), key, obj.DeepCopyObject().(cluster.Object)); err == nil {
			r.writers[place{e.kind, key}] = e.who().Username // the writers of deleted objects are not needed
		}
	}
	r.review(v, verb, old, obj)
	if !done {
		return nil
	}
	return r.then.Put(obj)
}

// known returns an object as the log or the cluster has it, alive, or nil.
func (r *Rehearsal) known(kind schema.GroupVersionKind, key types.NamespacedName) cluster.Object {
	made, err := cluster.Scheme().New(kind)
	if err != nil {
		return nil
	}
	obj := made.(cluster.Object)
	if err := r.then.Get(context.Background(), key, obj); err != nil {
		return nil
	}
	obj = obj.DeepCopyObject().(cluster.Object)
	obj.SetNamespace(key.Namespace)
	obj.SetName(key.Name)
	alive(obj)
	return obj
}

// scaled returns the workload before and after it was scaled.
func (r *Rehearsal) scaled(e *Event) (old, obj cluster.Object) {
	scale := e.scale()
	old = r.known(e.kind, types.NamespacedName{Namespace: e.ObjectRef.Namespace, Name: e.ObjectRef.Name})
	if scale == nil || old == nil {
		r.leave(e, "the log does not have the scale, or the workload is gone; level RequestResponse records it", false)
		return nil, nil
	}
	obj = old.DeepCopyObject().(cluster.Object)
	switch obj := obj.(type) {
	case *appsv1.StatefulSet:
		obj.Spec.Replicas = &scale.Spec.Replicas
	case *appsv1.Deployment:
		obj.Spec.Replicas = &scale.Spec.Replicas
	}
	return old, obj
}

// review runs the rules, as admission would, and records their denials.
func (r *Rehearsal) review(v *cluster.View, verb string, old, obj cluster.Object) {
	if v.Request.ByController() {
		return // controllers are never denied
	}
	r.Replayed++
	for _, f := range r.denials(v, old, obj) {
		r.note(false, v, verb, f, old, obj)
	}
}

// denials returns the rules' denials. An undecided rule counts as none.
func (r *Rehearsal) denials(v *cluster.View, old, obj cluster.Object) (denials []validators.Finding) {
	if obj != nil {
		if made, err := mutators.Apply(v, r.mutators, old, obj); err == nil {
			obj = made.Object
		}
	}
	verdict, err := r.policy.Review(v, old, obj)
	if err != nil {
		r.undecided(err.Error())
		return nil
	}
	for _, u := range verdict.Undecided {
		if u.Rule.Level == validators.Deny {
			r.undecided(u.Error())
		}
	}
	for _, f := range verdict.Findings {
		if f.Level == validators.Deny {
			denials = append(denials, f)
		}
	}
	return denials
}

// MadeNow records the denials if an object of the present cluster were created
// now, by the user who wrote it according to the log.
func (r *Rehearsal) MadeNow(ctx context.Context, obj cluster.Object) {
	kind, err := cluster.GVK(obj)
	if err != nil {
		return
	}
	var req cluster.Request
	req.User.Username = r.writers[place{kind, cluster.KeyOf(obj)}]
	v := r.environment.View(ctx, req)
	for _, f := range r.denials(v, nil, obj) {
		r.note(true, v, "create", f, nil, obj)
	}
}

// note counts a denial, and adds the entry that would permit the request.
func (r *Rehearsal) note(anew bool, v *cluster.View, verb string, f validators.Finding, old, obj cluster.Object) {
	on := obj
	if on == nil {
		on = old
	}
	kind, _ := cluster.GVK(on)
	user := v.Request.User.Username
	key := denialKey{anew, user, f.Rule.Name, verb, kind.Kind, on.GetNamespace()}
	known := r.byKey[key]
	if known == nil {
		known = &Denial{User: user, Rule: f.Rule.Name, Verb: verb, Kind: kind.Kind, Namespace: on.GetNamespace(),
			Message: f.String()}
		r.byKey[key] = known
		if anew {
			r.MadeAnew = append(r.MadeAnew, known)
		} else {
			r.Denied = append(r.Denied, known)
		}
	}
	known.Times++
	if n := len(known.Objects); n < 3 && !slices.Contains(known.Objects, on.GetName()) {
		known.Objects = append(known.Objects, on.GetName())
	}
	r.entries.add(v, f.Rule, user, on, obj == nil)
}

func (r *Rehearsal) leave(e *Event, why string, roughly bool) {
	if e.request().ByController() {
		return // controllers are never denied, and their requests hardly matter
	}
	key := e.Verb + "/" + e.kind.Kind + "/" + why
	if r.left[key] == nil {
		r.left[key] = &Left{Verb: e.Verb, Kind: e.kind.Kind, Why: why, Roughly: roughly}
		r.Left = append(r.Left, r.left[key])
	}
	r.left[key].Times++
}

// undecided records that a rule's lookup failed.
func (r *Rehearsal) undecided(why string) {
	if r.left[why] == nil {
		r.left[why] = &Left{Verb: "any", Kind: "object", Why: "a rule could not be decided: " + why}
		r.Left = append(r.Left, r.left[why])
	}
	r.left[why].Times++
}

// alive removes from an object the marks of its deletion.
func alive(obj cluster.Object) {
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	if ns, ok := obj.(*corev1.Namespace); ok {
		ns.Status.Phase = corev1.NamespaceActive
	}
}

// Account returns the user who wrote an object last, as the log has it, or "".
func (r *Rehearsal) Account(obj cluster.Object) string {
	kind, err := cluster.GVK(obj)
	if err != nil {
		return ""
	}
	return r.writers[place{kind, cluster.KeyOf(obj)}]
}

// Sentence summarizes the rehearsal.
func (r *Rehearsal) Sentence() string {
	denied := 0
	for _, f := range r.Denied {
		denied += f.Times
	}
	return fmt.Sprintf("rehearsal: %d requests replayed, %d denials in enforce", r.Replayed, denied)
}
