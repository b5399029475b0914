// Package examples holds manifests that show what Stayput asks for, and the
// proof that it asks for no more: well-made applications pass without a word,
// and each rule notices one small slip in one of them.
package examples

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

const storage = "storage.yaml"

// TestApps lints every application on a cluster of three nodes that has the
// classes of storage.yaml. There must be no finding but those that the manifest
// itself exempts, and no exemption without a finding.
func TestApps(t *testing.T) {
	files, err := filepath.Glob("apps/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d files", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			docs := parse(t, read(t, filepath.Base(file)))
			world := newWorld(t, docs, parse(t, read(t, storage)))
			for _, d := range docs {
				for _, err := range d.Unknown {
					t.Errorf("%s:%d: %v", file, d.Line(""), err)
				}
				found, exempted := review(t, world, validators.All, nil, d.Object)
				for _, f := range found {
					t.Errorf("%s:%d: %s", file, d.Line(""), f)
				}
				for name := range d.GetAnnotations() {
					if rule, ok := strings.CutPrefix(name, cluster.ExemptPrefix); ok && !slices.Contains(exempted, rule) {
						t.Errorf("%s:%d: exempt from %s, which finds nothing", file, d.Line(""), rule)
					}
				}
			}
		})
	}
}

// TestReleases lints what helm template writes of well-made charts, each file by
// itself and as all that is known. There is no finding, and every object has the
// labels that helm create writes.
func TestReleases(t *testing.T) {
	files, err := filepath.Glob("releases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 8 {
		t.Fatalf("only %d files", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			docs := parse(t, string(text))
			snap := &cluster.Snapshot{}
			for _, d := range docs {
				if err := d.AddTo(snap); err != nil {
					t.Fatal(err)
				}
			}
			world := cluster.Environment{Source: snap, Finder: snap, Manifests: true}
			for _, d := range docs {
				for _, err := range d.Unknown {
					t.Errorf("%s:%d: %v", file, d.Line(""), err)
				}
				for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/name", "app.kubernetes.io/instance",
					"app.kubernetes.io/version", "app.kubernetes.io/managed-by"} {
					if d.GetLabels()[label] == "" {
						t.Errorf("%s:%d: no label %s", file, d.Line(""), label)
					}
				}
				verdict, err := (&validators.Policy{Rules: validators.All}).Review(world.View(context.Background(),
					cluster.Request{}), nil, d.Object)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range verdict.Findings {
					t.Errorf("%s:%d: %s", file, d.Line(""), f)
				}
			}
		})
	}
}

// TestSlips makes each slip in the application that it names and wants exactly
// its rule to notice.
func TestSlips(t *testing.T) {
	for _, r := range validators.All {
		s, ok := slips[r.Name]
		if !ok {
			t.Errorf("%s: no slip: nothing shows that the rule fires on a good application gone wrong", r.Name)
			continue
		}
		t.Run(r.Name, func(t *testing.T) { s.try(t, r) })
	}
	for name := range slips {
		if !slices.ContainsFunc(validators.All, func(r *validators.Rule) bool { return r.Name == name }) {
			t.Errorf("%s: a slip without a rule", name)
		}
	}
}

func (s slip) try(t *testing.T, r *validators.Rule) {
	text := read(t, s.app) + "\n---\n" + read(t, storage)
	if s.old != "" && !strings.Contains(text, s.old) {
		t.Fatalf("apps/%s does not contain %q", s.app, s.old)
	}
	before := parse(t, text)
	after := parse(t, strings.ReplaceAll(text, s.old, s.new))
	more := parse(t, s.add)
	if s.old == "" {
		after = before
	}
	runs := before
	if s.gone+s.freed != "" {
		runs = after
	}
	world := newWorld(t, runs, more)
	switch {
	case s.update || s.gone+s.freed != "" || s.old == "": // to what runs
		for _, obj := range running(runs, s.reclaim) {
			add(t, world, obj)
		}
	default:
		world = newWorld(t, after, more)
	}
	world.Retain = s.retain

	levels := map[string]validators.Level{}
	if r.Level == validators.Off {
		levels[r.Name] = validators.Warn // as one who wants the rule must configure it
	}
	rules, err := validators.Select(validators.All, levels)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]validators.Level{}
	look := func(old, obj cluster.Object) {
		found, _ := review(t, world, rules, old, obj)
		for _, f := range found {
			rule, level := f.rule, f.level
			got[rule] = max(got[rule], level)
			t.Logf("%s", f)
		}
	}
	switch {
	case s.gone != "":
		kind, name, _ := strings.Cut(s.gone, " ")
		look(find(t, world, kind, name), nil)
	case s.freed != "":
		kind, name, _ := strings.Cut(s.freed, " ")
		going := find(t, world, kind, name).DeepCopyObject().(cluster.Object)
		going.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(1, 0)})
		kept := going.DeepCopyObject().(cluster.Object)
		kept.SetFinalizers(validators.Guards())
		look(kept, going)
	case s.update:
		for i, d := range after {
			if !reflect.DeepEqual(before[i].Object, d.Object) {
				look(before[i].Object, d.Object)
			}
		}
	case s.old == "":
		for _, d := range more {
			look(nil, d.Object)
		}
	default:
		for _, d := range append(after, more...) {
			look(nil, d.Object)
		}
	}
	want := map[string]validators.Level{r.Name: s.want}
	for _, rule := range s.also {
		want[rule] = got[rule]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("findings: got %v, want %v", got, want)
	}
}

