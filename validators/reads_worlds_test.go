package validators_test

import (
	"cmp"
	"context"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
	"stayput.dev/internal/same"
	"stayput.dev/validators"
)

// TestReadsCoverTheRules changes one field of a random object, and shows every
// check of a state the object before, the object after, and the update. Where
// it finds something else about the one than about the other, it must read the
// field; then it says of the update what it says of the object. What it reads is
// held to be no more than it should by its oracle.
func TestReadsCoverTheRules(t *testing.T) {
	worlds := uint64(800)
	if os.Getenv("STAYPUT_PROOF") != "" {
		worlds = 20_000
	}
	spoke, kept := map[string]int{}, map[string]int{}
	// unmet are the rules that have never spoken, or never kept silent of what stood
	// before: what few worlds have may need more of them.
	unmet := func() (names []string) {
		for _, r := range validators.All {
			stored := slices.ContainsFunc(r.Checks, func(c validators.Check) bool { return c.When == validators.Stored })
			if stored && (spoke[r.Name] == 0 || kept[r.Name] == 0) {
				names = append(names, r.Name)
			}
		}
		return names
	}
	for seed := uint64(0); seed < worlds || seed < 10*worlds && len(unmet()) > 0; seed++ {
		g := newGen(seed)
		w := g.world()
		for _, create := range g.makers() {
			old, other := create(), create()
			old.SetDeletionTimestamp(nil)
			g.belongings(w, old)
			w.put(old)
			for range 6 {
				obj := old.DeepCopyObject().(cluster.Object)
				g.edit(reflect.ValueOf(obj).Elem(), reflect.ValueOf(other).Elem())
				coverage(t, seed, w, old, obj, spoke, kept)
				if t.Failed() {
					return
				}
			}
		}
	}
	for name := range oracles {
		t.Logf("%-40s spoke of %5d updates, and had nothing new to say of %5d", name, spoke[name], kept[name])
	}
	for _, name := range unmet() {
		t.Errorf("%s: spoke of %d updates, and kept silent of what stood before at %d", name, spoke[name], kept[name])
	}
}

// coverage counts the updates of which a rule spoke, and those of which it did
// not, although it finds something about the object.
func coverage(t *testing.T, seed uint64, w *world, old, obj cluster.Object, spoke, kept map[string]int) {
	t.Helper()
	snap := &cluster.Snapshot{Complete: true}
	if err := snap.Add(w.objects()...); err != nil {
		t.Fatal(err)
	}
	kind, err := cluster.GVK(obj)
	if err != nil {
		t.Fatal(err)
	}
	view := cluster.Environment{Source: snap, Finder: snap, Retain: cluster.Retain(w.retain)}.View(context.Background(),
		cluster.Request{})
	for _, r := range validators.All {
		for i, c := range r.Checks {
			if c.Kind != kind || c.When != validators.Stored {
				continue
			}
			rule := *r
			rule.Level, rule.Checks = cmp.Or(r.Level, validators.Warn), r.Checks[i:i+1]
			say := func(old, obj cluster.Object) []string {
				found, undecided := validators.Review(view, []*validators.Rule{&rule}, old, obj)
				if len(undecided) > 0 {
					t.Fatalf("seed %d: %v", seed, undecided[0])
				}
				var said []string
				for _, f := range found {
					said = append(said, numbers.ReplaceAllString(f.Error.Error(), "N"))
				}
				slices.Sort(said)
				return said
			}
			before, after, update := say(nil, old), say(nil, obj), say(old, obj)
			switch {
			case len(update) > 0:
				spoke[r.Name]++
				if !slices.Equal(update, after) {
					t.Errorf("seed %d: %s says of an update %q, and of what comes of it %q", seed, r.Name, update, after)
				}
			case !slices.Equal(before, after) && len(after) > 0:
				t.Errorf("seed %d: %s finds %q before, %q after, and does not read what changed; it reads %v\n%s",
					seed, r.Name, before, after, c.Reads(), describe(w, r, old, obj))
			case len(after) > 0:
				kept[r.Name]++
			}
		}
	}
}

// numbers are what may differ in what a check says without being news: that of
// five Pods, not three, none is kept apart.
var numbers = regexp.MustCompile(`[0-9]+`)

// edit changes one field of what an author writes in an object: to what it is in
// another, to nothing, to something of its own, or in the order of a list.
func (g gen) edit(obj, other reflect.Value) {
	for {
		field := g.IntN(obj.NumField())
		switch name := obj.Type().Field(field).Name; name {
		case "TypeMeta", "Status":
		case "ObjectMeta":
			if g.chance(.7) {
				list := one(g, "Labels", "Annotations")
				g.editField(obj.Field(field).FieldByName(list), other.Field(field).FieldByName(list))
				return
			}
		default:
			g.editField(obj.Field(field), other.Field(field))
			return
		}
	}
}

