package validators_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
	"stayput.dev/validators"
)

// A scene is what is reviewed, and the cluster that it is reviewed in. Remedies
// are done to it.
type scene struct {
	objects  map[string]cluster.Object // by keyOf
	old, obj cluster.Object            // the step, as in [clustertest.Step]
	request  cluster.Request
	renamed  map[string]string // keys of objects that have another name now, by the new one
	made     *cluster.Snapshot
}

// keyOf names an object: Service default/db.
func keyOf(o cluster.Object) string {
	gvk, err := cluster.GVK(o)
	if err != nil {
		panic(err) // manifests are read by this scheme
	}
	return gvk.Kind + " " + o.GetNamespace() + "/" + o.GetName()
}

// newScene returns a scene of objects, none of which is edited.
func newScene(objects []cluster.Object, old, obj cluster.Object, request cluster.Request) *scene {
	s := &scene{objects: map[string]cluster.Object{}, old: old, obj: obj, request: request, renamed: map[string]string{}}
	for _, o := range objects {
		s.objects[keyOf(o)] = o
	}
	return s
}

// subject is the object that the step is about.
func (s *scene) subject() cluster.Object {
	if s.obj != nil {
		return s.obj
	}
	return s.old
}

// tree returns an object as JSON has it.
func tree(o any) (map[string]any, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	return fields, json.Unmarshal(data, &fields)
}

// typed returns an object of the type of like, and fails on fields that it lacks.
func typed(fields map[string]any, like cluster.Object) (cluster.Object, error) {
	data, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	into := reflect.New(reflect.TypeOf(like).Elem()).Interface().(cluster.Object)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return nil, fmt.Errorf("%T: %w", like, err)
	}
	return into, nil
}

// edit changes an object wherever the scene has it.
func (s *scene) edit(key string, change func(fields map[string]any) error) error {
	at := s.objects[key]
	mine := keyOf(s.subject()) == key
	if at == nil && !mine {
		return fmt.Errorf("there is no %s", key)
	}
	edited := func(o cluster.Object) (cluster.Object, error) {
		fields, err := tree(o)
		if err != nil {
			return nil, err
		}
		if err := change(fields); err != nil {
			return nil, err
		}
		is, err := typed(fields, o)
		if pv, ok := is.(*corev1.PersistentVolume); ok && pv.Spec.ClaimRef == nil {
			pv.Status.Phase = corev1.VolumeAvailable // as the controller finds
		}
		return is, err
	}
	var err error
	if at != nil {
		is, err := edited(at)
		if err != nil {
			return err
		}
		delete(s.objects, key)
		if keyOf(is) != key {
			s.renamed[keyOf(is)] = key
		}
		s.objects[keyOf(is)] = is
	}
	if mine && s.obj != nil {
		if s.obj, err = edited(s.obj); err != nil {
			return err
		}
	}
	if mine && s.old != nil && (s.obj == nil || at != nil) {
		s.old, err = edited(s.old)
	}
	return err
}

// editManifest changes what the author writes: the object that is applied, and
// not what it was.
func (s *scene) editManifest(key string, change func(fields map[string]any) error) error {
	if keyOf(s.subject()) != key || s.old == nil || s.obj == nil {
		return s.edit(key, change)
	}
	fields, err := tree(s.obj)
	if err != nil {
		return err
	}
	if err := change(fields); err != nil {
		return err
	}
	s.obj, err = typed(fields, s.obj)
	return err
}

// add puts an object into the scene, which has none of that name.
func (s *scene) add(text string) error {
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	all, _, err := manifest.ParseManifests("remedy", []byte(text))
	if err != nil || len(all) != 1 {
		return fmt.Errorf("%d objects, %w: %s", len(all), err, text)
	}
	if len(all[0].Unknown) > 0 {
		return all[0].Unknown[0]
	}
	o := all[0].Object
	if s.objects[keyOf(o)] != nil {
		return fmt.Errorf("%s exists already", keyOf(o))
	}
	s.objects[keyOf(o)] = o
	return nil
}

// remove deletes an object, and with orphan frees its dependents.
func (s *scene) remove(key string, orphan bool) error {
	o := s.objects[key]
	if o == nil {
		return fmt.Errorf("there is no %s", key)
	}
	if keyOf(s.subject()) == key {
		if s.obj == nil { // the deletion that was asked for, done otherwise
			s.request.Orphan = orphan
			return nil
		}
		s.old = nil
	}
	delete(s.objects, key)
	if !orphan {
		return nil
	}
	for k, dep := range s.objects {
		owners := dep.GetOwnerReferences()
		free := dep.DeepCopyObject().(cluster.Object)
		free.SetOwnerReferences(slices.DeleteFunc(slices.Clone(owners), func(r ownerRef) bool {
			return r.UID == o.GetUID() && r.Name == o.GetName() && strings.HasPrefix(key, r.Kind+" ")
		}))
		if len(free.GetOwnerReferences()) < len(owners) {
			s.objects[k] = free
		}
	}
	return nil
}

