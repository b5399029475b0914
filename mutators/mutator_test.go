package mutators

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
)

func view(t testing.TB, w cluster.Environment, cached ...cluster.Object) *cluster.View {
	t.Helper()
	w.Source = snapshot(t, cached)
	return w.View(context.Background(), cluster.Request{})
}

func snapshot(t testing.TB, objects []cluster.Object) *cluster.Snapshot {
	t.Helper()
	s := &cluster.Snapshot{Complete: true}
	if err := s.Add(objects...); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestApply(t *testing.T) {
	add := func(key string) *Mutator {
		return &Mutator{Name: "add-" + key, Edits: []Edit{OnCreate(func(p *Pass, pod *corev1.Pod) error {
			p.Warn("annotations were %d", len(pod.Annotations))
			p.annotate(&pod.ObjectMeta, key, "1")
			return nil
		})}}
	}
	onUpdate := &Mutator{Name: "on-update", Edits: []Edit{OnUpdate(func(p *Pass, old, pod *corev1.Pod) error {
		p.Warn("was %s", old.Name)
		set(p, &pod.Name, old.Name, "metadata", "name")
		return nil
	})}}
	all := []*Mutator{add("a"), onUpdate, add("b")}
	going := metav1.Now()
	for name, tc := range map[string]struct {
		old, obj cluster.Object
		user     string
		changed  bool
		warnings []Warning
	}{
		"a creation goes through all mutators, each over the last one's work": {
			obj: &corev1.Pod{}, changed: true,
			warnings: []Warning{{"add-a", "annotations were 0"}, {"add-b", "annotations were 1"}},
		},
		"an update is none": {
			old: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "old"}}, obj: &corev1.Pod{}, changed: true,
			warnings: []Warning{{"on-update", "was old"}},
		},
		"an update that changes nothing returns the object": {
			old: &corev1.Pod{}, obj: &corev1.Pod{},
			warnings: []Warning{{"on-update", "was "}},
		},
		"controllers are not warned about their updates": {
			old: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "old"}}, obj: &corev1.Pod{}, changed: true,
			user: "system:serviceaccount:kube-system:deployment-controller",
		},
		"what is being deleted is left alone": {
			old: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &going}}, obj: &corev1.Pod{},
		},
		"another kind is not copied":          {obj: &corev1.Service{}},
		"what the scheme does not know, too":  {obj: &unstructured.Unstructured{}},
		"a deletion leaves nothing to mutate": {old: &corev1.Pod{}},
	} {
		t.Run(name, func(t *testing.T) {
			v := cluster.Environment{}.View(context.Background(), cluster.Request{})
			v.Request.User.Username = tc.user
			made, err := Apply(v, all, tc.old, tc.obj)
			if err != nil {
				t.Fatal(err)
			}
			if changed := made.Object != tc.obj; changed != tc.changed {
				t.Errorf("changed: %t, want %t: %v", changed, tc.changed, made.Object)
			}
			if diff := cmp.Diff(tc.warnings, made.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWarningsFitTheHeader(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\x00c\u2028d":                      "m: a b c d",
		"\xff":                                  "m: �",
		strings.Repeat("ä", maxWarning-3):       "m: " + strings.Repeat("ä", maxWarning-3),
		strings.Repeat("ä", maxWarning-3) + ".": "m: " + strings.Repeat("ä", maxWarning-4) + "…",
	} {
		p := &Pass{mutator: &Mutator{Name: "m"}}
		if p.Warn("%s", in); p.warnings[0].String() != want {
			t.Errorf("%q became %q, want %q", in, p.warnings[0], want)
		}
	}
}

// TestFailingLookups makes each lookup of each document fail in turn.
func TestFailingLookups(t *testing.T) {
	boom := errors.New("boom")
	for _, m := range All {
		t.Run(m.Name, func(t *testing.T) {
			failed := 0
			replay(t, m, func(s step) cluster.Object {
				lookups := &counter{Reader: s.world.Source, err: boom}
				s.world.Source, s.world.Live = lookups, lookups
				apply := func(failAt int) (*Result, error) {
					lookups.made, lookups.failAt = 0, failAt
					return Apply(s.world.View(context.Background(), s.req), []*Mutator{m}, s.old, s.doc.Object)
				}
				made, err := apply(-1)
				if err != nil {
					t.Fatalf("%s: %v", s, err)
				}
				for n := range lookups.made {
					failed++
					got, err := apply(n)
					if !errors.Is(err, boom) || got != nil || !strings.HasPrefix(err.Error(), m.Name+": ") ||
						strings.Count(err.Error(), ": ") < 2 {
						t.Errorf("%s: lookup %d fails: got %v and error %v, want only an error that says what was looked up", s, n, got,
							err)
					}
				}
				return made.Object
			})
			if (failed > 0) != (len(m.Reads) > 0) {
				t.Errorf("%d lookups, and %d kinds in Reads", failed, len(m.Reads))
			}
		})
	}
}

// counter fails the lookup of a number.
type counter struct {
	cluster.Reader
	made, failAt int
	err          error
}

func (c *counter) next() error {
	c.made++
	if c.made-1 == c.failAt {
		return c.err
	}
	return nil
}

func (c *counter) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	if err := c.next(); err != nil {
		return err
	}
	return c.Reader.Get(ctx, key, obj)
}

func (c *counter) List(ctx context.Context, list cluster.ObjectList, selected cluster.Selection) error {
	if err := c.next(); err != nil {
		return err
	}
	return c.Reader.List(ctx, list, selected)
}

// TestAsksAgain gives the cache and the API server different worlds.
func TestAsksAgain(t *testing.T) {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: "ns"} }
	service := func(name string) *corev1.Service {
		return &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{
			ClusterIP: "None", Selector: map[string]string{"app": "db"},
		}}
	}
	terminating := service("going")
	terminating.DeletionTimestamp = new(metav1.Now())
	alias := service("alias")
	alias.Spec.Type = corev1.ServiceTypeExternalName
	byList := service("by-list") // as stored, or sent, with only one of the fields
	byList.Spec.ClusterIP, byList.Spec.ClusterIPs = "", []string{"None"}
	namespace := func(label string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns",
			Labels: map[string]string{cluster.LabelInject: label}}}
	}
	pod := &corev1.Pod{ObjectMeta: meta("db")}
	pod.Labels = map[string]string{"app": "db"}
	labelled := pod.DeepCopy()
	labelled.Labels[cluster.LabelSubdomain] = "db"
	sts := &appsv1.StatefulSet{ObjectMeta: meta("db")}
	sts.Spec.Template.Labels = map[string]string{"app": "db"}
	sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
	pvc := func(uid types.UID) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: meta("data-db-0")}
		c.UID = uid
		return c
	}
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv",
		Annotations: map[string]string{cluster.AnnotationProvisionedBy: "x"}}}
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "ns", Name: "data-db-0", UID: "new"}
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete

	for name, tc := range map[string]struct {
		obj          cluster.Object
		cached, live []cluster.Object
		want         string
		asked        int // lookups at the API server
	}{
		"a Pod whose Service the cache has": {
			obj: pod, cached: []cluster.Object{namespace("enabled"), service("db")}, want: "db",
		},
		"a Pod that names its Service": {
			obj: labelled, want: "db",
		},
		"a Pod whose Service the cache does not have yet": {
			obj: pod, cached: []cluster.Object{namespace("enabled")},
			live: []cluster.Object{namespace("enabled"), service("db")}, want: "db", asked: 2,
		},
		"a Pod whose Namespace was labelled a moment ago": {
			obj: pod, cached: []cluster.Object{namespace(""), service("db")},
			live: []cluster.Object{namespace("enabled"), service("db")}, want: "db", asked: 2,
		},
		"a Pod whose Namespace the cache does not have yet": {
			obj: pod, live: []cluster.Object{namespace("enabled"), byList}, want: "by-list", asked: 2,
		},
		"a Pod with two Services, of which one was deleted a moment ago": {
			obj: pod, cached: []cluster.Object{namespace("enabled"), service("old"), service("new")},
			live: []cluster.Object{namespace("enabled"), service("new")}, want: "new", asked: 2,
		},
		"a Pod with two Services, of which one is going, and an alias": {
			obj: pod, cached: []cluster.Object{namespace("enabled"), service("db"), terminating, alias}, want: "db",
		},
		"a Pod with two Services": {
			obj: pod, cached: []cluster.Object{namespace("enabled"), service("a"), service("b")},
			live: []cluster.Object{namespace("enabled"), service("a"), service("b")}, want: "", asked: 2,
		},
		"a StatefulSet whose Service was renamed a moment ago": {
			obj: sts, cached: []cluster.Object{service("old")}, live: []cluster.Object{service("new")}, want: "new", asked: 1,
		},
		"a volume whose claim and StatefulSet the cache has": {
			obj: pv, cached: []cluster.Object{pvc("new"), sts}, want: "Retain db/data/0",
		},
		"a volume whose StatefulSet the cache does not have yet": {
			obj: pv, cached: []cluster.Object{pvc("new")}, live: []cluster.Object{pvc("new"), sts},
			want: "Retain db/data/0", asked: 3,
		},
		"a volume whose claim was made again a moment ago": {
			obj: pv, cached: []cluster.Object{pvc("old"), sts}, live: []cluster.Object{pvc("new"), sts},
			want: "Retain db/data/0", asked: 3,
		},
		"a volume whose claim is gone": {
			obj: pv, cached: []cluster.Object{sts}, live: []cluster.Object{sts}, want: "Retain ", asked: 1, // as a restored one
		},
	} {
		t.Run(name, func(t *testing.T) {
			live := &counter{Reader: snapshot(t, tc.live), failAt: -1}
			made, err := Apply(view(t, cluster.Environment{Live: live}, tc.cached...), All, nil, tc.obj)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			switch obj := made.Object.(type) {
			case *corev1.Pod:
				got = obj.Spec.Subdomain
			case *appsv1.StatefulSet:
				got = obj.Spec.ServiceName
			case *corev1.PersistentVolume:
				got = fmt.Sprintf("%s %s", obj.Spec.PersistentVolumeReclaimPolicy, obj.Annotations[cluster.AnnotationClaimOf])
			}
			if got != tc.want || live.made != tc.asked {
				t.Errorf("got %q after %d lookups at the API server, want %q after %d", got, live.made, tc.want, tc.asked)
			}
		})
	}
}