func (g gen) editField(v, other reflect.Value) {
	switch v.Interface().(type) {
	case resource.Quantity:
		v.Set(reflect.ValueOf(g.size()))
		return
	case metav1.Time, metav1.MicroTime, metav1.FieldsV1:
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		g.editField(g.fieldOf(v, other))
	case reflect.Pointer:
		switch {
		case v.IsNil():
			v.Set(reflect.New(v.Type().Elem()))
			if other.IsValid() && !other.IsNil() {
				v.Elem().Set(other.Elem())
			}
		case g.chance(.3):
			v.SetZero()
		case other.IsValid() && !other.IsNil():
			g.editField(v.Elem(), other.Elem())
		default:
			g.editField(v.Elem(), reflect.Zero(v.Type().Elem()))
		}
	case reflect.Slice:
		g.editList(v, other)
	case reflect.Map:
		if v.Type() != reflect.TypeFor[map[string]string]() {
			v.Set(other)
			return
		}
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		keys := []string{"app", "tier", "stayput.dev/subdomain", "stayput.dev/reclaim-policy", "stayput.dev/subdomian",
			"pv.kubernetes.io/provisioned-by",
			"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class",
			"exempt.stayput.dev/claim-in-used"}
		for _, m := range []reflect.Value{v, other} {
			if m.IsValid() && m.Len() > 0 && g.chance(.4) {
				keys = keys[:0]
				for _, k := range m.MapKeys() {
					keys = append(keys, k.String())
				}
				slices.Sort(keys)
			}
		}
		key := reflect.ValueOf(one(g, keys...))
		if g.chance(.3) {
			v.SetMapIndex(key, reflect.Value{})
			return
		}
		v.SetMapIndex(key, reflect.ValueOf(one(g, "db", "web", "a", "Delete", "true", "true", "")))
	case reflect.String:
		if g.chance(.5) {
			v.Set(other)
			return
		}
		v.SetString(one(g, "", "db", "data", "log", "Delete", "Retain", "OnDelete", "Parallel", "RollingUpdate", "Recreate"))
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(one(g, int64(0), 1, 2, 3, 5, 30))
	default:
		v.Set(other)
	}
}

// fieldOf returns a field of a struct, mostly one that is set in it or in
// another. Half of what is written about a workload is its Pod template.
func (g gen) fieldOf(v, other reflect.Value) (field, others reflect.Value) {
	for _, name := range []string{"Template", "Spec"} {
		if f := v.FieldByName(name); f.IsValid() && g.chance(.5) {
			return f, other.FieldByName(name)
		}
	}
	for {
		i := g.IntN(v.NumField())
		field, others = v.Field(i), other.Field(i)
		if !field.IsZero() || !others.IsZero() || g.chance(.1) {
			return field, others
		}
	}
}

func (g gen) editList(v, other reflect.Value) {
	n := v.Len()
	switch {
	case n == 0 || g.chance(.15):
		v.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, n), other))
	case g.chance(.15): // without one
		at := g.IntN(n)
		v.Set(reflect.AppendSlice(v.Slice(0, at), v.Slice(at+1, n)))
	case n > 1 && g.chance(.2): // the other way round
		reflect.Swapper(v.Interface())(0, n-1)
	case other.Len() > 0:
		g.editField(v.Index(g.IntN(n)), other.Index(g.IntN(other.Len())))
	default:
		g.editField(v.Index(g.IntN(n)), reflect.Zero(v.Type().Elem()))
	}
}

// means says whether two pointers to one type lead to what means the same.
func means(a, b any) bool {
	return same.Of(reflect.TypeOf(a).Elem())(reflect.ValueOf(a).UnsafePointer(), reflect.ValueOf(b).UnsafePointer())
}

// TestSameIsSemantic compares objects as Stayput does, and as Kubernetes.
func TestSameIsSemantic(t *testing.T) {
	alike, others := 0, 0
	for seed := range uint64(100) {
		g := newGen(seed)
		for _, create := range g.makers() {
			old := create()
			old.SetManagedFields(nil) // Kubernetes cannot compare those
			other := create()
			other.SetManagedFields(nil)
			for range 10 {
				obj := old.DeepCopyObject().(cluster.Object)
				if g.chance(.8) {
					g.edit(reflect.ValueOf(obj).Elem(), reflect.ValueOf(other).Elem())
				}
				want := equality.Semantic.DeepEqual(old, obj)
				if got := means(old, obj); got != want {
					t.Fatalf("seed %d: same is %v, want %v:\n%s", seed, got, want, describe(&world{}, &validators.Rule{}, old, obj))
				}
				if want {
					alike++
				} else {
					others++
				}
			}
		}
	}
	if alike < 500 || others < 500 {
		t.Errorf("%d are the same and %d not", alike, others)
	}
	for name, pair := range map[string][2]any{
		"1 is 1000m":            {quantity("1"), quantity("1000m")},
		"1 is not 1001m":        {quantity("1"), quantity("1001m")},
		"no list, an empty one": {new([]string), &[]string{}},
		"no map, an empty one":  {new(map[string]int), &map[string]int{}},
		"other keys":            {&map[string]int{"a": 1}, &map[string]int{"b": 1}},
		"the same map":          {&map[string]int{"a": 1}, &map[string]int{"a": 1}},
		"a pointer and none":    {new(new(int)), new(*int)},
		"bytes":                 {new([]byte("a")), new([]byte("b"))},
		"interfaces":            {new(any(1)), new(any("1"))},
		"an interface of none":  {new(any(1)), new(any)},
		"numbers":               {new(1.5), new(1.25)},
	} {
		if got, want := means(pair[0], pair[1]), equality.Semantic.DeepEqual(pair[0], pair[1]); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	now := metav1.Now()
	if utc := (metav1.Time{Time: now.UTC()}); !means(&now, &utc) {
		t.Error("a time is not the same elsewhere")
	}
	a, b := metav1.NewFieldsV1("{}"), metav1.NewFieldsV1(string([]byte("{}")))
	if !means(a, b) || means(a, metav1.NewFieldsV1("{} ")) {
		t.Error("managed fields are not compared by what they say")
	}
}

func quantity(s string) *resource.Quantity {
	q := resource.MustParse(s)
	return &q
}