// fieldType returns the type of what stands at a path in a type, or nil.
func fieldType(t reflect.Type, elems []string) reflect.Type {
	for _, e := range elems {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.Struct:
			f, ok := jsonField(t, e)
			if !ok {
				return nil
			}
			t = f
		case reflect.Slice, reflect.Map:
			t = t.Elem()
		default:
			return nil
		}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func jsonField(t reflect.Type, name string) (reflect.Type, bool) {
	if t == nil || t.Kind() != reflect.Struct || t == reflect.TypeFor[resource.Quantity]() {
		return nil, false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name {
			return f.Type, true
		}
		if f.Anonymous && tag == "" {
			if in, ok := jsonField(f.Type, name); ok {
				return in, true
			}
		}
	}
	return nil, false
}

// placesOf returns where in an object a key may belong that a remedy names beside
// a path: in what the path leads through and has such a field, the innermost
// first.
func placesOf(o cluster.Object, path []string, key string) (places [][]string) {
	for n := len(path); n >= 0; n-- {
		t := fieldType(reflect.TypeOf(o), path[:n])
		if t == nil {
			continue
		}
		if _, ok := jsonField(t, key); ok || t.Kind() == reflect.Map && n == len(path)-1 {
			places = append(places, path[:n:n])
		}
	}
	if _, ok := jsonField(fieldType(reflect.TypeOf(o), []string{"spec"}), key); ok {
		places = append(places, []string{"spec"})
	}
	return places
}

// at returns the mapping at a path, made on the way where there is none.
func at(fields map[string]any, path []string) (map[string]any, error) {
	var node any = fields
	for i, e := range path {
		switch n := node.(type) {
		case map[string]any:
			if n[e] == nil {
				n[e] = map[string]any{}
			}
			node = n[e]
		case []any:
			j, err := strconv.Atoi(e)
			if err != nil || j < 0 || j >= len(n) {
				return nil, fmt.Errorf("nothing at %s", strings.Join(path[:i+1], "."))
			}
			node = n[j]
		default:
			return nil, fmt.Errorf("a %T at %s", node, strings.Join(path[:i], "."))
		}
	}
	m, ok := node.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a %T at %s", node, strings.Join(path, "."))
	}
	return m, nil
}

// putAt sets one key of the mapping at a path.
func putAt(fields map[string]any, path []string, key string, value any) error {
	into, err := at(fields, path)
	if err != nil {
		return err
	}
	into[key] = value
	return nil
}

// merge lays a value over another, as a reader would who adds what he is told:
// items of lists are known by their names; one without a name is the one that
// the path leads through, or else one more.
func merge(is, more any, path []string) any {
	switch more := more.(type) {
	case map[string]any:
		into, ok := is.(map[string]any)
		if !ok {
			into = map[string]any{}
		}
		if more["selector"] != nil && (into["clusterIP"] != nil || into["ports"] != nil) {
			delete(into, "selector") // of a Service: it is written whole
		}
		for k, v := range more {
			var rest []string
			if len(path) > 0 && path[0] == k {
				rest = path[1:]
			}
			into[k] = merge(into[k], v, rest)
		}
		return into
	case []any:
		into, ok := is.([]any)
		if _, scalars := first(more).(map[string]any); !ok || !scalars {
			return more
		}
		for _, item := range more {
			at := slices.IndexFunc(into, func(i any) bool { return itemName(i) == itemName(item) })
			if itemName(item) == "" {
				at = -1
				if len(path) > 0 {
					at, _ = strconv.Atoi(path[0])
				} else if m := item.(map[string]any); len(m) == 1 && m["metadata"] != nil {
					for i := range into { // of all claim templates
						into[i] = merge(into[i], item, nil)
					}
					continue
				}
			}
			if at < 0 || at >= len(into) {
				into = append(into, item)
				continue
			}
			var rest []string
			if len(path) > 0 {
				rest = path[1:]
			}
			into[at] = merge(into[at], item, rest)
		}
		return into
	}
	return more
}