// TestUndefaulted mutates what no API server has defaulted: manifests.
func TestUndefaulted(t *testing.T) {
	sc := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "new"}}
	made, err := Apply(view(t, cluster.Environment{}), All, nil, sc)
	if err != nil {
		t.Fatal(err)
	}
	if got := made.Object.(*storagev1.StorageClass); !retains(got) ||
		got.Annotations[cluster.AnnotationReclaimDefaulted] != "true" {
		t.Errorf("a class without reclaimPolicy became %+v", got)
	}
	again, err := Apply(view(t, cluster.Environment{}), All, made.Object, sc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made.Object, again.Object); diff != "" {
		t.Errorf("updated with the same manifest (-was +is):\n%s", diff)
	}
	for _, obj := range []cluster.Object{&corev1.Pod{}, &corev1.PersistentVolume{}, &appsv1.StatefulSet{}} {
		if made, err := Apply(view(t, cluster.Environment{}), All, nil, obj); err != nil || made.Object != obj ||
			made.Warnings != nil {
			t.Errorf("an empty %T: %+v, %v", obj, made, err)
		}
	}
}

// TestNamesAreAsTheAPIServers checks the names of many Pods: no two are alike,
// and all are what the API server could have chosen.
func TestNamesAreAsTheAPIServers(t *testing.T) {
	seen := map[string]bool{}
	used := map[rune]bool{}
	for i := range 2000 {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "web-"}}
		name, hostname := identityOf(cluster.Request{UID: types.UID(fmt.Sprint(i))}, pod)
		suffix, ok := strings.CutPrefix(name, "web-")
		if !ok || len(suffix) != suffixLength || name != hostname {
			t.Fatalf("got name %q and hostname %q", name, hostname)
		}
		for _, c := range suffix {
			used[c] = true
		}
		seen[name] = true
	}
	if len(seen) < 1998 || len(used) != len(alphanums) {
		t.Errorf("%d names of 2000, of %d characters of %d", len(seen), len(used), len(alphanums))
	}
	for c := range used {
		if !strings.ContainsRune(alphanums, c) {
			t.Errorf("%q is not in the API server's alphabet", c)
		}
	}
	for generateName, want := range map[string]string{
		"Web_Ä.":                           "web---",
		"...":                              "",
		strings.Repeat("ä.", 40):           "",
		strings.Repeat("a.", 40):           strings.Repeat("a-", 29),
		strings.Repeat("a", 58) + "bcd.e-": "", // what is left is a name
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: generateName}}
		name, hostname := identityOf(cluster.Request{}, pod)
		if want == "" && name != "" {
			want = strings.Repeat("a", 58)
		}
		if base := hostname[:len(hostname)-suffixLength]; base != want {
			t.Errorf("%q: got name %q and hostname %q, want %q and five characters", generateName, name, hostname, want)
		}
	}
}