// A finding is what lint would print.
type finding struct {
	rule  string
	level validators.Level
	text  string
}

func (f finding) String() string { return f.level.String() + ": " + f.text }

// review mutates and reviews as lint and admission do. Notes of mutators and
// policy are findings, too.
func review(t *testing.T, w *world, rules []*validators.Rule, old, obj cluster.Object) (found []finding,
	exempted []string) {
	t.Helper()
	v := w.View(context.Background(), cluster.Request{})
	made, err := mutators.Apply(v, mutators.All, old, obj)
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := (&validators.Policy{Rules: rules}).Review(v, old, made.Object)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range verdict.Undecided {
		t.Error(u)
	}
	for _, f := range verdict.Findings {
		found = append(found, finding{f.Rule.Name, f.Level, f.String()})
	}
	for _, w := range made.Warnings {
		found = append(found, finding{w.Mutator, validators.Warn, w.String()})
	}
	for _, note := range verdict.Notes {
		found = append(found, finding{"exemptions", validators.Warn, note.String()})
	}
	for _, e := range verdict.Exempted {
		exempted = append(exempted, e.Rule.Name)
	}
	return found, exempted
}

// A world is a whole cluster.
type world struct {
	cluster.Environment
	all []cluster.Object
}

func newWorld(t *testing.T, docs ...[]manifest.Manifest) *world {
	t.Helper()
	w := &world{Environment: cluster.Environment{Source: &cluster.Snapshot{Complete: true}}}
	for _, name := range []string{"node-a", "node-b", "node-c"} {
		add(t, w, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name,
			Labels: map[string]string{corev1.LabelHostname: name}}})
	}
	for _, d := range slices.Concat(docs...) {
		add(t, w, d.Object)
	}
	return w
}

func add(t *testing.T, w *world, obj cluster.Object) {
	t.Helper()
	if err := w.Source.(*cluster.Snapshot).Add(obj); err != nil {
		t.Fatal(err)
	}
	w.all = append(w.all, obj)
}

func find(t *testing.T, w *world, kind, name string) cluster.Object {
	t.Helper()
	for _, obj := range w.all {
		if reflect.TypeOf(obj).Elem().Name() == kind && obj.GetName() == name {
			return obj
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return nil
}

// running returns what the controllers make of StatefulSets: Pods, claims and
// volumes.
func running(docs []manifest.Manifest, policy corev1.PersistentVolumeReclaimPolicy) (made []cluster.Object) {
	for _, d := range docs {
		sts, ok := d.Object.(*appsv1.StatefulSet)
		if !ok {
			continue
		}
		start, replicas := cluster.Ordinals(sts)
		for i := start; i < start+replicas; i++ {
			pod := &corev1.Pod{ObjectMeta: *sts.Spec.Template.ObjectMeta.DeepCopy(), Spec: *sts.Spec.Template.Spec.DeepCopy()}
			pod.Name, pod.Namespace = fmt.Sprintf("%s-%d", sts.Name, i), sts.Namespace
			pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(sts,
				appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
			pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, sts.Spec.ServiceName
			pod.Status.Phase = corev1.PodRunning
			for j := range sts.Spec.VolumeClaimTemplates {
				template := &sts.Spec.VolumeClaimTemplates[j]
				pvc, pv := bound(sts, template, i, policy)
				pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: template.Name, VolumeSource: corev1.VolumeSource{
					PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pvc.Name}}})
				made = append(made, pvc, pv)
			}
			made = append(made, pod)
		}
	}
	return made
}

// bound returns a claim of a StatefulSet and its volume, which has the claim's
// name. An empty policy means Retain.
func bound(sts *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim, ordinal int,
	policy corev1.PersistentVolumeReclaimPolicy) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
	if policy == "" {
		policy = corev1.PersistentVolumeReclaimRetain
	}
	pvc := template.DeepCopy()
	pvc.Name, pvc.Namespace = cluster.ClaimName(sts, template.Name, ordinal), sts.Namespace
	pvc.Labels = sts.Spec.Selector.MatchLabels
	pvc.Spec.VolumeName = pvc.Name
	pvc.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: pvc.Spec.Resources.Requests}
	return pvc, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: pvc.Name,
			Annotations: map[string]string{cluster.AnnotationProvisionedBy: "ebs.csi.aws.com"}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: pvc.Spec.Resources.Requests, AccessModes: pvc.Spec.AccessModes,
			StorageClassName:              *pvc.Spec.StorageClassName,
			PersistentVolumeReclaimPolicy: policy,
			ClaimRef: &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1",
				Namespace: pvc.Namespace, Name: pvc.Name},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
	}
}

func read(t *testing.T, app string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("apps", app))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func parse(t *testing.T, text string) []manifest.Manifest {
	t.Helper()
	docs, skipped, err := manifest.ParseManifests("manifest", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if skipped > 0 {
		t.Fatalf("%d objects of unknown kinds", skipped)
	}
	return docs
}