func first(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func itemName(item any) string {
	m, _ := item.(map[string]any)
	if path, ok := m["mountPath"].(string); ok { // as the API server knows mounts
		return path
	}
	if name, _ := m["name"].(string); name != "" {
		return name
	}
	meta, _ := m["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	return name
}

// set writes a key and its value beside a path.
func (s *scene) set(key, path, name string, value any) error {
	o := s.lookup(key)
	if o == nil {
		return fmt.Errorf("there is no %s", key)
	}
	elems := cluster.SplitPath(path)
	err := fmt.Errorf("%T has no %q on the way to %s", o, name, path)
	for _, place := range placesOf(o, elems, name) {
		if err = s.editManifest(key, func(fields map[string]any) error {
			into, err := at(fields, place)
			if err != nil {
				return err
			}
			var rest []string
			if len(elems) > len(place)+1 && elems[len(place)] == name {
				rest = elems[len(place)+1:]
			}
			into[name] = merge(into[name], value, rest)
			return nil
		}); err == nil {
			return nil
		}
	}
	return err
}

func (s *scene) lookup(key string) cluster.Object {
	if keyOf(s.subject()) == key {
		return s.subject()
	}
	return s.objects[key]
}

// unset takes out what is at a path.
func (s *scene) unset(key string, elems []string) error {
	return s.editManifest(key, func(fields map[string]any) error { return takeOut(fields, elems) })
}

func takeOut(fields map[string]any, elems []string) error {
	last := elems[len(elems)-1]
	if i, err := strconv.Atoi(last); err == nil {
		holder, err := at(fields, elems[:len(elems)-2])
		if err != nil {
			return err
		}
		list, _ := holder[elems[len(elems)-2]].([]any)
		if i >= len(list) {
			return fmt.Errorf("nothing at %s", strings.Join(elems, "."))
		}
		holder[elems[len(elems)-2]] = slices.Delete(list, i, i+1)
		return nil
	}
	holder, err := at(fields, elems[:len(elems)-1])
	if err != nil {
		return err
	}
	if _, ok := holder[last]; !ok {
		return fmt.Errorf("nothing at %s", strings.Join(elems, "."))
	}
	delete(holder, last)
	return nil
}

// fix does a fix as data says it. Without says that its object has a field which
// excludes those that the fix sets.
func (s *scene) fix(f *validators.Fix) (without bool, err error) {
	key := keyOf(s.subject())
	if f.Of != nil {
		key = f.Of.Kind.Kind + " " + f.Of.Namespace + "/" + f.Of.Name
	}
	for _, path := range f.Remove {
		if err := s.editManifest(key, func(fields map[string]any) error {
			elems := cluster.SplitPath(path)
			holder, err := at(fields, elems[:len(elems)-1])
			if err == nil {
				delete(holder, elems[len(elems)-1])
			}
			return err
		}); err != nil {
			return false, err
		}
	}
	for _, set := range f.Set {
		if err := s.editManifest(key, func(fields map[string]any) error {
			path := cluster.SplitPath(set.Path)
			last := path[len(path)-1]
			if i, err := strconv.Atoi(last); err == nil {
				into, err := at(fields, path[:len(path)-2])
				if err == nil {
					into[path[len(path)-2]].([]any)[i] = set.Value
				}
				return err
			}
			return putAt(fields, path[:len(path)-1], last, set.Value)
		}); err != nil {
			return false, err
		}
	}
	for _, path := range f.Without {
		fields, err := tree(s.lookup(key))
		if err != nil {
			return false, err
		}
		elems := cluster.SplitPath(path)
		into, err := at(fields, elems[:len(elems)-1])
		without = without || err == nil && into[elems[len(elems)-1]] != nil
	}
	if f.Add == nil {
		return without, nil
	}
	text, err := yaml.Marshal(f.Add)
	if err != nil {
		return without, err
	}
	return without, s.add(string(text))
}

// words splits a command as a shell does; $( ) is one word.
func words(text string) (all []string, err error) {
	var word strings.Builder
	in, depth, any := rune(0), 0, false
	for _, c := range text {
		switch {
		case in != 0 && c == in:
			in = 0
		case in != 0:
			word.WriteRune(c)
		case depth == 0 && (c == '\'' || c == '"'):
			in, any = c, true
		case depth == 0 && c == ' ':
			if any || word.Len() > 0 {
				all = append(all, word.String())
			}
			word.Reset()
			any = false
		default:
			switch c {
			case '(':
				depth++
			case ')':
				depth--
			}
			word.WriteRune(c)
		}
	}
	if in != 0 || depth != 0 {
		return nil, fmt.Errorf("a quote or a bracket is open: %s", text)
	}
	if any || word.Len() > 0 {
		all = append(all, word.String())
	}
	return all, nil
}

// kindsOf are kinds as kubectl takes them.
var kindsOf = map[string]string{
	"pvc": "PersistentVolumeClaim", "pv": "PersistentVolume", "sts": "StatefulSet", "statefulset": "StatefulSet",
	"deploy": "Deployment", "rs": "ReplicaSet", "service": "Service", "pod": "Pod", "pdb": "PodDisruptionBudget",
	"sc": "StorageClass", "storageclass": "StorageClass", "namespace": "Namespace", "ns": "Namespace",
}

// An invocation is a kubectl command taken apart.
type invocation struct {
	verb      string
	kind      string // as in kindsOf's values
	names     []string
	pairs     []string // label=value, key=value, key-
	namespace string
	flags     map[string]string
}

func (s *scene) parse(command string) (*invocation, error) {
	all, err := words(command)
	if err != nil {
		return nil, err
	}
	c := &invocation{flags: map[string]string{}}
	if all[0] != "kubectl" || len(all) < 3 {
		return nil, fmt.Errorf("no command: %s", command)
	}
	c.verb, all = all[1], all[2:]
	if c.verb == "set" || c.verb == "create" || c.verb == "rollout" {
		c.verb, all = c.verb+" "+all[0], all[1:]
	}
	if c.verb == "create service" {
		all = all[1:] // clusterip
	}
	if c.verb == "create service" || c.verb == "create pdb" {
		c.kind = "made"
	}
	for i := 0; i < len(all); i++ {
		w := all[i]
		switch {
		case w == "-n" || w == "-p" || w == "-l" || w == "-f":
			if i++; i == len(all) {
				return nil, fmt.Errorf("nothing behind %s: %s", w, command)
			}
			c.flags[w] = all[i]
		case strings.HasPrefix(w, "--"):
			name, value, _ := strings.Cut(w, "=")
			c.flags[name] = value
		case c.kind == "":
			if c.kind = kindsOf[w]; c.kind == "" {
				return nil, fmt.Errorf("kind %q: %s", w, command)
			}
		case strings.HasPrefix(w, "$(kubectl get pv -o jsonpath="):
			names, err := s.volumesBy(strings.TrimSuffix(strings.TrimPrefix(w, "$(kubectl get pv -o jsonpath="), ")"))
			if err != nil {
				return nil, err
			}
			c.names = append(c.names, names...)
		case strings.Contains(w, "="), (c.verb == "label" || c.verb == "annotate") && strings.HasSuffix(w, "-"):
			c.pairs = append(c.pairs, w)
		case regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`).MatchString(w):
			c.names = append(c.names, w)
		default:
			return nil, fmt.Errorf("word %q: %s", w, command)
		}
	}
	c.namespace = c.flags["-n"]
	delete(c.flags, "-n")
	return c, nil
}

// volumesBy evaluates what kubectl get pv -o jsonpath= prints.
func (s *scene) volumesBy(path string) ([]string, error) {
	list := map[string]any{}
	var items []any
	for k, o := range s.objects {
		if strings.HasPrefix(k, "PersistentVolume ") {
			fields, err := tree(o)
			if err != nil {
				return nil, err
			}
			items = append(items, fields)
		}
	}
	list["items"] = items
	p := jsonpath.New("kubectl")
	if err := p.Parse(strings.Trim(path, "'")); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := p.AllowMissingKeys(true).Execute(&out, list); err != nil {
		return nil, err
	}
	return strings.Fields(out.String()), nil
}

// kubectl does a command, as the real one would.
func (s *scene) kubectl(command string) error {
	c, err := s.parse(command)
	if err != nil {
		return err
	}
	if len(c.names) == 0 && c.flags["-l"] == "" {
		return fmt.Errorf("names nothing: %s", command)
	}
	for _, name := range c.names {
		key := c.kind + " " + c.namespace + "/" + name
		switch c.verb {
		case "patch":
			err = s.patch(key, c.flags["--type"], c.flags["-p"])
		case "delete":
			err = s.remove(key, c.flags["--cascade"] == "orphan")
		case "label", "annotate":
			err = s.mark(key, c.verb+"s", c)
		case "scale":
			err = s.scale(key, c.flags["--replicas"])
		case "set selector":
			err = s.selector(key, c.pairs)
		case "create service":
			err = s.add(fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {clusterIP: "+
				"%s, selector: {app: %[1]s}}}",
				name, c.namespace, c.flags["--clusterip"]))
		case "create pdb":
			err = s.add(fmt.Sprintf("{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: %s, namespace: %s}, "+
				"spec: {maxUnavailable: %s, selector: {matchLabels: {%s}}}}", name, c.namespace, c.flags["--max-unavailable"],
				strings.ReplaceAll(strings.ReplaceAll(c.flags["--selector"], ",", ", "), "=", ": ")))
		case "rollout restart": // new Pods, of the same template
		default:
			err = fmt.Errorf("verb %q: %s", c.verb, command)
		}
		if err != nil && !s.implied(key) {
			return err
		}
	}
	if c.flags["-l"] != "" {
		return s.selected(c, command)
	}
	return nil
}

// selected does a command to all objects of a kind that a selector matches.
func (s *scene) selected(c *invocation, command string) error {
	selector, err := labels.Parse(c.flags["-l"])
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	for key, o := range s.objects {
		if !strings.HasPrefix(key, c.kind+" "+c.namespace+"/") || !selector.Matches(labels.Set(o.GetLabels())) {
			continue
		}
		switch {
		case c.verb == "label":
			if err := s.mark(key, "labels", c); err != nil {
				return err
			}
		case c.verb == "delete" && c.kind == "Pod": // its controller makes it again
			delete(s.objects, key)
		default:
			return fmt.Errorf("by label: %s", command)
		}
	}
	return nil
}

var ofReplica = regexp.MustCompile(`^(?:Pod|PersistentVolumeClaim) .*-[0-9]+$`)

// implied says whether an object is not in the scene, but would be where its
// StatefulSet is: a Pod, or a claim.
func (s *scene) implied(key string) bool {
	return ofReplica.MatchString(key) && s.objects[key] == nil && keyOf(s.subject()) != key
}

func (s *scene) patch(key, form, patch string) error {
	like := s.lookup(key)
	if like == nil {
		return fmt.Errorf("there is no %s", key)
	}
	return s.edit(key, func(fields map[string]any) error {
		before, err := json.Marshal(fields)
		if err != nil {
			return err
		}
		var after []byte
		switch form {
		case "":
			after, err = strategicpatch.StrategicMergePatch(before, []byte(patch), like)
		case "merge":
			after, err = jsonpatch.MergePatch(before, []byte(patch))
		case "json":
			var p jsonpatch.Patch
			if p, err = jsonpatch.DecodePatch([]byte(patch)); err == nil {
				after, err = p.Apply(before)
			}
		default:
			err = fmt.Errorf("patch of type %q", form)
		}
		if err != nil {
			return err
		}
		clear(fields)
		return json.Unmarshal(after, &fields)
	})
}

func (s *scene) mark(key, list string, c *invocation) error {
	if list == "annotates" {
		list = "annotations"
	}
	return s.edit(key, func(fields map[string]any) error {
		into, err := at(fields, []string{"metadata", list})
		if err != nil {
			return err
		}
		for _, pair := range c.pairs {
			k, v, _ := strings.Cut(pair, "=")
			if off, ok := strings.CutSuffix(k, "-"); ok {
				delete(into, off)
				continue
			}
			if _, has := into[k]; has {
				if _, over := c.flags["--overwrite"]; !over {
					return fmt.Errorf("%s has %s, and there is no --overwrite", key, k)
				}
			}
			into[k] = v
		}
		return nil
	})
}

// scale scales, and does what the controller then does to Pods.
func (s *scene) scale(key, replicas string) error {
	n, err := strconv.Atoi(replicas)
	if err != nil {
		return err
	}
	kind, name, _ := strings.Cut(key, " ")
	namespace, name, _ := strings.Cut(name, "/")
	if kind == "StatefulSet" {
		for k, o := range s.objects {
			ordinal, ok := strings.CutPrefix(o.GetName(), name+"-")
			if i, err := strconv.Atoi(ordinal); ok && err == nil && i >= n && strings.HasPrefix(k, "Pod "+namespace+"/") {
				delete(s.objects, k)
			}
		}
	}
	return s.edit(key, func(fields map[string]any) error { return putAt(fields, []string{"spec"}, "replicas", n) })
}

func (s *scene) selector(key string, pairs []string) error {
	selector := map[string]any{}
	for _, list := range pairs {
		for _, pair := range strings.Split(list, ",") {
			k, v, _ := strings.Cut(pair, "=")
			selector[k] = v
		}
	}
	return s.edit(key, func(fields map[string]any) error { return putAt(fields, []string{"spec"}, "selector", selector) })
}

// named returns the key of an object of which a remedy says kind and name alone.
func (s *scene) named(kind, name string) string {
	for k := range s.objects {
		if strings.HasPrefix(k, kind+" ") && strings.HasSuffix(k, "/"+name) &&
			(strings.HasPrefix(k, kind+" /") || strings.HasPrefix(k, kind+" "+s.subject().GetNamespace()+"/")) {
			return k
		}
	}
	return kind + " ?/" + name
}