func BenchmarkApplyAndPatch(b *testing.B) {
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
	pod.Namespace, pod.GenerateName = "default", "web-6d4cf56db6-"
	pod.Labels = map[string]string{"app": "web", "pod-template-hash": "6d4cf56db6", cluster.LabelSubdomain: "web"}
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-6d4cf56db6",
		UID: "5d1fa5e5", Controller: new(true)}}
	for _, name := range []string{"web", "proxy", "log"} {
		c := corev1.Container{Name: name, Image: name, Args: []string{"--verbose", "--port=8080"}, ImagePullPolicy: "Always"}
		for i := range 10 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("%s_%d", name, i), Value: "some value"})
		}
		c.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"},
			{Name: "token", MountPath: "/var/run/secrets/token"}}
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready"}},
			PeriodSeconds: 10}
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
	}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "token", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "token"}}},
	}
	plain := pod.DeepCopy()
	delete(plain.Labels, cluster.LabelSubdomain)
	for name, pod := range map[string]*corev1.Pod{"changed": pod, "unchanged": plain} {
		raw, err := json.Marshal(pod)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			v := view(b, cluster.Environment{}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				made, err := Apply(v, All, nil, pod)
				if err != nil {
					b.Fatal(err)
				}
				ops, err := made.Patch(raw)
				if err != nil || slices.Contains([]int{0, 3}, len(ops)) == false {
					b.Fatal(ops, err)
				}
			}
		})
	}
}
