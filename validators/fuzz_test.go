package validators

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
)

// FuzzRules shows every rule whatever JSON makes of an object, as it comes, as
// it goes, and as one turns into another, in a cluster that has nothing, one
// that has everything in the testdata, one that is broken and one that is not
// known: no panic, and no message that the API server would drop.
func FuzzRules(f *testing.F) {
	kinds, worlds, testdata := reviewedKinds(), badWorlds(f), allTestdata(f)
	for _, data := range testdata {
		for _, obj := range data.Objects {
			gvk, err := cluster.GVK(obj)
			if err != nil {
				f.Fatal(err)
			}
			raw, err := json.Marshal(obj)
			if err != nil {
				f.Fatal(err)
			}
			if i := slices.Index(kinds, gvk); i >= 0 {
				f.Add(byte(i), raw, raw)
			}
		}
	}
	for i := range kinds {
		for _, raw := range odd {
			f.Add(byte(i), []byte(raw), []byte("{}"))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, was, is []byte) {
		old, obj := newOf(t, kinds[int(kind)%len(kinds)]), newOf(t, kinds[int(kind)%len(kinds)])
		if json.NewDecoder(bytes.NewReader(was)).Decode(old) != nil ||
			json.NewDecoder(bytes.NewReader(is)).Decode(obj) != nil {
			t.Skip("no object of this kind")
		}
		reviewEveryWay(t, worlds, old, obj)
	})
}

// odd are objects that no author writes and any decoder takes.
var odd = []string{
	`{}`,
	`{"metadata":{"name":"` + strings.Repeat("n", 253) + `","namespace":"` + strings.Repeat("s", 63) +
		`","annotations":{"stayput.dev/":"","exempt.stayput.dev/":""}}}`,
	`{"metadata":{"name":"\u0000\n\u2028\ud800","labels":{"stayput.dev/subdomain":"\u001b[31m"}}}`,
	`{"spec":{"replicas":-2147483648,"ordinals":{"start":2147483647},"serviceName":"x"}}`,
	`{"spec":{"replicas":2147483647,"ordinals":{"start":2147483647},"updateStrategy":{"rollingUpdate":{"partition":-1,` +
		`"maxUnavailable":"999999999999%"}}}}`,
	`{"spec":{"volumeClaimTemplates":[{"spec":{"resources":{"requests":{"storage":"1e999"}}}},` +
		`{"spec":{"resources":{"requests":{"storage":"-9E18"}}}}]}}`,
	`{"spec":{"resources":{"requests":{"storage":"99999999999999999999999999Ei"}},"volumeName":"v"},` +
		`"status":{"capacity":{"storage":"0.0000000001n"}}}`,
	`{"spec":{"template":{"spec":{"volumes":[{},{"persistentVolumeClaim":{}},{"hostPath":{}}],` +
		`"containers":[{"volumeMounts":[{}]},{"ports":[{"containerPort":-1}]}],` +
		`"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{}]}}}}}}}`,
	`{"spec":{"selector":{"matchExpressions":[{"key":"","operator":"Nonsense"}]},` +
		`"template":{"spec":{"topologySpreadConstraints":[{}]}}}}`,
}

// reviewedKinds are the kinds that some rule concerns, sorted.
func reviewedKinds() (kinds []schema.GroupVersionKind) {
	for _, r := range All {
		for _, c := range r.Checks {
			if !slices.Contains(kinds, c.Kind) {
				kinds = append(kinds, c.Kind)
			}
		}
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	return kinds
}

func newOf(t testing.TB, kind schema.GroupVersionKind) cluster.Object {
	t.Helper()
	obj, err := cluster.Scheme().New(kind)
	if err != nil {
		t.Fatal(err)
	}
	return obj.(cluster.Object)
}

func allTestdata(t testing.TB) (all []*clustertest.Testdata) {
	t.Helper()
	for _, r := range All {
		data, err := clustertest.Load(filepath.Join("testdata", r.Name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

func badWorlds(t testing.TB) map[string]cluster.Environment {
	t.Helper()
	full := &cluster.Snapshot{Complete: true}
	for _, data := range allTestdata(t) {
		if err := full.Add(data.Objects...); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]cluster.Environment{
		"an empty cluster":   {Source: &cluster.Snapshot{Complete: true}, Retain: cluster.RetainOff},
		"a full cluster":     {Source: full, Live: full},
		"a broken cluster":   {Source: &failing{Reader: full, at: -1, with: errAway}},
		"a broken server":    {Source: full, Live: &failing{Reader: full, at: -1, with: errAway}},
		"an unknown cluster": {Source: &cluster.Snapshot{}},
	}
}

// reviewEveryWay reviews what may happen to two objects of a kind.
func reviewEveryWay(t *testing.T, worlds map[string]cluster.Environment, old, obj cluster.Object) {
	t.Helper()
	rules := slices.Clone(All)
	for i, r := range rules {
		if r.Level == Off {
			raised := *r
			raised.Level = Warn
			rules[i] = &raised
		}
	}
	said := map[string]bool{}
	blank := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(cluster.Object)
	for name, world := range worlds {
		steps := []struct{ old, obj cluster.Object }{{nil, obj}, {old, obj}, {blank, obj}, {obj, blank}, {obj, nil}}
		for _, s := range steps {
			found, _ := Review(world.View(context.Background(), cluster.Request{}), rules, s.old, s.obj)
			for _, f := range found {
				if s := f.String(); !said[s] { // in another world
					said[s] = true
					checkSafe(t, f)
				}
			}
		}
		policy := &Policy{Rules: rules[:1], AllowedModes: Modes()}
		if _, err := policy.Review(world.View(context.Background(), cluster.Request{}), nil, obj); err != nil &&
			!strings.HasPrefix(name, "a broken") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checkSafe checks what every message must be, whatever stands in it.
func checkSafe(t *testing.T, f Finding) {
	t.Helper()
	for _, limit := range []int{warningRunes, denialRunes} {
		if s := f.Short(limit); utf8.RuneCountInString(s) > limit {
			t.Errorf("%d runes, more than %d: %q", utf8.RuneCountInString(s), limit, s)
		}
	}
	if s := f.String(); !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		t.Errorf("the API server would drop it: %q", s)
	}
	if len(f.Remedy) == 0 || f.Field == "" {
		t.Errorf("no path or no remedy: %v", f)
	}
}
